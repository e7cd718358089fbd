"""The sizes of StyleGAN2 (Karras et al. 2020, 1912.04958) and the layout of its published torch states."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from generators.frozen import FIRST_SIDE, likeliest_size
from toolkit.errors import UserError
from toolkit.files.artefacts import Tensors

MEAN_LATENT = "latent_avg"
_TAPS = torch.tensor([1.0, 3.0, 3.0, 1.0])
FILTER = torch.outer(_TAPS, _TAPS) / 16  # of all up-sampling; its sum is 4, since three of four pixels come in as 0


@dataclass(frozen=True)
class StyleGAN2Shape:
    """The sizes that name a network; UserError for impossible ones.

    `channels` of the features of side 4, 8, ... image_size; `style_dim` numbers in z and in w; `mapping_layers`
    between the two.
    """

    channels: tuple[int, ...]
    style_dim: int = 512
    mapping_layers: int = 8

    def __post_init__(self) -> None:
        if len(self.channels) < 2 or min(*self.channels, self.style_dim, self.mapping_layers) < 1:
            raise UserError(f"a StyleGAN2 has images of at least 8 px and sizes of at least 1, but this is {self}")

    @property
    def image_size(self) -> int:
        """Return the side of the images in pixels."""
        return self.sides[-1]

    @property
    def sides(self) -> list[int]:
        """Return the sides of the features, 4, 8, ... image_size."""
        return [FIRST_SIDE * 2**stage for stage in range(len(self.channels))]

    @property
    def num_slots(self) -> int:
        """Return how many latents w one image takes when styles are mixed (14 at 256 px, 18 at 1024)."""
        return 2 * len(self.channels)

    @property
    def noise_sides(self) -> list[int]:
        """Return the side of every noise map: one at 4 px, two at each larger side."""
        return [FIRST_SIDE, *(side for side in self.sides[1:] for _ in range(2))]


def published_shapes(shape: StyleGAN2Shape) -> dict[str, tuple[int, ...]]:
    """Return name -> shape of every entry of a published state of this network, the mean latent last."""
    dim = shape.style_dim
    sizes: dict[str, tuple[int, ...]] = {}
    for i in range(1, shape.mapping_layers + 1):
        sizes.update({f"style.{i}.weight": (dim, dim), f"style.{i}.bias": (dim,)})

    def modulated(name: str, inputs: int, outputs: int, taps: int) -> None:
        sizes[f"{name}.conv.weight"] = (1, outputs, inputs, taps, taps)
        sizes.update({f"{name}.conv.modulation.weight": (inputs, dim), f"{name}.conv.modulation.bias": (inputs,)})

    def styled(name: str, inputs: int, outputs: int) -> None:
        modulated(name, inputs, outputs, 3)
        sizes.update({f"{name}.noise.weight": (1,), f"{name}.activate.bias": (outputs,)})

    def to_rgb(name: str, inputs: int) -> None:
        modulated(name, inputs, 3, 1)
        sizes[f"{name}.bias"] = (1, 3, 1, 1)

    first, *others = shape.channels
    sizes["input.input"] = (1, first, FIRST_SIDE, FIRST_SIDE)
    styled("conv1", first, first)
    to_rgb("to_rgb1", first)
    for stage, (inputs, outputs) in enumerate(zip(shape.channels, others, strict=False)):
        styled(f"convs.{2 * stage}", inputs, outputs)
        styled(f"convs.{2 * stage + 1}", outputs, outputs)
        to_rgb(f"to_rgbs.{stage}", outputs)
    sizes |= {name: tuple(FILTER.shape) for name in filter_names(shape)}
    sizes |= {f"noises.noise_{i}": (1, 1, side, side) for i, side in enumerate(shape.noise_sides)}
    return sizes | {MEAN_LATENT: (dim,)}


def filter_names(shape: StyleGAN2Shape) -> list[str]:
    """Return the names of the entries that hold the taps of the up-sampling filter."""
    stages = range(len(shape.channels) - 1)
    return [f"convs.{2 * i}.conv.blur.kernel" for i in stages] + [f"to_rgbs.{i}.upsample.kernel" for i in stages]


def infer_shape(state: Mapping[str, torch.Tensor]) -> StyleGAN2Shape:
    """Return the sizes of a published state, where it shows none those of the smallest network.

    Comparing names and shapes with `published_shapes` afterwards says what is missing or wrong. UserError for sizes
    that no network can have.
    """
    num_stages = max(1, _count(state, r"convs\.(\d{1,3})\.") // 2, _count(state, r"to_rgbs\.(\d{1,3})\."))
    channels = [likeliest_size(state, [("conv1.activate.bias", 0), ("input.input", 1)], 512)]
    for i in range(num_stages):
        entries = [(f"convs.{2 * i}.activate.bias", 0), (f"convs.{2 * i + 1}.activate.bias", 0)]
        entries += [(f"to_rgbs.{i}.conv.weight", 2)]
        channels.append(likeliest_size(state, entries, channels[-1]))
    style_dim = likeliest_size(state, [(name, 1) for name in state if name.endswith("modulation.weight")], 512)
    return StyleGAN2Shape(tuple(channels), style_dim, (_count(state, r"style\.(\d{1,3})\.") or 9) - 1)


def _count(state: Mapping[str, torch.Tensor], pattern: str) -> int:
    """Return one more than the largest number that `pattern` finds at the beginning of a name, or 0."""
    return max((int(match[1]) + 1 for name in state if (match := re.match(pattern, name))), default=0)


def unwrapped(held: Any) -> Any:
    """Return the flat table of the generator in what a StyleGAN2 file holds, and anything else as it is.

    The published files keep the generator under `g_ema` with `latent_avg` beside it (both kept), and perhaps what else
    its training needs (omitted).
    """
    if not isinstance(held, Mapping) or not isinstance(held.get("g_ema"), Mapping):
        return held
    return {**held["g_ema"], **{name: held[name] for name in (MEAN_LATENT,) if name in held}}


def check_filters(state: Tensors, shape: StyleGAN2Shape, path: Path) -> None:
    """Raise UserError unless every up-sampling filter has the taps 1, 3, 3, 1 of the paper.

    They are part of how the network computes (its skips are interpolated), hence checked rather than read.
    """
    for name in filter_names(shape):
        if not torch.equal(state[name].float(), FILTER):
            raise UserError(
                f"{name} in {path} is another filter than 1, 3, 3, 1 (sum 4), the only one this toolkit renders; use a "
                "file of the original training"
            )
