"""Latents of photos: estimated by an encoder, and moved towards their photos if asked."""

from dataclasses import dataclass
from typing import Protocol

import torch

from generators.encoder.network import Encoder
from generators.encoder.reconstruction import LatentMoments, pyramid_error, rendered
from generators.protocol import Generator
from toolkit.command_line import command
from toolkit.errors import UserError
from toolkit.pictures.pixels import resize
from toolkit.streams import Stream

# Outside the sphere the images fall apart; inside, the term is zero and the images alone decide.
_EXCESS_WEIGHT = 0.1


class Embedder(Protocol):
    """What estimates latents from images: an encoder trained here, or one brought from elsewhere."""

    image_size: int
    latent_dim: int

    def embed(self, images: torch.Tensor, sample: bool, rng: Stream) -> torch.Tensor:
        """Return latents (B, D) of images (B, 3, S, S) in [-1, 1]: with `sample` draws, else means."""
        ...


def require_fit(embedder: Embedder, generator: Generator) -> None:
    """Raise UserError unless an embedder gives latents of this generator."""
    trained_for = embedder.generator if isinstance(embedder, Encoder) else generator.name
    if (trained_for, embedder.latent_dim) != (generator.name, generator.latent_dim):
        raise UserError(
            f"the encoder estimates latents of {trained_for} with {embedder.latent_dim} numbers, but {generator.name} "
            f"has {generator.latent_dim}; train one with {command('train-encoder')}"
        )


def trained_on_another(embedder: Embedder, digest: str | None) -> bool:
    """Return whether an embedder records that it was trained on another generator's file than the one of `digest`."""
    if not isinstance(embedder, Encoder):
        return False
    recorded = embedder.source.generator_digest
    return recorded is not None and recorded != digest


@dataclass(frozen=True)
class Refinement:
    """How latents are moved towards their photos: Adam steps, and its rate in units of the latents' own spread."""

    steps: int = 0
    rate: float = 0.05


class LatentRefiner:
    """Renders latents beside the images they were estimated from, and moves them closer.

    Both are compared at the smaller of the generator's and the embedder's sides.
    """

    def __init__(self, generator: Generator, side: int, device: torch.device) -> None:
        self.generator = generator
        self.side = min(generator.image_size, side)
        self.moments = LatentMoments.of(generator, device)

    @torch.no_grad()
    def images(self, z: torch.Tensor) -> torch.Tensor:
        """Return images (B, 3, side, side) of z (B, D)."""
        return rendered(self.generator, z, self.side)

    @torch.no_grad()
    def errors(self, z: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """Return the pyramid error (B,) of the images of z (B, D) against images (B, 3, H, H)."""
        return pyramid_error(self.images(z), resize(images, (self.side, self.side)))

    def refined(self, z: torch.Tensor, images: torch.Tensor, refinement: Refinement) -> torch.Tensor:
        """Return z (B, D) after steps down the pyramid error plus what lies outside the generator's sphere.

        Every latent is moved on its own, so the batch makes no difference, and comes back as it was at its best.
        """
        images = resize(images, (self.side, self.side))
        places = self.moments.normalised(z).detach().requires_grad_()
        optimiser = torch.optim.Adam([places], refinement.rate)
        best, least = places.detach().clone(), torch.full((len(z),), torch.inf, device=z.device)
        for step in range(refinement.steps + 1):
            moved = self.moments.restored(places)
            losses = pyramid_error(rendered(self.generator, moved, self.side), images)
            losses = losses + _EXCESS_WEIGHT * self.moments.excess(moved)
            better = losses.detach() < least
            best[better], least[better] = places.detach()[better], losses.detach()[better]
            optimiser.param_groups[0]["lr"] = refinement.rate * (1 - step / (refinement.steps + 1))
            optimiser.zero_grad()
            losses.sum().backward()
            optimiser.step()
        return self.moments.restored(best)


def embed_images(
    images: torch.Tensor,
    embedder: Embedder,
    refiner: LatentRefiner | None,
    sample: bool,
    refinement: Refinement,
    rng: Stream,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Return latents (B, D) of images (B, 3, S, S) in [-1, 1], and the errors (B,) of their reconstructions by name.

    `error` is that of the latents returned, `error_before` that before they were refined; none without a
    refiner, which refining needs.
    """
    with torch.no_grad():
        z = embedder.embed(images, sample, rng).float()
    if refiner is None:
        return z, {}
    before = refiner.errors(z, images)
    if refinement.steps == 0:
        return z, {"error": before}
    z = refiner.refined(z, images, refinement)
    return z, {"error": refiner.errors(z, images), "error_before": before}
