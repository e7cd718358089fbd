"""How photos become latents, for a command that embeds many: what it is given, and the encoder's way."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from generators.encoder.embedding import Embedder, LatentRefiner, Refinement, embed_images
from generators.encoder.network import Encoder
from generators.protocol import Generator
from toolkit.compute.engine import Engine
from toolkit.pictures.photos import read_centre, read_square
from toolkit.streams import Stream

Errors = dict[str, torch.Tensor]
Moved = Callable[[], None]


@dataclass(frozen=True)
class Method:
    """A way from photos to latents.

    `read` gives a photo as uint8 (S, S, 3). `estimate` takes photos (B, 3, S, S), the row of the first one, and what to
    call after each of the `steps` it works in (0: it calls nothing), and returns latents and errors (B,) by name.
    `images` renders latents, None where there is no generator. `made` is what records say of it.
    """

    made: dict[str, Any]
    read: Callable[[Path], np.ndarray]
    estimate: Callable[[torch.Tensor, int, Moved], tuple[torch.Tensor, Errors]]
    images: Callable[[torch.Tensor], torch.Tensor] | None
    steps: int = 0


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

    def read(path: Path) -> np.ndarray:
        # Published embeddings were computed of other centres than ours.
        return (read_square if isinstance(embedder, Encoder) else read_centre)(path, embedder.image_size)

    def estimate(photos: torch.Tensor, first_row: int, moved: Moved) -> tuple[torch.Tensor, Errors]:
        rng, photos = Stream(seed, "embedding", first_row), photos.to(engine.device)
        with engine.autocast():
            return embed_images(photos, embedder, refiner(), sample, refinement, rng)

    def images(latents: torch.Tensor) -> torch.Tensor:
        shown = refiner()
        assert shown is not None
        return shown.images(latents.to(engine.device))

    return Method(made, read, estimate, None if whose.generator is None else images)
