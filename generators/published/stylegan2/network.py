"""The network of StyleGAN2 (Karras et al. 2020, 1912.04958) in plain torch, exact to the published weights.

A convolution whose weights are scaled by each sample's style (section 2.2) is computed as scaled input, shared weights
and scaled output, which is the same but needs no weights a sample. Every constant (equalised learning rates, gain and
activation) is multiplied into the weights when the network is built.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from generators.frozen import FixedConv
from generators.mapping import FixedLinear, MappingNetwork, in_float32
from generators.published.stylegan2.layout import FILTER, StyleGAN2Shape
from generators.styled import StyledNetwork

_EPS = 1e-8
_SLOPE = 0.2
_GAIN = math.sqrt(2)  # behind every activation; it passes through the activation, hence is folded in before
_MAPPING_RATE = 0.01


@dataclass(frozen=True)
class _Published:
    """A published state, read as float32 with the constants of the equalised learning rate multiplied in."""

    tensors: Mapping[str, torch.Tensor]

    def __getitem__(self, name: str) -> torch.Tensor:
        return self.tensors[name].float()

    def linear(self, name: str, gain: float) -> FixedLinear:
        weight = self[f"{name}.weight"]
        return FixedLinear(weight * (gain / math.sqrt(weight.shape[1])), self[f"{name}.bias"] * gain)

    def mapping(self, num_layers: int) -> MappingNetwork:
        rate = _GAIN * _MAPPING_RATE
        return MappingNetwork([self.linear(f"style.{i + 1}", rate) for i in range(num_layers)])

    def weight(self, name: str) -> torch.Tensor:
        weight = self[f"{name}.weight"][0]
        return weight / math.sqrt(weight[0].numel())


def _spatial(values: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """Return values (B, C) as (B, C, 1, 1) in the precision of `features`."""
    return values[:, :, None, None].to(features.dtype)


class UpsampledConv(nn.Module):
    """The transposed 3x3 convolution of stride 2, then the filter 1, 3, 3, 1: (B, C, H, W) -> (B, C', 2H, 2W).

    One merged convolution would take four times the products; with 512 channels the filter takes 3 % of the time.
    """

    weight: torch.Tensor
    filter: torch.Tensor

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight.transpose(0, 1).contiguous(memory_format=torch.channels_last))
        self.register_buffer("filter", FILTER.expand(len(weight), 1, -1, -1).contiguous())

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return features (B, C', 2H, 2W)."""
        features = F.conv_transpose2d(features, self.weight, stride=2)
        return F.conv2d(features, self.filter, padding=1, groups=len(self.filter))


class StyledConv(nn.Module):
    """Modulated and demodulated 3x3 convolution, noise, bias and activation (figure 2d of the paper)."""

    energy: torch.Tensor
    bias: torch.Tensor
    strength: torch.Tensor
    noise: torch.Tensor

    def __init__(self, published: _Published, name: str, noise: str, conv: type[nn.Module]) -> None:
        super().__init__()
        weight = published.weight(f"{name}.conv")
        self.modulation = published.linear(f"{name}.conv.modulation", 1.0)
        self.conv = conv(weight)
        self.register_buffer("energy", weight.square().sum(dim=(2, 3)).T.contiguous())
        self.register_buffer("bias", _GAIN * published[f"{name}.activate.bias"][:, None, None])
        self.register_buffer("strength", _GAIN * published[f"{name}.noise.weight"])
        self.register_buffer("noise", published[noise])

    def forward(self, features: torch.Tensor, w: torch.Tensor, noise: torch.Tensor | None = None) -> torch.Tensor:
        """Return features (B, C', H', W') in style w (B, D), with the stored noise unless `noise` (B, 1, H', W')."""
        with in_float32(w):
            scale = self.modulation(w)
            gain = _GAIN * (scale.square() @ self.energy + _EPS).rsqrt()
            noise = self.strength * (self.noise if noise is None else noise)
        h = self.conv(features * _spatial(scale, features))
        h = torch.addcmul(self.bias.to(h.dtype), h, _spatial(gain, h)).add_(noise.to(h.dtype))
        return F.leaky_relu_(h, _SLOPE)


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to colours, added to the doubled image so far; images are float32."""

    weight: torch.Tensor
    bias: torch.Tensor

    def __init__(self, published: _Published, name: str) -> None:
        super().__init__()
        self.modulation = published.linear(f"{name}.conv.modulation", 1.0)
        self.register_buffer("weight", published.weight(f"{name}.conv")[:, :, 0, 0])
        self.register_buffer("bias", published[f"{name}.bias"])

    def forward(self, features: torch.Tensor, w: torch.Tensor, image: torch.Tensor | None = None) -> torch.Tensor:
        """Return the image (B, 3, H, W) of features in style w (B, D) and of `image` (B, 3, H / 2, W / 2)."""
        with in_float32(w):
            weight = self.weight * self.modulation(w)[:, None]
        # Three rows a sample are cheaper to scale than the features.
        colours = (weight.to(features.dtype) @ features.flatten(2)).float().unflatten(2, features.shape[2:]) + self.bias
        return colours if image is None else colours + doubled(image)


def doubled(image: torch.Tensor) -> torch.Tensor:
    """Return an image (B, C, H, W) at twice its side by the filter 1, 3, 3, 1, with zeros around it.

    Inside, this is bilinear interpolation; at the border that would repeat the last pixels instead.
    """
    padded = F.pad(image, (1, 1, 1, 1))
    return F.interpolate(padded, scale_factor=2.0, mode="bilinear", align_corners=False)[:, :, 2:-2, 2:-2]


class StyleGAN2Network(StyledNetwork):
    """w -> images (B, 3, S, S), nominally in [-1, 1] and not clamped; frozen, gradients reach w.

    Built from a published state that fits `shape`. `mapping` takes z (B, D) to w (B, D). Modules bear the names of the
    published layout.
    """

    constant: torch.Tensor

    def __init__(self, shape: StyleGAN2Shape, state: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        published = _Published(state)
        self.shape = shape
        self.latent_dim = self.style_dim = shape.style_dim
        self.num_layers = shape.num_slots
        self.image_size = shape.image_size
        self.noise_shapes = [(side, side) for side in shape.noise_sides]
        self.mapping = published.mapping(shape.mapping_layers)
        self.register_buffer("constant", published["input.input"])
        self.conv1 = StyledConv(published, "conv1", "noises.noise_0", FixedConv)
        self.to_rgb1 = ToRGB(published, "to_rgb1")
        kinds = zip(range(shape.num_slots - 2), itertools.cycle((UpsampledConv, FixedConv)), strict=False)
        self.convs = nn.ModuleList(
            StyledConv(published, f"convs.{i}", f"noises.noise_{i + 1}", kind) for i, kind in kinds
        )
        self.to_rgbs = nn.ModuleList(ToRGB(published, f"to_rgbs.{i}") for i in range(len(self.convs) // 2))

    def forward(self, w: torch.Tensor, noises: Sequence[torch.Tensor] | None = None) -> torch.Tensor:
        """Return the images of w (B, D), or of a w for every slot (B, num_slots, D) as in style mixing.

        Slot i styles the i-th convolution, and the step to colours behind it slot i + 1. `noises` (B, 1, s, s) of
        the sides `shape.noise_sides` take the place of those stored in the weights.
        """
        slots = self.by_layer(w).unbind(1)
        given = [None] * len(self.shape.noise_sides) if noises is None else noises
        h = self.constant.expand(len(w), -1, -1, -1).contiguous(memory_format=torch.channels_last)
        h = self.conv1(h, slots[0], given[0])
        image = self.to_rgb1(h, slots[1])
        for i, to_rgb in enumerate(self.to_rgbs):
            for j in (2 * i, 2 * i + 1):
                h = self.convs[j](h, slots[j + 1], given[j + 1])
            image = to_rgb(h, slots[2 * i + 3], image)
        return image

    def modulations(self) -> list[torch.Tensor]:
        """Return the weights (M_i, D) of the affine maps that read w, one a slot: the steps to colours share theirs,
        but the last.
        """
        layers = [self.conv1, *self.convs, self.to_rgbs[-1]]
        return [layer.modulation.weight for layer in layers]
