"""The mapping network of style-based generators: z, and a class where there are some, to w."""

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

import torch
import torch.nn.functional as F
from torch import nn

_EPS = 1e-8
_SLOPE = 0.2
_GAIN = math.sqrt(2)  # behind every activation; it passes through the activation, hence is folded in before
MAPPING_RATE = 0.01


def in_float32(tensor: torch.Tensor) -> AbstractContextManager:
    """Return a context without autocast: styles are small work, but every pixel depends on them."""
    return torch.autocast(tensor.device.type, enabled=False)


class FixedLinear(nn.Module):
    """An affine map with weights that are never trained."""

    weight: torch.Tensor
    bias: torch.Tensor

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the image (B, M) of x (B, D)."""
        return F.linear(x, self.weight, self.bias)


class MappingNetwork(nn.Module):
    """z (B, Z), and classes y (B,) -> w (B, D): affine maps, leaky ReLU behind each, in the weights' precision.

    z is brought to a fixed length first. The class passes through `embed`, an affine map of one-hot vectors, is brought
    to the same length by itself, and stands behind z; if they are `joined`, both are brought to it together, as in
    StyleGAN.
    """

    def __init__(self, layers: Sequence[FixedLinear], embed: FixedLinear | None = None, joined: bool = False) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.embed = embed
        self.joined = joined

    def forward(self, z: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        """Return w (B, D)."""
        with in_float32(z):
            parts = [z] if self.embed is None else [z, self.embed.weight.T[y] + self.embed.bias]
            x = _at_length(torch.cat(parts, dim=1)) if self.joined else torch.cat(list(map(_at_length, parts)), dim=1)
            for layer in self.layers:
                x = F.leaky_relu(layer(x), _SLOPE)
        return x


def _at_length(x: torch.Tensor) -> torch.Tensor:
    """Return x (B, D) divided by the root of its mean square."""
    return x * (x.square().mean(dim=1, keepdim=True) + _EPS).rsqrt()


def equalised(state: Mapping[str, torch.Tensor], name: str, gain: float = 1.0) -> FixedLinear:
    """Return an affine map out of a state, with the constant of its equalised learning rate multiplied in."""
    weight = state[f"{name}.weight"].float()
    return FixedLinear(weight * (gain / math.sqrt(weight.shape[1])), state[f"{name}.bias"].float() * gain)


def mapping_shapes(latent_dim: int, style_dim: int, layers: int, num_classes: int) -> dict[str, tuple[int, ...]]:
    """Return name -> shape of the entries of a mapping network as NVlabs' torch states have them, the mean w last."""
    inputs, sizes = latent_dim, dict[str, tuple[int, ...]]()
    if num_classes:
        sizes = {"mapping.embed.weight": (style_dim, num_classes), "mapping.embed.bias": (style_dim,)}
        inputs += style_dim
    for i in range(layers):
        sizes[f"mapping.fc{i}.weight"] = (style_dim, style_dim if i else inputs)
        sizes[f"mapping.fc{i}.bias"] = (style_dim,)
    return sizes | {"mapping.w_avg": (style_dim,)}


def mapping_of(state: Mapping[str, torch.Tensor], layers: int, rate: float = MAPPING_RATE) -> MappingNetwork:
    """Return the mapping network of a state with the entries of `mapping_shapes`; `rate` of learning of its layers."""
    embed = equalised(state, "mapping.embed") if "mapping.embed.weight" in state else None
    return MappingNetwork([equalised(state, f"mapping.fc{i}", _GAIN * rate) for i in range(layers)], embed)
