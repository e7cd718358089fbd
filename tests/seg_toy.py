"""A generator simple enough to know its masks: a disc on a darker ground, drawn by a formula."""

import torch

from generators.protocol import Latents
from toolkit.streams import Stream

# Along the first axis the disc brightens and the ground darkens: the lighting rule finds exactly the disc.
CONTRAST_AXIS = 0


class DiscGenerator:
    """z = (contrast, row, column, radius, shade of the ground's ramp); images (B, 3, S, S) in [-1, 1]."""

    name = "disc"
    latent_dim = 5

    def __init__(self, image_size: int = 32, radius: float = 0.45) -> None:
        self.image_size = image_size
        self.radius = radius
        self.batches: list[int] = []

    def sample(self, count: int, rng: Stream, truncation: float | None = None) -> Latents:
        return Latents(rng.normal(count, self.latent_dim, truncation))

    def disc(self, latents: Latents) -> torch.Tensor:
        """Return the true masks (B, S, S)."""
        z = latents.z[:, :, None, None]
        axis = torch.linspace(-1, 1, self.image_size, device=z.device)
        rows, columns = axis[:, None] - 0.4 * z[:, 1].tanh(), axis[None] - 0.4 * z[:, 2].tanh()
        radius = self.radius * (1 + 0.6 * z[:, 3].tanh())
        return rows**2 + columns**2 < radius**2

    def __call__(self, latents: Latents) -> torch.Tensor:
        self.batches.append(len(latents))
        z = latents.z[:, :, None, None]
        contrast = 0.2 * z[:, 0].tanh()
        ramp = torch.linspace(-1, 1, self.image_size, device=z.device)[None, None]
        ground = -0.45 - contrast + 0.15 * ramp * z[:, 4].tanh()
        shade = torch.where(self.disc(latents), 0.45 + contrast + 0.05 * ramp, ground)
        return torch.stack([shade, 0.9 * shade, 0.8 * shade], dim=1)

    def to(self, device: torch.device) -> "DiscGenerator":
        return self


def contrast_shift(length: float = 3.0) -> torch.Tensor:
    """Return the shift (D,) that brightens the disc and darkens the ground."""
    shift = torch.zeros(DiscGenerator.latent_dim)
    shift[CONTRAST_AXIS] = length
    return shift
