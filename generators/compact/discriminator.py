"""The discriminator of a compact generator: images to scores, spectrally normalised."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.function import once_differentiable

from generators.compact.settings import GROUP
from generators.compact.spectral import normed

# SiLU and average pooling each fade small signals by about half. Without a gain that makes up for both the normalised
# critic stays at chance: with 2, photos and fakes scored alike (gap 0.00) after 3,000 steps; with 10, 0.4 apart.
_GAIN = 8.0


class Discriminator(nn.Module):
    """Images (B, 3, S, S) -> scores (B,). Spectrally normalised, pooled between stages.

    The first convolution sees the picture folded to half its side with four times the channels, and stages shrink by
    pooling: on CPUs the backward pass of strided and full-size convolutions is what costs most.
    """

    def __init__(self, image_size: int, width: int) -> None:
        super().__init__()
        stages: list[nn.Module] = [nn.PixelUnshuffle(2), _conv(12, width), nn.SiLU()]
        channels, side = width, image_size // 2
        while side > 4:
            wider = min(4 * width, channels * 2)
            stages += [_Pooled(), _conv(channels, wider), nn.SiLU()]
            channels, side = wider, side // 2
        self.stages = nn.Sequential(*stages)
        self.last = _conv(channels + 1, channels)
        self.num_features = channels * side * side
        self.score = normed(nn.Linear(self.num_features, 1))

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Return what the score is linear in, (B, num_features), of images (B, 3, S, S) as for `forward`."""
        features = self.stages(images)
        return F.silu(self.last(_with_spread(features))).flatten(1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return scores (B,) of images (B, 3, S, S) in [-1, 1]; B above 8 is a multiple of 8."""
        return self.score(self.features(images)).squeeze(1).float()


class _Pooled(nn.Module):
    """Features (B, C, H, W) -> the mean of each square of four pixels, (B, C, H / 2, W / 2)."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return _Pool.apply(features)


class _Pool(torch.autograd.Function):
    """The backward pass of torch's own pooling fills its result with zeros, then adds to it: five times the work."""

    @staticmethod
    def forward(ctx: Any, features: torch.Tensor) -> torch.Tensor:
        return F.avg_pool2d(features, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        return F.interpolate(grad / 4, scale_factor=2.0, mode="nearest")


def _conv(inputs: int, outputs: int) -> nn.Module:
    return normed(nn.Conv2d(inputs, outputs, 3, padding=1), _GAIN)


def _with_spread(features: torch.Tensor) -> torch.Tensor:
    """Append each group's standard deviation as a channel (Karras et al. 2018, section 3): it shows lost variety."""
    groups = features.float().unflatten(0, (-1, min(GROUP, len(features))))
    var = (groups - groups.mean(dim=1, keepdim=True)).square().mean(dim=1)  # groups.var takes six times as long
    spread = (var + 1e-8).sqrt().mean(dim=(1, 2, 3))
    spread = spread.repeat_interleave(groups.shape[1])[:, None, None, None]
    return torch.cat([features, spread.expand(-1, 1, *features.shape[2:]).to(features.dtype)], dim=1)
