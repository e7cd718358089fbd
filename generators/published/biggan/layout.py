"""The sizes of the BigGAN family (Brock et al. 2019, 1809.11096) and the layout of its published states."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from generators.frozen import FIRST_SIDE, likeliest_size
from toolkit.errors import UserError

# Resolution -> channels into and out of each doubling block, in units of `ch` (as in BigGAN-PyTorch).
_STAGES = {
    32: ((4, 4, 4), (4, 4, 4)),
    64: ((16, 16, 8, 4), (16, 8, 4, 2)),
    128: ((16, 16, 8, 4, 2), (16, 8, 4, 2, 1)),
    256: ((16, 16, 8, 8, 4, 2), (16, 8, 8, 4, 2, 1)),
    512: ((16, 16, 8, 8, 4, 2, 1), (16, 8, 8, 4, 2, 1, 1)),
}
_MOST_BLOCKS = max(len(stages[0]) for stages in _STAGES.values())


@dataclass(frozen=True)
class BigGANShape:
    """The sizes and constants that name a network of the family; UserError for impossible ones.

    resolution in pixels; ch channels a unit; dim_z latent length, rounded down to equal chunks, one for the
    first layer and one a block; attention after the block that reaches `attention_resolution`, if one does.
    """

    resolution: int = 128
    ch: int = 96
    dim_z: int = 120
    shared_dim: int = 128
    num_classes: int = 1000
    bn_eps: float = 1e-5
    sn_eps: float = 1e-6
    attention_resolution: int | None = 64

    def __post_init__(self) -> None:
        if self.resolution not in _STAGES:
            known = ", ".join(map(str, _STAGES))
            raise UserError(f"no BigGAN of {self.resolution} px is known; choose a resolution of {known}")
        object.__setattr__(self, "dim_z", self.chunk * (self.num_blocks + 1))
        if min(self.ch, self.dim_z, self.shared_dim, self.num_classes) < 1:
            raise UserError(f"a BigGAN needs sizes of at least 1 and a number a latent chunk, but this is {self}")
        if self.attention_block is not None and self.blocks[self.attention_block][1] < 8:
            raise UserError(
                f"attention needs 8 channels, but ch {self.ch} gives fewer; use a larger ch or no attention"
            )

    @property
    def num_blocks(self) -> int:
        """Return the number of doubling blocks."""
        return len(_STAGES[self.resolution][0])

    @property
    def chunk(self) -> int:
        """Return the length of one of the equal parts of the latent."""
        return self.dim_z // (self.num_blocks + 1)

    @property
    def blocks(self) -> list[tuple[int, int]]:
        """Return (channels in, channels out) of every block."""
        return [(a * self.ch, b * self.ch) for a, b in zip(*_STAGES[self.resolution], strict=True)]

    @property
    def attention_block(self) -> int | None:
        """Return the index of the block that attention follows, or None."""
        sides = [FIRST_SIDE * 2 ** (i + 1) for i in range(self.num_blocks)]
        return sides.index(self.attention_resolution) if self.attention_resolution in sides else None


BIGBIGAN = BigGANShape(bn_eps=1e-4, sn_eps=1e-4)
BIGGAN_128 = BigGANShape()


def published_shapes(shape: BigGANShape) -> dict[str, tuple[int, ...]]:
    """Return name -> shape of every entry of a published state dict of this network."""
    sizes: dict[str, tuple[int, ...]] = {"shared.weight": (shape.num_classes, shape.shared_dim)}

    def normed(name: str, weight: tuple[int, ...], bias: bool = True) -> None:
        sizes[f"{name}.weight"] = weight
        if bias:
            sizes[f"{name}.bias"] = weight[:1]
        sizes.update({f"{name}.u0": (1, weight[0]), f"{name}.sv0": (1,)})

    condition = shape.shared_dim + shape.chunk
    normed("linear", (shape.blocks[0][0] * FIRST_SIDE**2, shape.chunk))
    for i, (a, b) in enumerate(shape.blocks):
        for name, weight in {"conv1": (b, a, 3, 3), "conv2": (b, b, 3, 3), "conv_sc": (b, a, 1, 1)}.items():
            normed(f"blocks.{i}.0.{name}", weight)
        for name, channels in (("bn1", a), ("bn2", b)):
            sizes.update({f"blocks.{i}.0.{name}.stored_{part}": (channels,) for part in ("mean", "var")})
            normed(f"blocks.{i}.0.{name}.gain", (channels, condition), bias=False)
            normed(f"blocks.{i}.0.{name}.bias", (channels, condition), bias=False)
        if i == shape.attention_block:
            sizes[f"blocks.{i}.1.gamma"] = ()
            for name, ends in {
                "theta": (b // 8, b),
                "phi": (b // 8, b),
                "g": (b // 2, b),
                "o": (b, b // 2),
            }.items():
                normed(f"blocks.{i}.1.{name}", (*ends, 1, 1), bias=False)
    last = shape.blocks[-1][1]
    sizes.update({f"output_layer.0.{part}": (last,) for part in ("gain", "bias", "stored_mean", "stored_var")})
    normed("output_layer.2", (3, last, 3, 3))
    return sizes


def infer_shape(state: Mapping[str, torch.Tensor], preset: BigGANShape) -> BigGANShape:
    """Return the sizes that a published state shows, the rest as in `preset`; UserError for impossible sizes.

    Comparing names and shapes with `published_shapes` afterwards says what is missing or wrong.
    """
    found = (re.match(r"blocks\.(\d{1,2})\.([01])\.", name) for name in state)
    entries = [match for match in found if match and int(match[1]) < _MOST_BLOCKS]
    if not entries:
        return preset
    num_blocks = 1 + max(int(match[1]) for match in entries)
    attention = [int(match[1]) for match in entries if match[2] == "1"]
    resolution = FIRST_SIDE * 2**num_blocks
    first = _STAGES.get(resolution, ((1,),))[0][0] * FIRST_SIDE**2
    rows, chunk = _matrix_size(state, "linear.weight", (first * preset.ch, 0))
    num_classes, shared_dim = _matrix_size(state, "shared.weight", (preset.num_classes, 0))
    # Norms read both in a row.
    gains = [(name, 1) for name in state if name.endswith(".gain.weight")]
    condition = likeliest_size(state, gains, preset.chunk + preset.shared_dim)
    shared_dim = shared_dim or max(1, condition - (chunk or preset.chunk))
    chunk = chunk or max(1, condition - shared_dim)
    return replace(
        preset,
        resolution=resolution,
        ch=rows // first,
        dim_z=chunk * (num_blocks + 1),
        shared_dim=shared_dim,
        num_classes=num_classes,
        attention_resolution=FIRST_SIDE * 2 ** (attention[0] + 1) if attention else None,
    )


def _matrix_size(state: Mapping[str, torch.Tensor], name: str, default: tuple[int, int]) -> tuple[int, int]:
    size = state[name].shape if name in state else ()
    return (size[0], size[1]) if len(size) == 2 else default
