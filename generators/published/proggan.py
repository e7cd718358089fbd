"""The ProgGAN generator (Karras et al. 2018, 1710.10196) for inference, exact to the published weights.

GANLatentDiscovery's file is 100_celeb_hq_network-snapshot-010403.pth (1024 px). It stores the constants of the
equalised learning rate as numbers, `wscale.scale`, which are merged into the weights when the network is built. Those
of genforce's files, which SeFa and InterFaceGAN use, follow from the shapes.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from generators.frozen import (
    FIRST_SIDE,
    FirstFeatures,
    FixedConv,
    FrozenGenerator,
    FrozenNetwork,
    likeliest_size,
    upsampled_conv,
)
from generators.layers.winograd import wide_conv
from generators.layouts import Family, Layout, Weights
from toolkit.errors import UserError
from toolkit.files.artefacts import Tensors

_NORM_EPS = 1e-8
_SLOPE = 0.2


@dataclass(frozen=True)
class ProgGANShape:
    """The sizes that name a network: latent length, and the channels out of each feature block, two blocks a side."""

    channels: tuple[int, ...]
    latent_dim: int = 512

    @property
    def image_size(self) -> int:
        """Return the side of the images in pixels."""
        return FIRST_SIDE * 2 ** (len(self.channels) // 2 - 1)


PROGGAN_1024 = ProgGANShape((512,) * 8 + (256, 256, 128, 128, 64, 64, 32, 32, 16, 16))


def published_shapes(shape: ProgGANShape) -> dict[str, tuple[int, ...]]:
    """Return name -> shape of every entry of a published state dict of this network."""
    ends = [shape.latent_dim, *shape.channels]
    sizes: dict[str, tuple[int, ...]] = {}

    def layer(name: str, weight: tuple[int, ...]) -> None:
        sizes.update({f"{name}.conv.weight": weight, f"{name}.wscale.scale": (1,), f"{name}.wscale.b": weight[:1]})

    for i in range(len(shape.channels)):
        side = 3 if i else FIRST_SIDE
        layer(f"features.{i}", (ends[i + 1], ends[i], side, side))
    layer("output", (3, ends[-1], 1, 1))
    return sizes


def infer_shape(state: Mapping[str, torch.Tensor]) -> ProgGANShape:
    """Return the sizes of a published state, whole sides only; where it shows none, those of PROGGAN_1024."""
    numbers = [int(match[1]) for name in state if (match := re.match(r"features\.(\d{1,2})\.", name))]
    count = 2 * math.ceil((1 + max(numbers)) / 2) if numbers else len(PROGGAN_1024.channels)
    published = (*PROGGAN_1024.channels, *PROGGAN_1024.channels[-1:] * count)
    channels = []
    for i in range(count):
        after = f"features.{i + 1}" if i + 1 < count else "output"
        entries = [(f"features.{i}.wscale.b", 0), (f"features.{i}.conv.weight", 0), (f"{after}.conv.weight", 1)]
        channels.append(likeliest_size(state, entries, published[i]))
    return ProgGANShape(
        tuple(channels), likeliest_size(state, [("features.0.conv.weight", 1)], PROGGAN_1024.latent_dim)
    )


def _layer(state: Mapping[str, torch.Tensor], name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return weight and bias of a convolution, float32."""
    weight = state[f"{name}.conv.weight"].float() * state[f"{name}.wscale.scale"].float()
    return weight, state[f"{name}.wscale.b"].float()


def _inverse_length(features: torch.Tensor) -> torch.Tensor:
    """Return what pixel norm multiplies features (B, C, H, W) by: (B, 1, H, W) in at least 32 bits."""
    precise = torch.promote_types(features.dtype, torch.float32)
    length = torch.linalg.vector_norm(features, dim=1, keepdim=True, dtype=precise)
    return (length.square() / features.shape[1] + _NORM_EPS).rsqrt()


class Feature(nn.Module):
    """Pixel norm, a layer, leaky ReLU. The norm stands before the layer, for it commutes with nearest doubling."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the next features; of latents (B, D), features (B, C, 4, 4)."""
        normed = features * _inverse_length(features).to(features.dtype)
        return F.leaky_relu(self.layer(normed), _SLOPE, inplace=True)


class ProgGANNetwork(FrozenNetwork):
    """z (B, D) -> images (B, 3, S, S), nominally in [-1, 1] but not bounded, as in the original.

    Whatever makes pictures of them clamps (toolkit.pictures.pixels.to_bytes); mask rules see the images as they are.
    Built from a published state that fits `shape`. The original's latents (B, D, 1, 1) are a view of these.
    """

    feature_layer = "features.1"
    bias: torch.Tensor

    def __init__(self, shape: ProgGANShape, state: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        self.latent_dim = shape.latent_dim
        self.image_size = shape.image_size
        weight, bias = _layer(state, "features.0")
        # A 4x4 convolution of one pixel padded by 3 writes the kernel turned by 180 degrees: a linear map.
        linear = weight.flip(2, 3).permute(0, 2, 3, 1).flatten(0, 2).contiguous()
        layers: list[nn.Module] = [FirstFeatures(linear, bias.repeat_interleave(FIRST_SIDE**2))]
        for i in range(1, len(shape.channels)):
            weight, bias = _layer(state, f"features.{i}")
            doubles = i % 2 == 0
            side = FIRST_SIDE * 2 ** (i // 2 - 1)
            layers.append(upsampled_conv(weight, bias, side) if doubles else wide_conv(weight, bias, 2 * side))
        self.features = nn.Sequential(*map(Feature, layers))
        weight, bias = _layer(state, "output")
        self.output = FixedConv(weight)
        self.register_buffer("bias", bias[:, None, None])

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Return the images of latents z."""
        features = self.features(z)
        # Pixel norm commutes with a 1x1 convolution, and three channels are fewer to multiply.
        return self.output(features).float() * _inverse_length(features).float() + self.bias

    def first_weights(self) -> list[torch.Tensor]:
        """Return the weight (16 C, D) of the first convolution as a linear map; it reads the latent at unit length."""
        return [self.get_buffer("features.0.layer.weight")]


def genforce_shapes(shape: ProgGANShape) -> dict[str, tuple[int, ...]]:
    """Return name -> shape of every entry of this network in genforce's layout: colours behind each side, too."""
    ends = [shape.latent_dim, *shape.channels]
    sizes: dict[str, tuple[int, ...]] = {"lod": ()}
    for i in range(len(shape.channels)):
        side = 3 if i else FIRST_SIDE
        sizes.update({f"layer{i}.weight": (ends[i + 1], ends[i], side, side), f"layer{i}.bias": (ends[i + 1],)})
    for k, channels in enumerate(shape.channels[1::2]):
        sizes.update({f"output{k}.weight": (3, channels, 1, 1), f"output{k}.bias": (3,)})
    return sizes


def _renamed(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the entries of genforce's layout under the names of the other; of the colours, those behind the last."""
    blocks = max((int(match[1]) for name in state if (match := re.match(r"layer(\d{1,2})\.", name))), default=0)
    names = {f"layer{i}": f"features.{i}" for i in range(blocks + 1)} | {f"output{blocks // 2}": "output"}
    parts = {"weight": "conv.weight", "bias": "wscale.b"}
    named = ((name.partition("."), tensor) for name, tensor in state.items())
    return {f"{names[n]}.{parts[p]}": tensor for (n, _, p), tensor in named if n in names and p in parts}


def from_genforce(weights: Weights) -> FrozenGenerator:
    """Return the generator of a whole state in genforce's layout; UserError for one that was saved while it grew."""
    lod = float(weights.tensors["lod"])
    if lod != 0:
        raise UserError(
            f"{weights.path} was saved while the network grew (lod is {lod:g}, not 0); use the file at the end of the "
            "training"
        )
    state = _renamed(weights.tensors)
    for name in [name for name in state if name.endswith(".conv.weight")]:
        gain = 1 if name.startswith("output.") else 2
        scale = torch.tensor([math.sqrt(gain / state[name][0].numel())])
        state[name.replace("conv.weight", "wscale.scale")] = scale
    return from_published(state)


def from_published(state: Tensors) -> FrozenGenerator:
    """Return the generator of a whole published state."""
    shape = infer_shape(state)
    return FrozenGenerator(ProgGANNetwork(shape, state), f"proggan{shape.image_size}")


FAMILY = Family(
    (
        Layout(
            "a ProgGAN (GANLatentDiscovery layout)",
            lambda state: published_shapes(infer_shape(state)),
            lambda weights, _options: from_published(weights.tensors),
        ),
        Layout(
            "a ProgGAN (genforce layout)",
            lambda state: genforce_shapes(infer_shape(_renamed(state))),
            lambda weights, _options: from_genforce(weights),
        ),
    )
)
