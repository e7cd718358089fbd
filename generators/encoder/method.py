"""How photos become latents, for a command that embeds many: what it is given, and the encoder's way."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from generators.encoder.embedding import Embedder, LatentRefiner, Refinement, embed_images
from generators.encoder.network import Encoder
from generators.protocol import Generator, Latents
from toolkit.compute.engine import Engine
from toolkit.pictures.any_photo import Photo, as_photo
from toolkit.pictures.photos import centre, square
from toolkit.pictures.pixels import from_bytes
from toolkit.streams import Stream
from toolkit.watch import SILENT, Watch

Errors = dict[str, torch.Tensor]
Moved = Callable[[], None]


@dataclass(frozen=True)
class Estimated:
    """Latents (B, D) or (B, L, D) of photos, errors (B,) of their images by name, and noise (B, N) if it was found."""

    latents: torch.Tensor
    errors: Errors
    noise: torch.Tensor | None = None


@dataclass(frozen=True)
class Method:
    """A way from photos to latents.

    `read` gives a photo (toolkit.pictures.any_photo) as uint8 (S, S, 3). `estimate` takes photos (B, 3, S, S), the row
    of the first one, and what to call after each of the `steps` it works in (0: it calls nothing). `images` renders
    latents, None where there is no generator. `made` is what records say of it.
    """

    made: dict[str, Any]
    read: Callable[[Photo], np.ndarray]
    estimate: Callable[[torch.Tensor, int, Moved], Estimated]
    images: Callable[[Latents], torch.Tensor] | None
    steps: int = 0

    def all_of(self, squares: np.ndarray, batch: int, watch: Watch = SILENT) -> tuple[Latents, Errors]:
        """Return latents on the CPU and errors (N,) of photos uint8 (N, S, S, 3), `batch` at a time."""
        latents, errors = [], []
        total, unit = len(squares) * (self.steps or 1), "steps" if self.steps else "photos"
        with watch.bar("embedding", total, unit=unit) as advance:
            for start in range(0, len(squares), batch):
                part = from_bytes(squares[start : start + batch])
                found = self.estimate(part, start, partial(advance, len(part)))
                latents.append(Latents(found.latents, noise=found.noise).to(torch.device("cpu")))
                errors.append(found.errors)
                advance(0 if self.steps else len(part))
        return Latents.cat(latents), {name: torch.cat([one[name] for one in errors]) for name in errors[0]}


@dataclass(frozen=True)
class Whose:
    """Whose latents are meant: of a generator with a digest of its file, or, where it is not at hand, of its name."""

    generator: Generator | None
    name: str
    digest: str | None

    def described(self, latent_dim: int) -> dict[str, Any]:
        """Return what records say of it."""
        name = self.name if self.generator is None else self.generator.name
        return {"generator": name, "generator_digest": self.digest, "latent_dim": latent_dim}


def by_encoder(
    whose: Whose,
    embedder: Embedder,
    source: Mapping[str, str],
    sample: bool,
    refinement: Refinement,
    seed: int,
    engine: Engine,
) -> Method:
    """Return the way of an encoder, which `source` names in records; refining needs the generator."""
    made = {
        **whose.described(embedder.latent_dim),
        **source,
        "latents": "sample" if sample else "mean",
        "seed": seed,
        "refine": refinement.steps,
        "refine_rate": refinement.rate,
        **engine.identity(),
    }

    @functools.cache
    def refiner() -> LatentRefiner | None:  # not made for a file that is finished already
        if whose.generator is None:
            return None
        return LatentRefiner(whose.generator, embedder.image_size, engine.device)

    def read(photo: Photo) -> np.ndarray:
        # Published embeddings were computed of other centres than ours.
        return (square if isinstance(embedder, Encoder) else centre)(as_photo(photo), embedder.image_size)

    def estimate(photos: torch.Tensor, first_row: int, moved: Moved) -> Estimated:
        rng, photos = Stream(seed, "embedding", first_row), photos.to(engine.device)
        with engine.autocast():
            return Estimated(*embed_images(photos, embedder, refiner(), sample, refinement, rng))

    def images(latents: Latents) -> torch.Tensor:
        shown = refiner()
        assert shown is not None
        return shown.images(latents.z.to(engine.device))

    return Method(made, read, estimate, None if whose.generator is None else images)
