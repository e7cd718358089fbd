"""The sizes of BigGAN-deep (Brock et al. 2019, 1809.11096) and the layout of its states (pytorch-pretrained-biggan)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch

from generators.frozen import FIRST_SIDE, likeliest_size
from generators.layers.spectral import hooked_shapes
from toolkit.errors import UserError

SQUEEZE = 4  # a block's inner convolutions have a quarter of the channels that come in
NORMS = tuple(f"bn_{k}" for k in range(4))


@dataclass(frozen=True)
class BigGANDeepShape:
    """The sizes and constants that name a network; UserError for impossible ones.

    `channels` into the first block and out of every block; which blocks double the side; the block in front of which
    attention stands, if one does; `num_stats` rows of statistics, of truncations from 0 to 1; `eps` of the norms.
    """

    channels: tuple[int, ...]
    doubles: tuple[bool, ...]
    attention: int | None = None
    z_dim: int = 128
    num_classes: int = 1000
    num_stats: int = 51
    eps: float = 1e-4

    def __post_init__(self) -> None:
        for i, (inputs, outputs) in enumerate(self.ends):
            if outputs not in (inputs, inputs // 2) or outputs < 1 or inputs % SQUEEZE:
                raise UserError(
                    f"block {i} of a BigGAN-deep keeps its channels or halves them, and their number is a multiple of "
                    f"{SQUEEZE}, but here it leads from {inputs} to {outputs}"
                )
        if self.attention is not None and self.channels[self.attention] < 8:
            raise UserError(f"attention needs 8 channels, but has {self.channels[self.attention]}; use a wider network")

    @property
    def ends(self) -> list[tuple[int, int]]:
        """Return (channels in, channels out) of every block."""
        return list(pairwise(self.channels))

    @property
    def image_size(self) -> int:
        """Return the side of the images in pixels."""
        return FIRST_SIDE * 2 ** sum(self.doubles)

    @property
    def num_layers(self) -> int:
        """Return how many latents one image takes where each layer has its own: the first map and every block."""
        return 1 + len(self.doubles)

    def entry(self, block: int) -> str:
        """Return what the names of a block's entries begin with; attention is counted among the blocks."""
        return _entry(block, self.attention)


def published_shapes(shape: BigGANDeepShape) -> dict[str, tuple[int, ...]]:
    """Return name -> shape of every entry of a published state dict of this network."""
    condition = 2 * shape.z_dim
    sizes: dict[str, tuple[int, ...]] = {"embeddings.weight": (shape.z_dim, shape.num_classes)}
    sizes |= hooked_shapes("generator.gen_z", (FIRST_SIDE**2 * shape.channels[0], condition))

    def statistics(name: str, channels: int) -> None:
        sizes.update({f"{name}.running_{part}": (shape.num_stats, channels) for part in ("means", "vars")})

    for i, (inputs, outputs) in enumerate(shape.ends):
        name, middle = shape.entry(i), inputs // SQUEEZE
        for norm, channels in zip(NORMS, (inputs, middle, middle, middle), strict=True):
            statistics(f"{name}.{norm}", channels)
            for part in ("scale", "offset"):
                sizes |= hooked_shapes(f"{name}.{norm}.{part}", (channels, condition), bias=False)
        convs = [(middle, inputs, 1, 1), (middle, middle, 3, 3), (middle, middle, 3, 3), (outputs, middle, 1, 1)]
        for k, weight in enumerate(convs):
            sizes |= hooked_shapes(f"{name}.conv_{k}", weight)
    if shape.attention is not None:
        name, channels = f"generator.layers.{shape.attention}", shape.channels[shape.attention]
        sizes[f"{name}.gamma"] = (1,)
        ends = {"theta": (channels // 8, channels), "phi": (channels // 8, channels), "g": (channels // 2, channels)}
        for part, (outputs, inputs) in {**ends, "o_conv": (channels, channels // 2)}.items():
            sizes |= hooked_shapes(f"{name}.snconv1x1_{part}", (outputs, inputs, 1, 1), bias=False)
    last = shape.channels[-1]
    statistics("generator.bn", last)
    sizes |= {"generator.bn.weight": (last,), "generator.bn.bias": (last,)}
    return sizes | hooked_shapes("generator.conv_to_rgb", (last, last, 3, 3))


def is_optional(name: str) -> bool:
    """Return whether a file may lack this entry: the right vectors of the spectral norm follow from the left."""
    return name.endswith(".weight_v")


def infer_shape(state: Mapping[str, torch.Tensor]) -> BigGANDeepShape:
    """Return the sizes that a published state shows; what it shows nowhere is as in the published networks.

    Every second block doubles the side, and eps is 1e-4. UserError for sizes that no network can have.
    """
    attention = _attention(state)
    count = _count(state) - (attention is not None)
    if count < 1:
        raise UserError("a BigGAN-deep has blocks generator.layers.0 and so on")
    norms = [name for name in state if name.endswith((".running_means", ".running_vars"))]
    return BigGANDeepShape(
        channels=_channels(state, count, attention),
        doubles=tuple(i % 2 == 1 for i in range(count)),
        attention=attention,
        z_dim=likeliest_size(state, [("embeddings.weight", 0)], 128),
        num_classes=likeliest_size(state, [("embeddings.weight", 1)], 1000),
        num_stats=likeliest_size(state, [(name, 0) for name in norms], 51),
    )


def _channels(state: Mapping[str, torch.Tensor], count: int, attention: int | None) -> tuple[int, ...]:
    channels = [likeliest_size(state, _entering(_entry(0, attention)), 2048)]
    for i in range(count):
        name = _entry(i, attention)
        after = _entering(_entry(i + 1, attention)) if i + 1 < count else [("generator.bn.running_means", 1)]
        ends = [(f"{name}.conv_3.bias", 0), (f"{name}.conv_3.weight_orig", 0), *after]
        channels.append(likeliest_size(state, ends, channels[-1]))
    return tuple(channels)


def _entering(name: str) -> list[tuple[str, int]]:
    """Return where the channels that come into a block show: (entry, axis)."""
    norm = [(f"{name}.bn_0.running_{part}", 1) for part in ("means", "vars")]
    return [*norm, (f"{name}.bn_0.scale.weight_orig", 0), (f"{name}.conv_0.weight_orig", 1)]


def _entry(block: int, attention: int | None) -> str:
    return f"generator.layers.{block + (attention is not None and block >= attention)}"


def _count(state: Mapping[str, torch.Tensor]) -> int:
    matches = (re.match(r"generator\.layers\.(\d{1,3})\.", name) for name in state)
    return max((int(match[1]) + 1 for match in matches if match), default=0)


def _attention(state: Mapping[str, torch.Tensor]) -> int | None:
    matches = (re.match(r"generator\.layers\.(\d{1,3})\.(gamma$|snconv1x1_)", name) for name in state)
    return next((int(match[1]) for match in matches if match), None)
