"""A generator small enough to know by heart: images = tanh(1.5 W z) with a fixed W."""

from typing import Self

import torch
from golden_fill import fill_value

from generators.protocol import Latents
from toolkit.streams import Stream


class ToyGenerator:
    """Protocol-conforming; with W from the fill rule it is the toy generator of the golden files."""

    def __init__(self, latent_dim: int = 8, image_size: int = 32) -> None:
        self.name = "toy"
        self.latent_dim = latent_dim
        self.image_size = image_size
        self.weight = torch.from_numpy(fill_value(0, "weight", (3 * image_size**2, latent_dim)))

    def sample(self, count: int, rng: Stream, truncation: float | None = None) -> Latents:
        return Latents(rng.normal(count, self.latent_dim, truncation))

    def __call__(self, latents: Latents) -> torch.Tensor:
        images = torch.tanh(1.5 * latents.z @ self.weight.T)
        return images.view(-1, 3, self.image_size, self.image_size)

    def to(self, device: torch.device) -> Self:
        self.weight = self.weight.to(device)
        return self
