"""SNGAN generators of torch-mimicry, 32 to 128 px, for inference, exact to the published weights.

Unlike the SNGAN of GANLatentDiscovery (generators.published.sngan) they double by bilinear interpolation.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from generators.frozen import FixedConv, FrozenGenerator, FrozenLayer, FrozenNetwork, likeliest_size, modulated
from generators.layers.residual import Layer, fixed_norm
from generators.layers.shapes import layer_shapes, norm_shapes
from generators.layouts import Family, Layout, Weights
from generators.spec import Options
from toolkit.errors import UserError

_NORM_EPS = 1e-5
_FIRST_BLOCK = 2  # the number in its name
_MOST_BLOCKS = 8
_HELD = "model_state_dict"
State = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class MimicryShape:
    """The sizes that name a network: channels in front of and behind each block, side and length of its input."""

    channels: tuple[int, ...]
    first_side: int = 4
    latent_dim: int = 128

    @property
    def num_blocks(self) -> int:
        """Return the number of doubling blocks."""
        return len(self.channels) - 1

    @property
    def last(self) -> int:
        """Return the number in the names of the last norm and convolution."""
        return _FIRST_BLOCK + self.num_blocks

    @property
    def image_size(self) -> int:
        """Return the side of the images in pixels."""
        return self.first_side * 2**self.num_blocks


def published_shapes(shape: MimicryShape) -> dict[str, tuple[int, ...]]:
    """Return name -> shape of every entry of a published state dict."""
    sizes: dict[str, tuple[int, ...]] = {}
    sizes |= layer_shapes("l1", (shape.channels[0] * shape.first_side**2, shape.latent_dim))
    for i, (a, b) in enumerate(zip(shape.channels, shape.channels[1:], strict=False), start=_FIRST_BLOCK):
        sizes |= layer_shapes(f"block{i}.c1", (b, a, 3, 3))
        sizes |= layer_shapes(f"block{i}.c2", (b, b, 3, 3))
        sizes |= layer_shapes(f"block{i}.c_sc", (b, a, 1, 1))
        sizes |= norm_shapes(f"block{i}.b1", a)
        sizes |= norm_shapes(f"block{i}.b2", b)
    sizes |= norm_shapes(f"b{shape.last}", shape.channels[-1])
    sizes |= layer_shapes(f"c{shape.last}", (3, shape.channels[-1], 3, 3))
    return sizes


def infer_shape(state: State) -> MimicryShape:
    """Return the sizes of a published state, where it shows none those of the 32 px network."""
    numbers = [int(match[1]) for name in state if (match := re.match(r"block(\d)\.", name))]
    blocks = min(_MOST_BLOCKS, max(numbers, default=_FIRST_BLOCK + 2) - _FIRST_BLOCK + 1)
    channels = [likeliest_size(state, [("block2.b1.weight", 0), ("block2.b1.bias", 0), ("block2.c1.weight", 1)], 256)]
    for i in range(_FIRST_BLOCK, _FIRST_BLOCK + blocks):
        entries = [(f"block{i}.{name}", 0) for name in ("b2.weight", "b2.bias", "c1.bias", "c2.bias", "c_sc.bias")]
        channels.append(likeliest_size(state, entries, channels[-1]))
    outputs = likeliest_size(state, [("l1.weight", 0), ("l1.bias", 0)], 16 * channels[0])
    side = max(1, round(math.sqrt(outputs / channels[0])))
    return MimicryShape(tuple(channels), side, likeliest_size(state, [("l1.weight", 1)], 128))


def _layer(state: State, name: str) -> Layer:
    return state[f"{name}.weight"].float(), state[f"{name}.bias"].float()


class Norm(nn.Module):
    """Batch norm with fixed statistics, and ReLU."""

    modulation: torch.Tensor

    def __init__(self, state: State, name: str) -> None:
        super().__init__()
        mean, variance = (state[f"{name}.running_{what}"].float() for what in ("mean", "var"))
        self.register_buffer("modulation", fixed_norm(mean, variance, _layer(state, name), _NORM_EPS)[None])

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return features of the same shape."""
        scale, offset = self.modulation.to(features.dtype).chunk(2, dim=1)
        return modulated(features, scale, offset)


def _doubled(features: torch.Tensor) -> torch.Tensor:
    return F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)


class Block(nn.Module):
    """A residual block that doubles the side; its second norm follows a convolution and is merged into it."""

    def __init__(self, state: State, name: str) -> None:
        super().__init__()
        self.norm = Norm(state, f"{name}.b1")
        mean, variance = (state[f"{name}.b2.running_{what}"].float() for what in ("mean", "var"))
        scale, offset = fixed_norm(mean, variance, _layer(state, f"{name}.b2"), _NORM_EPS).chunk(2)
        weight, bias = _layer(state, f"{name}.c1")
        self.conv1 = FixedConv(weight * scale[:, None, None, None], bias * scale + offset)
        self.conv2 = FixedConv(*_layer(state, f"{name}.c2"))
        self.shortcut = FixedConv(*_layer(state, f"{name}.c_sc"))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return features (B, C', 2H, 2W) of x (B, C, H, W)."""
        h = self.conv2(self.conv1(_doubled(self.norm(x))).relu_())
        # A 1x1 convolution commutes with interpolation, hence a shortcut at a quarter of the pixels.
        return h.add_(_doubled(self.shortcut(x)))


class First(FrozenLayer):
    """The linear map from latents (B, D) to features (B, C, S, S)."""

    weight: torch.Tensor
    bias: torch.Tensor

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor, side: int) -> None:
        super().__init__()
        self.side = side
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Return features (B, C, S, S)."""
        features = F.linear(z, self.cast("weight"), self.bias).unflatten(1, (-1, self.side, self.side))
        return features.contiguous(memory_format=torch.channels_last)


class MimicryNetwork(FrozenNetwork):
    """z (B, D) -> images (B, 3, S, S) in [-1, 1]; built from a published state that fits `shape`."""

    feature_layer = "blocks.0"

    def __init__(self, shape: MimicryShape, state: State) -> None:
        super().__init__()
        self.latent_dim, self.image_size = shape.latent_dim, shape.image_size
        self.linear = First(*_layer(state, "l1"), shape.first_side)
        self.blocks = nn.Sequential(*(Block(state, f"block{_FIRST_BLOCK + i}") for i in range(shape.num_blocks)))
        self.norm = Norm(state, f"b{shape.last}")
        self.to_image = FixedConv(*_layer(state, f"c{shape.last}"))

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Return the images of latents z."""
        return torch.tanh(self.to_image(self.norm(self.blocks(self.linear(z)))).float())

    def first_weights(self) -> list[torch.Tensor]:
        """Return the weight (S S C, D) of the linear map that alone reads the latent."""
        return [self.linear.weight]


def unwrapped(held: Any) -> Any:
    """Return the flat state in a checkpoint of torch-mimicry, which holds an optimiser too, and all else as it is."""
    is_checkpoint = isinstance(held, Mapping) and isinstance(held.get(_HELD), Mapping)
    return held[_HELD] if is_checkpoint else held


def from_published(weights: Weights, _options: Options) -> FrozenGenerator:
    """Return the generator of a whole published state; UserError for features that are not square."""
    shape = infer_shape(weights.tensors)
    if shape.channels[0] * shape.first_side**2 != len(weights.tensors["l1.bias"]):
        raise UserError(f"l1 of {weights.path} gives no square of {shape.channels[0]} channels; check the file")
    return FrozenGenerator(MimicryNetwork(shape, weights.tensors), f"mimicry-sngan{shape.image_size}")


FAMILY = Family(
    (
        Layout(
            "an SNGAN (torch-mimicry layout)",
            lambda state: published_shapes(infer_shape(state)),
            from_published,
            lambda name: name.endswith(".num_batches_tracked"),
        ),
    ),
    unwrapped,
)
