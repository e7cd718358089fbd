"""The layout of PyTorch-StudioGAN's states of residual generators (big_resnet, resnet), and the sizes they show.

What stands in the YAML file of a training (g_conv_dim, the place of attention, spectral norm) is seen in the entries.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from generators.frozen import FIRST_SIDE, likeliest_size
from generators.layers.spectral import hooked_shapes
from toolkit.errors import UserError

CONVS = ("conv2d1", "conv2d2", "conv2d0")  # of a block: in its doubled size, behind that, and beside both
ATTENTION = ("theta", "phi", "g", "attn")
_NUMBER = re.compile(r"blocks\.(\d{1,3})\.0\.")
_IS_ATTENTION = re.compile(r"blocks\.(\d{1,3})\.0\.(sigma$|conv1x1_)")


@dataclass(frozen=True)
class StudioGANShape:
    """The sizes that name a network; UserError for impossible ones.

    `channels` into the first block and out of every block; `attention` is where the numbered blocks are attention;
    `chunk` latent numbers for the first map and, in a conditional network, for every block; `num_classes` and the
    length `class_dim` of their embeddings (0: unconditional); whether classes are `embedded` or are read as one-hot
    vectors; whether weights are divided by a `spectral` norm.
    """

    channels: tuple[int, ...]
    attention: frozenset[int] = frozenset()
    chunk: int = 128
    num_classes: int = 0
    class_dim: int = 0
    embedded: bool = False
    spectral: bool = False

    def __post_init__(self) -> None:
        if any(self.channels[self.kinds[:i].count(True)] < 8 for i in self.attention):
            raise UserError("attention needs 8 channels; use a wider network")

    @property
    def kinds(self) -> list[bool]:
        """Return of every numbered block whether it is one that doubles the side, rather than attention."""
        return [i not in self.attention for i in range(len(self.channels) - 1 + len(self.attention))]

    @property
    def image_size(self) -> int:
        """Return the side of the images in pixels."""
        return FIRST_SIDE * 2 ** (len(self.channels) - 1)

    @property
    def latent_dim(self) -> int:
        """Return the length of the latent."""
        return self.chunk * (len(self.channels) if self.embedded else 1)


def published_shapes(shape: StudioGANShape) -> dict[str, tuple[int, ...]]:
    """Return name -> shape of every entry of a published state dict of this network."""
    sizes: dict[str, tuple[int, ...]] = {}

    def layer(name: str, weight: tuple[int, ...], bias: bool = True) -> None:
        plain = {f"{name}.weight": weight, **({f"{name}.bias": weight[:1]} if bias else {})}
        sizes.update(hooked_shapes(name, weight, bias) if shape.spectral else plain)

    def statistics(name: str, channels: int) -> None:
        sizes.update({f"{name}.running_{part}": (channels,) for part in ("mean", "var")})
        sizes[f"{name}.num_batches_tracked"] = ()

    def norm(name: str, channels: int) -> None:
        if not shape.num_classes:
            sizes.update({f"{name}.weight": (channels,), f"{name}.bias": (channels,)})
            statistics(name, channels)
            return
        statistics(f"{name}.bn", channels)
        condition = shape.class_dim + (shape.chunk if shape.embedded else 0)
        for part in ("gain", "bias"):
            layer(f"{name}.{part}", (channels, condition), bias=False)

    layer("linear0", (shape.channels[0] * FIRST_SIDE**2, shape.chunk))
    if shape.embedded:
        sizes["shared.weight"] = (shape.num_classes, shape.class_dim)
    done = 0
    for i, doubles in enumerate(shape.kinds):
        name, a = f"blocks.{i}.0", shape.channels[done]
        if not doubles:
            sizes[f"{name}.sigma"] = (1,)
            for part, ends in zip(ATTENTION, ((a // 8, a), (a // 8, a), (a // 2, a), (a, a // 2)), strict=True):
                layer(f"{name}.conv1x1_{part}", (*ends, 1, 1), bias=False)
            continue
        done += 1
        b = shape.channels[done]
        norm(f"{name}.bn1", a)
        norm(f"{name}.bn2", b)
        for conv, weight in zip(CONVS, ((b, a, 3, 3), (b, b, 3, 3), (b, a, 1, 1)), strict=True):
            layer(f"{name}.{conv}", weight)
    last = shape.channels[-1]
    sizes.update({"bn4.weight": (last,), "bn4.bias": (last,)})
    statistics("bn4", last)
    layer("conv2d5", (3, last, 3, 3))
    return sizes


def is_optional(name: str) -> bool:
    """Return whether a file may lack this entry."""
    return name.endswith((".weight_v", ".num_batches_tracked"))


def infer_shape(state: Mapping[str, torch.Tensor]) -> StudioGANShape:
    """Return the sizes that a published state shows; UserError for sizes that no network can have."""
    count = max((int(match[1]) + 1 for name in state if (match := _NUMBER.match(name))), default=0)
    attention = frozenset(int(match[1]) for name in state if (match := _IS_ATTENTION.match(name)))
    if count <= len(attention):
        raise UserError("a generator of StudioGAN has blocks.0.0 and so on")
    weight = "weight_orig" if any(name.endswith(".weight_orig") for name in state) else "weight"
    gains = [name for name in state if name.endswith(f".gain.{weight}")]
    embedded = bool(gains) and "shared.weight" in state
    condition = likeliest_size(state, [(name, 1) for name in gains], 0)
    chunk = likeliest_size(state, [(f"linear0.{weight}", 1)], 0)
    class_dim = likeliest_size(state, [("shared.weight", 1)], max(0, condition - chunk)) if embedded else condition
    chunk = chunk or (max(1, condition - class_dim) if embedded else 128)
    return StudioGANShape(
        channels=_channels(state, [i for i in range(count) if i not in attention], weight),
        attention=attention,
        chunk=chunk,
        num_classes=likeliest_size(state, [("shared.weight", 0)], class_dim) if embedded else class_dim,
        class_dim=class_dim,
        embedded=embedded,
        spectral=weight == "weight_orig",
    )


def _channels(state: Mapping[str, torch.Tensor], blocks: list[int], weight: str) -> tuple[int, ...]:
    """Return the channels into the first of the doubling blocks of these numbers and out of each."""
    channels = [likeliest_size(state, [(f"blocks.{blocks[0]}.0.{name}.{weight}", 1) for name in CONVS[::2]], 256)]
    for i in blocks:
        entries = [(f"blocks.{i}.0.{name}.{weight}", 0) for name in CONVS] + [(f"blocks.{i}.0.conv2d1.bias", 0)]
        channels.append(likeliest_size(state, entries, channels[-1]))
    return tuple(channels)
