"""The residual generators of self-conditioned GANs (Liu et al. 2020, 2006.10728), exact to the published weights.

Their classes are clusters that the training found; unconditional ones have none. No norms: blocks add a tenth of what
they compute.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from generators.frozen import (
    FixedConv,
    FrozenGenerator,
    FrozenLayer,
    FrozenNetwork,
    add_doubled,
    likeliest_size,
    upsampled_conv,
)
from generators.layers.conditional import ConditionalGenerator
from generators.layouts import Family, Layout, Weights
from generators.spec import Options

_SLOPE = 0.2
_SHARE = 0.1  # of a block's sum that it adds
_STAGES = 6
_HELD = "generator_test"  # the average of the training, which its own samples show
_OFFICIAL = (256, 256)  # numbers of a latent and of an embedding
_EMBEDDING = "get_latent.embedding.weight"
State = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class SelfConditionedShape:
    """The sizes that name a network: channels of its stages, of one side each; side and length of its input.

    `num_classes` clusters with embeddings of `embedding_dim` numbers; 0 of both without.
    """

    channels: tuple[int, ...]
    first_channels: int
    first_side: int = 4
    latent_dim: int = 256
    num_classes: int = 0
    embedding_dim: int = 0

    @property
    def image_size(self) -> int:
        """Return the side of the images in pixels."""
        return self.first_side * 2 ** (len(self.channels) - 1)

    def ends(self, stage: int, block: int) -> tuple[int, int]:
        """Return the channels in front of and behind a block."""
        behind = self.channels[stage]
        return (behind if block else [self.first_channels, *self.channels][stage]), behind


def published_shapes(shape: SelfConditionedShape) -> dict[str, tuple[int, ...]]:
    """Return name -> shape of every entry of a published state dict, without the prefix `module.` of all names."""
    sizes: dict[str, tuple[int, ...]] = {}

    def layer(name: str, weight: tuple[int, ...]) -> None:
        sizes.update({f"{name}.weight": weight, f"{name}.bias": weight[:1]})

    if shape.num_classes:
        sizes[_EMBEDDING] = (shape.num_classes, shape.embedding_dim)
    layer("fc", (shape.first_channels * shape.first_side**2, shape.latent_dim + shape.embedding_dim))
    for stage in range(len(shape.channels)):
        for block in (0, 1):
            (a, b), name = shape.ends(stage, block), f"resnet_{stage}_{block}"
            hidden = min(a, b)
            layer(f"{name}.conv_0", (hidden, a, 3, 3))
            layer(f"{name}.conv_1", (b, hidden, 3, 3))
            if a != b:
                sizes[f"{name}.conv_s.weight"] = (b, a, 1, 1)
    layer("conv_img", (3, shape.channels[-1], 3, 3))
    return sizes


def infer_shape(state: State) -> SelfConditionedShape:
    """Return the sizes of a published state, where it shows none those of the 128 px network."""
    numbers = [int(match[1]) for name in state if (match := re.match(r"resnet_(\d)_", name))]
    channels: list[int] = []
    for stage in range(max(numbers, default=_STAGES - 1) + 1):
        names = [f"resnet_{stage}_{block}.conv_1.bias" for block in (0, 1)] + [f"resnet_{stage}_1.conv_0.bias"]
        channels.append(likeliest_size(state, [(name, 0) for name in names], channels[-1] if channels else 1024))
    first = likeliest_size(state, [("resnet_0_0.conv_0.weight", 1), ("resnet_0_0.conv_s.weight", 1)], channels[0])
    outputs = likeliest_size(state, [("fc.bias", 0), ("fc.weight", 0)], 16 * first)
    classes, embedding = state[_EMBEDDING].shape if _EMBEDDING in state and state[_EMBEDDING].dim() == 2 else (0, 0)
    inputs = likeliest_size(state, [("fc.weight", 1)], 256 + embedding)
    if not classes and inputs == sum(_OFFICIAL):  # a conditional one without its embedding, not one of longer latents
        classes, embedding = 100, _OFFICIAL[1]
    return SelfConditionedShape(
        tuple(channels), first, max(1, round((outputs / first) ** 0.5)), max(1, inputs - embedding), classes, embedding
    )


def _layer(state: State, name: str, gain: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    return gain * state[f"{name}.weight"].float(), gain * state[f"{name}.bias"].float()


class Block(nn.Module):
    """x + a tenth of two convolutions behind activations; with `side` at twice the side of x, `side` pixels wide."""

    def __init__(self, state: State, name: str, side: int | None) -> None:
        super().__init__()
        self.doubles = side is not None
        first = _layer(state, f"{name}.conv_0")
        self.conv_0 = FixedConv(*first) if side is None else upsampled_conv(*first, side)
        self.conv_1 = FixedConv(*_layer(state, f"{name}.conv_1", _SHARE))
        shortcut = f"{name}.conv_s.weight"
        self.conv_s = FixedConv(state[shortcut].float()) if shortcut in state else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return features of x (B, C, H, W)."""
        # Nearest doubling commutes with activations and 1x1 convolutions.
        h = self.conv_1(F.leaky_relu_(self.conv_0(F.leaky_relu(x, _SLOPE)), _SLOPE))
        around = x if self.conv_s is None else self.conv_s(x)
        return add_doubled(h, around) if self.doubles else h + around


class First(FrozenLayer):
    """The linear map from latents (B, D) and, where there are some, clusters (B,) to features (B, C, S, S)."""

    weight: torch.Tensor
    clusters: torch.Tensor

    def __init__(self, shape: SelfConditionedShape, state: State) -> None:
        super().__init__()
        self.side = shape.first_side
        weight, bias = _layer(state, "fc")
        latent, embedded = weight.split([shape.latent_dim, shape.embedding_dim], dim=1)
        # What a cluster adds is known beforehand.
        clusters = bias[None]
        if shape.num_classes:
            clusters = clusters + F.normalize(state[_EMBEDDING].float(), dim=1) @ embedded.T
        self.register_buffer("weight", latent.contiguous())
        self.register_buffer("clusters", clusters)

    def forward(self, z: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        """Return features (B, C, S, S)."""
        flat = F.linear(z, self.cast("weight"))
        flat = flat + (self.clusters if y is None else self.clusters[y]).to(flat.dtype)
        return flat.unflatten(1, (-1, self.side, self.side)).contiguous(memory_format=torch.channels_last)


class SelfConditionedNetwork(FrozenNetwork):
    """z (B, D), and clusters (B,) where there are some -> images (B, 3, S, S) in [-1, 1]; from a state of `shape`."""

    feature_layer = "fc"

    def __init__(self, shape: SelfConditionedShape, state: State) -> None:
        super().__init__()
        self.latent_dim, self.image_size = shape.latent_dim, shape.image_size
        self.fc = First(shape, state)
        self.blocks = nn.Sequential()
        for stage in range(len(shape.channels)):
            side = shape.first_side * 2 ** (stage - 1) if stage else None
            self.blocks.append(Block(state, f"resnet_{stage}_0", side))
            self.blocks.append(Block(state, f"resnet_{stage}_1", None))
        self.to_image = FixedConv(*_layer(state, "conv_img"))

    def forward(self, z: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        """Return the images of latents z."""
        features = F.leaky_relu(self.blocks(self.fc(z, y)), _SLOPE)
        return torch.tanh(self.to_image(features).float())

    def first_weights(self) -> list[torch.Tensor]:
        """Return the weight (S S C, D) of the linear map that reads the latent."""
        return [self.fc.weight]


def unwrapped(held: Any) -> Any:
    """Return the flat state of the averaged generator in a published checkpoint, and anything else as it is."""
    is_checkpoint = isinstance(held, Mapping) and isinstance(held.get(_HELD), Mapping)
    return held[_HELD] if is_checkpoint else held


def from_published(weights: Weights, options: Options) -> FrozenGenerator:
    """Return the generator of a whole published state; option `classes` names the clusters that it draws from."""
    shape = infer_shape(weights.tensors)
    network, name = SelfConditionedNetwork(shape, weights.tensors), f"self-conditioned{shape.image_size}"
    if not shape.num_classes:
        return FrozenGenerator(network, name)
    return ConditionalGenerator(network, name, shape.num_classes, options.integers("classes"))


FAMILY = Family(
    (Layout("a self-conditioned GAN (resnet2)", lambda state: published_shapes(infer_shape(state)), from_published),),
    unwrapped,
)
