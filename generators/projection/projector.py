"""Photos into the latents of a style-based generator."""

import functools
from collections.abc import Callable

import torch

from generators.encoder.embedding import Embedder
from generators.encoder.method import Estimated
from generators.encoder.reconstruction import pyramid_error
from generators.projection.canvas import Canvas, require_projectable
from generators.projection.noise import first_noises, flat, require_noise
from generators.projection.projecting import ProjectionState, project
from generators.projection.settings import Projection
from generators.protocol import Latents
from generators.styled import StyledGenerator
from toolkit.compute.engine import Engine
from toolkit.pictures.pixels import resize
from toolkit.streams import Stream

_RENDERED = 4  # images at a time: those of 1,024 px take 0.5 GB each


class Projector:
    """Finds latents of photos in a space of a style-based generator, from those that an encoder estimates, if any.

    UserError for a space that the generator has not, and where photos cannot be projected into it.
    """

    def __init__(
        self, generator: StyledGenerator, settings: Projection, engine: Engine, encoder: Embedder | None = None
    ) -> None:
        require_projectable(generator, settings.space)
        if settings.optimise_noise:
            require_noise(generator)
        self.settings = settings
        self.side = generator.image_size
        self._generator = generator
        self._num_layers = generator.num_layers if settings.space == "w+" else None
        self._engine = engine
        self._encoder = encoder

    @functools.cached_property
    def _canvas(self) -> Canvas:
        return Canvas.of(self._generator, self._engine.device)

    def embed(self, photos: torch.Tensor, moved: Callable[[], None] = lambda: None) -> Estimated:
        """Return latents (B, D), or (B, L, D) in W+, of photos (B, 3, S, S) in [-1, 1], and noise if it was found too.

        `error` is the pyramid error of the images of the latents returned, `error_before` of those it began with.
        `moved` is called after every step.
        """
        photos = photos.to(self._engine.device)
        state = self._state(self._first(photos))
        photos = resize(photos, (self.side,) * 2)
        with self._engine.autocast():
            before = self._errors(state, photos)
            for _ in project(state, self._canvas, photos, self.settings):
                moved()
            errors = {"error": self._errors(state, photos), "error_before": before}
        noise = None if state.best_noises is None else flat(state.best_noises)
        return Estimated(self._canvas.moments.restored(state.best), errors, noise)

    @torch.no_grad()
    def images(self, latents: Latents) -> torch.Tensor:
        """Return images (B, 3, S, S) of latents."""
        with self._engine.autocast():
            parts = (latents[start : start + _RENDERED] for start in range(0, len(latents), _RENDERED))
            return torch.cat([self._image(part.to(self._engine.device)) for part in parts])

    def _image(self, latents: Latents) -> torch.Tensor:
        points = self._canvas.moments.normalised(latents.z)
        return self._canvas.images(points, None if latents.noise is None else self._generator.noises_of(latents))

    def _state(self, points: torch.Tensor) -> ProjectionState:
        """Return the state before the first step from points (B, D)."""
        own = None if self._num_layers is None else points.new_zeros(len(points), self._num_layers, points.shape[1])
        if not self.settings.optimise_noise:
            return ProjectionState(points.clone(), own)
        noises = first_noises(self._generator.network.noise_shapes, len(points), self.settings.seed)
        return ProjectionState(points.clone(), own, [noise.to(points.device) for noise in noises])

    @torch.no_grad()
    def _errors(self, state: ProjectionState, photos: torch.Tensor) -> torch.Tensor:
        return pyramid_error(self._canvas.images(state.best, state.best_noises), photos)

    @torch.no_grad()
    def _first(self, photos: torch.Tensor) -> torch.Tensor:
        """Return the points (B, D) to start from."""
        if self._encoder is None:
            return self._canvas.first.expand(len(photos), -1)
        with self._engine.autocast():
            estimated = self._encoder.embed(photos, False, Stream(0, "embedding")).float()
        return self._canvas.moments.normalised(estimated)
