"""Where the image of a StyleGAN3 lies: turned about its centre, then shifted, by three further latent numbers.

The network is made to render its image anywhere: waves that the input is made of are turned and moved themselves. -T is
made for shifts, -R for turns as well.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from generators.mapping import in_float32
from generators.published.stylegan3.network import StyleGAN3Network
from generators.styled import StyledNetwork

DEGREES = 15.0  # of a latent unit: a walk of the usual 6 turns by 90
SHIFT = 0.05  # of the image's side, of a latent unit: 6 are 0.3
NAMES = ("rotate", "right", "down")


def source_points(pose: torch.Tensor) -> torch.Tensor:
    """Return transforms (B, 3, 3) from points of the moved image to where they come from, in sides of the image.

    `pose` (B, 3): the turn in degrees, clockwise, and the shift right and down, in sides. The inverse of a turn about
    the centre followed by a shift.
    """
    angle, right, down = pose.unbind(1)
    cosine, sine = (function(torch.deg2rad(angle)) for function in (torch.cos, torch.sin))
    zero, one = torch.zeros_like(angle), torch.ones_like(angle)
    back = torch.stack([cosine, sine, zero, -sine, cosine, zero, zero, zero, one], dim=1).unflatten(1, (3, 3))
    away = torch.stack([one, zero, -right, zero, one, -down, zero, zero, one], dim=1).unflatten(1, (3, 3))
    return back @ away


class PosedNetwork(StyledNetwork):
    """w and three numbers behind it -> images (B, 3, S, S): the turn in 15 degrees, the shift in 0.05 of the side.

    0 for what the mapping gives. With a latent for every layer those of the first count, which drives the input.
    """

    units: torch.Tensor

    def __init__(self, network: StyleGAN3Network) -> None:
        super().__init__()
        self.network = network
        self.latent_dim = network.latent_dim
        self.style_dim = network.style_dim + len(NAMES)
        self.num_layers = network.num_layers
        self.drawing_layers = network.drawing_layers
        self.num_classes = network.num_classes
        self.image_size = network.image_size
        self.mapping = Unmoved(network.mapping)
        self.register_buffer("units", torch.tensor([DEGREES, SHIFT, SHIFT]))

    def forward(self, w: torch.Tensor, noises: Sequence[torch.Tensor] | None = None) -> torch.Tensor:
        """Return the images of w (B, D), or of a w for every slot (B, num_layers, D); there is no noise to give."""
        w = self.by_layer(w)
        with in_float32(w):
            moved = source_points(w[:, 0, -len(NAMES) :] * self.units)
        return self.network.moved(w[..., : -len(NAMES)], moved)

    def modulations(self) -> list[torch.Tensor]:
        """Return the weights (M_i, D) of the affine maps that read w; they do not read where the image lies."""
        return [F.pad(weight, (0, len(NAMES))) for weight in self.network.modulations()]

    def own_directions(self) -> dict[str, torch.Tensor]:
        """Return the three axes (D,) by name."""
        return dict(zip(NAMES, torch.eye(self.style_dim)[-len(NAMES) :], strict=True))


class Unmoved(nn.Module):
    """A mapping whose w has three numbers more, all 0."""

    def __init__(self, mapping: nn.Module) -> None:
        super().__init__()
        self.mapping = mapping

    def forward(self, z: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        """Return w (B, D)."""
        return F.pad(self.mapping(z, y), (0, len(NAMES)))
