"""The network of StyleGAN (Karras et al. 2019, 1812.04948) in plain torch, exact to genforce's weights.

Constants (equalised learning rates, gains, which this network has in its weights) are multiplied in when it is built.
"""

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import nn

from generators.frozen import FixedConv, FrozenLayer, MergedUpsampledConv, upsampled_conv
from generators.mapping import FixedLinear, MappingNetwork, in_float32
from generators.published.stylegan1.layout import CLASSES, StyleGAN1Shape
from generators.styled import StyledNetwork

_SLOPE = 0.2
_NORM_EPS = 1e-8
_MAPPING_RATE = 0.01
_FUSED_FROM = 128  # pixels: from this side on the original doubles inside the convolution, with the kernel turned
BLUR = torch.outer(torch.tensor([1.0, 2.0, 1.0]), torch.tensor([1.0, 2.0, 1.0])) / 16
State = Mapping[str, torch.Tensor]


def _linear(state: State, name: str, gain: float, rate: float = 1.0) -> FixedLinear:
    weight = state[f"{name}.weight"].float()
    return FixedLinear(weight * (gain * rate / math.sqrt(weight.shape[1])), state[f"{name}.bias"].float() * rate)


def _embedding(state: State) -> FixedLinear:
    weight = state[CLASSES].float().T
    return FixedLinear(weight, weight.new_zeros(len(weight)))


def _doubling(weight: torch.Tensor, side: int) -> nn.Module:
    """Return the convolution (B, C, side, side) -> (B, C', 2 side, 2 side), without its bias."""
    nothing = weight.new_zeros(len(weight))
    if 2 * side >= _FUSED_FROM:
        return MergedUpsampledConv(weight.flip(2, 3), nothing)
    return upsampled_conv(weight, nothing, side)


class Blur(FrozenLayer):
    """The filter 1, 2, 1 along both axes, with zeros around: (B, C, H, W) -> the same."""

    weight: torch.Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("weight", BLUR.expand(channels, 1, -1, -1).contiguous())

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return features of the same shape."""
        return F.conv2d(features, self.cast("weight"), padding=1, groups=len(self.weight))


class StyledLayer(nn.Module):
    """A convolution (none in the first layer), noise, bias and activation; then each channel brought to a style."""

    strength: torch.Tensor
    noise: torch.Tensor
    bias: torch.Tensor

    def __init__(self, state: State, index: int, side: int) -> None:
        super().__init__()
        name = f"synthesis.layer{index}"
        doubles = index >= 2 and index % 2 == 0
        self.conv: nn.Module = nn.Identity()
        if index:
            weight = state[f"{name}.weight"].float()
            weight = weight * math.sqrt(2 / weight[0].numel())
            self.conv = nn.Sequential(_doubling(weight, side // 2), Blur(len(weight))) if doubles else FixedConv(weight)
        self.style = _linear(state, f"{name}.style", 1.0)
        self.register_buffer("strength", state[f"{name}.apply_noise.weight"].float()[:, None, None])
        self.register_buffer("noise", state[f"{name}.apply_noise.noise"].float())
        self.register_buffer("bias", state[f"{name}.bias"].float()[:, None, None])

    def forward(self, features: torch.Tensor, w: torch.Tensor, noise: torch.Tensor | bool = True) -> torch.Tensor:
        """Return features (B, C', H', W') in style w (B, D); `noise` (B, 1, H', W'), or whether to take the stored."""
        h = self.conv(features)
        if noise is not False:
            drawn = self.noise if noise is True else noise
            h = torch.addcmul(h, self.strength.to(h.dtype), drawn.to(h.dtype))
        h = F.leaky_relu(h + self.bias.to(h.dtype), _SLOPE)
        with in_float32(w):
            scale, offset = self.style(w)[:, :, None, None].chunk(2, dim=1)
            variance, mean = torch.var_mean(h.float(), dim=(2, 3), correction=0, keepdim=True)
            scale = (1 + scale) * (variance + _NORM_EPS).rsqrt()
            offset = offset - mean * scale
        return torch.addcmul(offset.to(h.dtype), h, scale.to(h.dtype))


class StyleGAN1Network(StyledNetwork):
    """w -> images (B, 3, S, S), nominally in [-1, 1] and not clamped; frozen, gradients reach w.

    Built from a published state that fits `shape`, at its full resolution (`lod` 0).
    """

    constant: torch.Tensor
    colours: torch.Tensor
    bias: torch.Tensor

    def __init__(self, shape: StyleGAN1Shape, state: State) -> None:
        super().__init__()
        self.latent_dim, self.style_dim = shape.latent_dim, shape.style_dim
        self.num_layers, self.image_size = shape.num_layers, shape.image_size
        self.num_classes = shape.num_classes
        self.noise_shapes = [(shape.side(i), shape.side(i)) for i in range(shape.num_layers)]
        names = [f"mapping.dense{i}" for i in range(shape.mapping_layers)]
        layers = [_linear(state, name, math.sqrt(2), _MAPPING_RATE) for name in names]
        self.mapping = MappingNetwork(layers, _embedding(state) if shape.num_classes else None, joined=True)
        self.register_buffer("constant", state["synthesis.layer0.const"].float())
        self.layers = nn.ModuleList(StyledLayer(state, i, shape.side(i)) for i in range(shape.num_layers))
        output = f"synthesis.output{len(shape.channels) - 1}"
        weight = state[f"{output}.weight"].float()
        self.register_buffer("colours", weight[:, :, 0, 0] / math.sqrt(weight.shape[1]))
        self.register_buffer("bias", state[f"{output}.bias"].float()[:, None, None])

    def forward(self, w: torch.Tensor, noises: Sequence[torch.Tensor] | None = None) -> torch.Tensor:
        """Return the images of w (B, D), or of a w for every layer (B, num_layers, D)."""
        ws = self.by_layer(w)
        h = self.constant.expand(w.shape[0], -1, -1, -1).contiguous(memory_format=torch.channels_last)
        for i, layer in enumerate(self.layers):
            h = layer(h, ws[:, i], noises[i] if noises else noises is None)
        return torch.einsum("oc,bchw->bohw", self.colours, h.float()) + self.bias

    def modulations(self) -> list[torch.Tensor]:
        """Return the weights (2 C, D) of the affine maps that read w, one a layer."""
        return [layer.style.weight for layer in self.layers if isinstance(layer, StyledLayer)]
