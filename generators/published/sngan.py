"""SNGAN generators of 32 and 64 px (Miyato et al. 2018, 1802.05957) for inference, exact to the published weights.

The published folders hold `generator.pt` and `args.json` (anvoynov/GANLatentDiscovery: SN_MNIST, SN_Anime). Despite the
name no weight is divided by a spectral norm here: only the discriminator of the training had one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from generators.frozen import (
    FIRST_SIDE,
    FirstFeatures,
    FixedConv,
    FrozenGenerator,
    FrozenNetwork,
    add_doubled,
    likeliest_size,
    modulated,
    upsampled_conv,
)
from generators.layers.shapes import layer_shapes, norm_shapes
from generators.layouts import Family, Layout
from toolkit.errors import UserError
from toolkit.files.artefacts import Tensors
from toolkit.files.writing import read_json

_NORM_EPS = 1e-5
_FIRST_BLOCK = 2  # entries of the published sequence: linear, view, then the blocks
_CARD = "args.json"


@dataclass(frozen=True)
class SNGANShape:
    """The sizes that name a network: channels at sides 4, 8, ... S; latent length; channels of the images (1: grey)."""

    channels: tuple[int, ...]
    latent_dim: int = 128
    image_channels: int = 3

    @property
    def num_blocks(self) -> int:
        """Return the number of doubling blocks."""
        return len(self.channels) - 1

    @property
    def image_size(self) -> int:
        """Return the side of the images in pixels."""
        return FIRST_SIDE * 2**self.num_blocks


SNGAN_32 = SNGANShape((256, 256, 256, 256), image_channels=1)
SNGAN_64 = SNGANShape((1024, 512, 256, 128, 64))


def published_shapes(shape: SNGANShape) -> dict[str, tuple[int, ...]]:
    """Return name -> shape of every entry of a published state dict, without the prefix `model.` of all names."""
    sizes: dict[str, tuple[int, ...]] = {}
    sizes |= layer_shapes("0", (shape.channels[0] * FIRST_SIDE**2, shape.latent_dim))
    for i in range(shape.num_blocks):
        a, b = shape.channels[i : i + 2]
        block = f"{_FIRST_BLOCK + i}"
        for name, ends in {"conv1": (b, a), "conv2": (b, b), "model.3": (b, a), "model.6": (b, b)}.items():
            sizes |= layer_shapes(f"{block}.{name}", (*ends, 3, 3))
        sizes |= norm_shapes(f"{block}.model.0", a)
        sizes |= norm_shapes(f"{block}.model.4", b)
        if a != b:
            sizes |= layer_shapes(f"{block}.bypass.1", (b, a, 3, 3))
    after = _FIRST_BLOCK + shape.num_blocks
    sizes |= norm_shapes(f"{after}", shape.channels[-1])
    sizes |= layer_shapes(f"{after + 2}", (shape.image_channels, shape.channels[-1], 3, 3))
    return sizes


def is_optional(name: str) -> bool:
    """Return whether a file may lack this entry.

    `conv1` and `conv2` are other names of `model.3` and `model.6`, which the original reads last.
    """
    return ".conv" in name or name.endswith(".num_batches_tracked")


def infer_shape(state: Mapping[str, torch.Tensor], preset: SNGANShape) -> SNGANShape:
    """Return the sizes of a published state without prefix, with as many blocks as `preset`."""
    channels = [likeliest_size(state, [("2.model.0.weight", 0), ("2.model.0.bias", 0)], preset.channels[0])]
    for i, default in enumerate(preset.channels[1:], start=_FIRST_BLOCK):
        entries = [(f"{i}.{name}", 0) for name in ("model.4.weight", "model.4.bias", "model.3.bias", "model.6.bias")]
        channels.append(likeliest_size(state, entries, default))
    last = f"{_FIRST_BLOCK + preset.num_blocks + 2}"
    colours = [likeliest_size(state, [(f"{last}.{part}", 0)], preset.image_channels) for part in ("bias", "weight")]
    return replace(
        preset,
        channels=tuple(channels),
        latent_dim=likeliest_size(state, [("0.weight", 1)], preset.latent_dim),
        image_channels=next((count for count in colours if count in (1, 3)), colours[0]),
    )


@dataclass(frozen=True)
class _Published:
    """A published state, read as float32."""

    tensors: Mapping[str, torch.Tensor]

    def __getitem__(self, name: str) -> torch.Tensor:
        return self.tensors[name].float()

    def layer(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        return self[f"{name}.weight"], self[f"{name}.bias"]

    def norm(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Return scale and offset (C,), which is all that a batch norm does at inference."""
        scale = self[f"{name}.weight"] * (self[f"{name}.running_var"] + _NORM_EPS).rsqrt()
        return scale, self[f"{name}.bias"] - self[f"{name}.running_mean"] * scale


class Norm(nn.Module):
    """Batch norm with fixed statistics, and ReLU."""

    scale: torch.Tensor
    offset: torch.Tensor

    def __init__(self, scale: torch.Tensor, offset: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale[None])
        self.register_buffer("offset", offset[None])

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return features of the same shape."""
        return modulated(features, self.scale, self.offset)


class Block(nn.Module):
    """A residual block that doubles the side; its second norm follows a convolution and is merged into it."""

    def __init__(self, published: _Published, name: str, side: int) -> None:
        super().__init__()
        self.norm = Norm(*published.norm(f"{name}.model.0"))
        weight, bias = published.layer(f"{name}.model.3")
        scale, offset = published.norm(f"{name}.model.4")
        self.conv1 = upsampled_conv(weight * scale[:, None, None, None], bias * scale + offset, side)
        self.conv2 = FixedConv(*published.layer(f"{name}.model.6"))
        widens = f"{name}.bypass.1.weight" in published.tensors
        self.bypass = upsampled_conv(*published.layer(f"{name}.bypass.1"), side) if widens else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return features (B, C', 2H, 2W) of x (B, C, H, W)."""
        h = self.conv2(self.conv1(self.norm(x)).relu_())
        return add_doubled(h, x) if self.bypass is None else h.add_(self.bypass(x))


class SNGANNetwork(FrozenNetwork):
    """z (B, D) -> images (B, 3, S, S) in [-1, 1]; grey images come three times, as all of the toolkit takes colour.

    Built from a published state without prefix that fits `shape`. `channels` is how many of the three differ: 1 for
    grey images (MNIST), of which `images[:, :channels]` are the original's.
    """

    feature_layer = "blocks.0"

    def __init__(self, shape: SNGANShape, state: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        published = _Published(state)
        self.latent_dim = shape.latent_dim
        self.image_size = shape.image_size
        self.channels = shape.image_channels
        self.linear = FirstFeatures(*published.layer("0"), layout=torch.contiguous_format)
        self.blocks = nn.Sequential(
            *(Block(published, f"{_FIRST_BLOCK + i}", FIRST_SIDE * 2**i) for i in range(shape.num_blocks))
        )
        after = _FIRST_BLOCK + shape.num_blocks
        self.norm = Norm(*published.norm(f"{after}"))
        self.to_image = FixedConv(*published.layer(f"{after + 2}"))
        # Channels-last is 15 % faster on a CPU, but sums 1,024 channels in an order that costs a digit: 8e-6 from the
        # original at 64 px instead of 3e-6.
        self.to(memory_format=torch.contiguous_format)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Return the images of latents z."""
        images = torch.tanh(self.to_image(self.norm(self.blocks(self.linear(z)))).float())
        return images.repeat(1, 3 // self.channels, 1, 1)

    def first_weights(self) -> list[torch.Tensor]:
        """Return the weight (16 C, D) of the linear map that alone reads the latent."""
        return [self.linear.weight]


def from_published(state: Tensors, path: Path, preset: SNGANShape) -> FrozenGenerator:
    """Return the generator of a whole published state, read from `path` and freed of its prefix.

    UserError when images have neither 1 nor 3 channels, or when `args.json` beside a `generator.pt` says other sizes
    than the tensors have; what it does not say, and all else in it, is not asked for.
    """
    shape = infer_shape(state, preset)
    if shape.image_channels not in (1, 3):
        raise UserError(f"{path} makes images of {shape.image_channels} channels; grey (1) or RGB (3) are needed")
    _require_card_fits(shape, path)
    return FrozenGenerator(SNGANNetwork(shape, state), f"sngan{shape.image_size}")


def _require_card_fits(shape: SNGANShape, path: Path) -> None:
    card = path.with_name(_CARD)
    if path.name != "generator.pt" or not card.is_file():
        return
    said = read_json(card)
    if not isinstance(said, Mapping):
        raise UserError(f"{card} is no table of settings; download the folder again")
    sizes = {"model": f"sn_resnet{shape.image_size}", "latent_dim": shape.latent_dim}
    for key, size in {**sizes, "image_channels": shape.image_channels}.items():
        if said.get(key, size) != size:
            raise UserError(
                f"{card} says {key} {said[key]}, but the weights beside it have {size}; they do not belong together, "
                "so download the folder again"
            )


def _layout(preset: SNGANShape) -> Layout:
    return Layout(
        f"an SNGAN of {preset.image_size} px (GANLatentDiscovery layout)",
        lambda state: published_shapes(infer_shape(state, preset)),
        lambda weights, _options: from_published(weights.tensors, weights.path, preset),
        is_optional,
    )


FAMILY = Family((_layout(SNGAN_32), _layout(SNGAN_64)))
