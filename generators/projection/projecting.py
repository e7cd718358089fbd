"""The optimisation that finds latents of photos: its state, and its steps as a Python generator."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch

from generators.projection.canvas import Canvas
from generators.projection.distance import edge_pyramid_error
from generators.projection.noise import WEIGHT, likeness, normalise
from generators.projection.settings import Projection
from toolkit.streams import Stream

# Outside the sphere of the generator's own latents images fall apart; inside, the term is zero.
_EXCESS_WEIGHT = 0.1


@dataclass
class ProjectionState:
    """Points so far (see Canvas): what all layers share (B, D), and in W+ what each has of its own (B, L, D).

    `noises` are maps (B, 1, h, w) that move along, None where they do not. `best` are the points of least `loss` (B,)
    among those looked at once nothing disturbs them, `best_noises` their maps.
    """

    shared: torch.Tensor
    own: torch.Tensor | None = None
    noises: list[torch.Tensor] | None = None
    optimiser: torch.optim.Adam = field(init=False)
    best: torch.Tensor = field(init=False)
    loss: torch.Tensor = field(init=False)
    best_noises: list[torch.Tensor] | None = field(init=False)
    step: int = 0

    def __post_init__(self) -> None:
        for leaf in self.leaves:
            leaf.requires_grad_()
        self.optimiser = torch.optim.Adam(self.leaves)
        self.best = self.points().detach()
        self.best_noises = None if self.noises is None else [noise.detach().clone() for noise in self.noises]
        self.loss = torch.full((len(self.shared),), torch.inf, device=self.shared.device)

    @property
    def leaves(self) -> list[torch.Tensor]:
        """Return what the steps move."""
        return [self.shared, *([] if self.own is None else [self.own]), *(self.noises or [])]

    def points(self) -> torch.Tensor:
        """Return the points (B, D), or (B, L, D) in W+."""
        return self.shared if self.own is None else self.shared[:, None] + self.own

    @torch.no_grad()
    def keep_better(self, points: torch.Tensor, losses: torch.Tensor) -> None:
        """Keep the points, and their noise, whose losses (B,) are the least so far."""
        better = losses < self.loss
        self.best[better], self.loss[better] = points[better], losses[better]
        for best, noise in zip(self.best_noises or [], self.noises or [], strict=True):
            best[better] = noise[better]


def project(state: ProjectionState, canvas: Canvas, photos: torch.Tensor, settings: Projection) -> Iterator[int]:
    """Move every point towards its photo, of (B, 3, S, S), on its own; yield the number of steps done after each.

    The same disturbances are added to all points, so that a photo's latent depends neither on its batch nor its place.
    At last the points that the steps lead to are looked at as well.
    """
    while state.step < settings.steps:
        jitter = settings.jitter_at(state.step)
        points = state.points()
        losses = _losses(points + jitter * _disturbance(state, settings), state, canvas, photos, settings)
        if not jitter:
            state.keep_better(points, losses)
        # Of the leaves alone: whatever else in the network might have a gradient, nothing is computed for it.
        for leaf, gradient in zip(state.leaves, torch.autograd.grad(losses.sum(), state.leaves), strict=True):
            leaf.grad = gradient
        state.optimiser.param_groups[0]["lr"] = settings.rate_at(state.step)
        state.optimiser.step()
        normalise(state.noises or [])
        state.step += 1
        yield state.step
    with torch.no_grad():
        points = state.points()
        state.keep_better(points, _losses(points, state, canvas, photos, settings))


def _losses(
    points: torch.Tensor, state: ProjectionState, canvas: Canvas, photos: torch.Tensor, settings: Projection
) -> torch.Tensor:
    """Return (B,): the images' distance, what lies outside the sphere, how far layers are apart and noise is none."""
    losses = edge_pyramid_error(canvas.images(points, state.noises), photos)
    losses = losses + _EXCESS_WEIGHT * canvas.excess(points)
    if state.own is not None:
        losses = losses + settings.apartness * state.own.square().mean(dim=(1, 2))
    return losses if state.noises is None else losses + WEIGHT * likeness(state.noises)


def _disturbance(state: ProjectionState, settings: Projection) -> torch.Tensor:
    """Return the step's disturbance of size 1, (1, D), or (1, 1, D) in W+."""
    width = state.shared.shape[1]
    drawn = Stream(settings.seed, "projection", state.step).normal(1, width).to(state.shared) * math.sqrt(width)
    return drawn if state.own is None else drawn[None]
