"""Layers of a generator that takes a latent for each: latents mixed of two, searches for what moves some of them."""

from dataclasses import dataclass, field, replace
from typing import Self

import torch
from torch import nn

from generators.protocol import (
    Generator,
    Inspectable,
    KnowsDirections,
    Latents,
    ReadByLayer,
    image_shape,
    layers_named,
)
from toolkit.moves import AnyShift
from toolkit.shifts import at_layers, layers_text
from toolkit.streams import Stream


def mixed(latents: Latents, others: Latents, layers: torch.Tensor | None, count: int) -> Latents:
    """Return `latents` with the latents of `others`, as many or one for all, at `layers` (L,) of `count`: mixed styles.

    None means all layers. Classes and noise are those of `latents`. Karras et al. 2019 (1812.04948), section 3.1.
    """
    own, donated = latents.layered(count), others.layered(count).z.to(latents.z)
    z = donated.expand_as(own.z) if layers is None else torch.where(layers.to(own.z.device)[:, None], donated, own.z)
    return Latents(z, latents.y)


def mixing_table(sources: Latents, donors: Latents, layers: torch.Tensor | None, count: int) -> Latents:
    """Return the M * N latents of every source mixed with every donor (see `mixed`), donor after donor of a source."""
    rows = torch.arange(len(sources)).repeat_interleave(len(donors))
    columns = torch.arange(len(donors)).repeat(len(sources))
    return mixed(sources[rows], donors[columns], layers, count)


@dataclass(frozen=True)
class LatentsAtLayers(Latents):
    """Latents of which a shift (D,) or (B, D) moves the layers alone where `layers` (L,) is true."""

    layers: torch.Tensor = field(kw_only=True)

    def to(self, device: torch.device) -> Self:
        """Return the same latents on `device`."""
        return replace(super().to(device), layers=self.layers.to(device))

    def shifted(self, shift: AnyShift) -> Self:
        """Return z + shift at these layers with the same classes; a shift by layer, and a move, as they are."""
        if isinstance(shift, torch.Tensor) and shift.dim() < 3:
            shift = at_layers(shift.reshape(-1, shift.shape[-1]), self.layers)
        return super().shifted(shift)


class AtLayers:
    """A generator as one sees it who looks for directions of some of its layers: a shift of its latents moves these.

    `layers` (L,) bool says which. Images are the generator's own.
    """

    def __init__(self, generator: Generator, layers: torch.Tensor) -> None:
        self.generator = generator
        self.layers = layers
        self.num_layers = len(layers)
        self.name = generator.name
        self.latent_dim = generator.latent_dim
        self.image_size = generator.image_size
        self.image_shape = image_shape(generator)

    def __repr__(self) -> str:
        return f"<{self.generator!r} at layers {layers_text(self.layers)}>"

    def sample(self, count: int, rng: Stream, truncation: float | None = None) -> LatentsAtLayers:
        """Return the generator's next latents."""
        latents = self.generator.sample(count, rng, truncation)
        return LatentsAtLayers(latents.z, latents.y, layers=self.layers)

    def __call__(self, latents: Latents) -> torch.Tensor:
        """Return the generator's images (B, 3, H, W)."""
        return self.generator(latents)

    def own_directions(self) -> dict[str, torch.Tensor]:
        """Return the directions (D,) that the generator knows, by name."""
        return self.generator.own_directions() if isinstance(self.generator, KnowsDirections) else {}

    def to(self, device: torch.device) -> Self:
        """Return the same view of the generator on `device`."""
        return type(self)(self.generator.to(device), self.layers)


class InspectableAtLayers(AtLayers):
    """The same of a generator whose inside is known; the weights that read the latent are those of the layers."""

    def __init__(self, generator: Generator, layers: torch.Tensor) -> None:
        super().__init__(generator, layers)
        assert isinstance(generator, Inspectable)
        self.inside = generator
        self.network: nn.Module = generator.network
        self.feature_layer = generator.feature_layer

    def first_weights(self) -> list[torch.Tensor]:
        """Return the weights (M_i, D) that read the latent, those of the layers where there is one a layer."""
        inside = self.inside
        weights = inside.layer_weights() if isinstance(inside, ReadByLayer) else inside.first_weights()
        if len(weights) != self.num_layers:
            return weights
        return [weight for weight, moved in zip(weights, self.layers.tolist(), strict=True) if moved]


def seen_at(generator: Generator, layers: str | None) -> Generator:
    """Return a generator seen at the layers that are named (see AtLayers), itself where they are all or not named.

    UserError where it has no such layers.
    """
    which = None if layers is None else layers_named(layers, generator)
    if which is None:
        return generator
    return InspectableAtLayers(generator, which) if isinstance(generator, Inspectable) else AtLayers(generator, which)
