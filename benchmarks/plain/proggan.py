"""ProgGAN (Karras et al. 2018, 1710.10196) layer by layer, as GANLatentDiscovery renders its file.

Nothing of the library is used. `plain` renders as the published network does: the learning rate's constant scales what
a convolution gives, features are doubled before it, and each pixel is normalised on its own.
"""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F

State = Mapping[str, torch.Tensor]
_EPS = 1e-8


def normed(x: torch.Tensor) -> torch.Tensor:
    """Return features of the same shape, of length 1 on average over the channels."""
    return x / torch.sqrt(torch.mean(x**2, dim=1, keepdim=True) + _EPS)


def layer(state: State, name: str, x: torch.Tensor, padding: int) -> torch.Tensor:
    """Return a convolution, scaled and biased by what the file stores for it."""
    h = F.conv2d(x, state[f"{name}.conv.weight"], padding=padding)
    return h * state[f"{name}.wscale.scale"] + state[f"{name}.wscale.b"][:, None, None]


def plain(state: State) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the network of a published state as a function from z (B, D) to images (B, 3, S, S)."""
    blocks = sum(name.startswith("features.") and name.endswith(".conv.weight") for name in state)

    def images(z: torch.Tensor) -> torch.Tensor:
        h = z[:, :, None, None]
        for i in range(blocks):
            h = normed(h)
            if i and i % 2 == 0:
                h = F.interpolate(h, scale_factor=2.0, mode="nearest")
            h = F.leaky_relu(layer(state, f"features.{i}", h, padding=1 if i else 3), 0.2)
        return layer(state, "output", normed(h), padding=0)

    return images
