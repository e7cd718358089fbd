"""A generator this project did not make: bright discs on a ground whose shade is one latent number."""

import torch
from torch import nn

from generators.own.wrapper import OwnGenerator


class Discs(nn.Module):
    def __init__(self, side: int, seed: int, width: int | None = None) -> None:
        super().__init__()
        weights = torch.randn(5, 12, generator=torch.Generator().manual_seed(seed))
        self.mix = nn.Linear(12, 5, bias=False)
        self.mix.weight = nn.Parameter(torch.linalg.qr(weights.T)[0].T.contiguous())
        self.register_buffer(
            "grid",
            torch.stack(
                torch.meshgrid(*(torch.linspace(-1, 1, length) for length in (side, width or side)), indexing="ij")
            ),
        )

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        ground, disc, size, *centre = self.mix(z).T[:, :, None, None]
        far = ((self.grid[None] - 0.3 * torch.stack(centre, dim=1).tanh().flatten(2)[..., None]) ** 2).sum(dim=1)
        inside = torch.sigmoid(20 * (0.2 + 0.05 * size.tanh() - far))
        shade = inside * torch.sigmoid(disc + 1) + (1 - inside) * torch.sigmoid(ground - 0.5)
        return shade[:, None]


def make(side: int = 32, seed: int = 0, named: str = "discs", width: int | None = None) -> OwnGenerator:
    return OwnGenerator(
        Discs(side, seed, width),
        latent_dim=12,
        image_size=side if width is None else (side, width),
        name=named,
        value_range=(0, 1),
        first_layers=("mix",),
    )
