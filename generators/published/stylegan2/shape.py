"""The sizes of StyleGAN2 (Karras et al. 2020, 1912.04958), and the one form of its states that the network is built of.

That form is the layout of StyleGAN2-ADA (2006.06676), which holds all there is; the other layouts are renamed to it.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from generators.frozen import FIRST_SIDE, likeliest_size
from generators.mapping import mapping_shapes
from toolkit.errors import UserError

MEAN_LATENT = "mapping.w_avg"
MOST_BLOCKS, MOST_MAPPING_LAYERS = 12, 100  # that a state is searched for
SKIP, RESNET, ORIG = ARCHITECTURES = ("skip", "resnet", "orig")
FILTER_SHAPE = (4, 4)
_FILTER = "resample_filter"
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class StyleGAN2Shape:
    """The sizes that name a network; UserError for impossible ones.

    `channels` of the features of side 4, 8, ... image_size; `style_dim` numbers in w, `latent_dim` in z;
    `mapping_layers` between the two; `num_classes` 0 without classes; `colours` channels of the images; `architecture`:
    an image at every side (skip), features that by-pass each block (resnet), or neither (orig); `first` (height, width)
    of the first features, which every block doubles.
    """

    channels: tuple[int, ...]
    style_dim: int = 512
    mapping_layers: int = 8
    latent_dim: int = 512
    num_classes: int = 0
    colours: int = 3
    architecture: str = SKIP
    first: tuple[int, int] = (FIRST_SIDE, FIRST_SIDE)

    def __post_init__(self) -> None:
        sizes = (*self.channels, self.style_dim, self.mapping_layers, self.latent_dim, self.colours, *self.first)
        if len(self.channels) < 2 or min(sizes) < 1:
            raise UserError(f"a StyleGAN2 has images of at least 8 px and sizes of at least 1, but this is {self}")

    @property
    def sides(self) -> list[tuple[int, int]]:
        """Return height and width of the features of every block."""
        height, width = self.first
        return [(height * 2**i, width * 2**i) for i in range(len(self.channels))]

    @property
    def image_shape(self) -> tuple[int, int]:
        """Return height and width of the images in pixels."""
        return self.sides[-1]

    @property
    def image_size(self) -> int:
        """Return the longer side of the images in pixels."""
        return max(self.image_shape)

    @property
    def num_slots(self) -> int:
        """Return how many latents w one image takes when styles are mixed (14 at 256 px, 18 at 1024)."""
        return 2 * len(self.channels)

    @property
    def noise_shapes(self) -> list[tuple[int, int]]:
        """Return height and width of every noise map: one of the first block, two of each other."""
        first, *others = self.sides
        return [first, *(side for side in others for _ in range(2))]

    def has_colours(self, block: int) -> bool:
        """Return whether a block ends in a step to colours."""
        return self.architecture == SKIP or block == len(self.channels) - 1


def block_name(block: int) -> str:
    """Return what the names of a block's entries begin with."""
    return f"synthesis.b{FIRST_SIDE * 2**block}"


def conv_names(num_blocks: int) -> list[str]:
    """Return the names of the modulated 3x3 convolutions in their order."""
    return [f"{block_name(0)}.conv1", *(f"{block_name(i)}.conv{j}" for i in range(1, num_blocks) for j in (0, 1))]


def entry_shapes(shape: StyleGAN2Shape) -> Shapes:
    """Return name -> shape of every entry of the state of this network."""
    sizes: Shapes = {f"{block_name(0)}.const": (shape.channels[0], *shape.first)}
    for name, noise in zip(conv_names(len(shape.channels)), shape.noise_shapes, strict=True):
        block = _block(name)
        inputs = shape.channels[block - 1] if name.endswith("conv0") else shape.channels[block]
        sizes |= _modulated(name, inputs, shape.channels[block], 3, shape.style_dim)
        sizes |= {f"{name}.noise_strength": (), f"{name}.noise_const": noise, f"{name}.{_FILTER}": FILTER_SHAPE}
    for block, channels in enumerate(shape.channels):
        name = block_name(block)
        sizes[f"{name}.{_FILTER}"] = FILTER_SHAPE
        if shape.has_colours(block):
            sizes |= _modulated(f"{name}.torgb", channels, shape.colours, 1, shape.style_dim)
        if shape.architecture == RESNET and block:
            sizes[f"{name}.skip.weight"] = (channels, shape.channels[block - 1], 1, 1)
            sizes[f"{name}.skip.{_FILTER}"] = FILTER_SHAPE
    return sizes | mapping_shapes(shape.latent_dim, shape.style_dim, shape.mapping_layers, shape.num_classes)


def _modulated(name: str, inputs: int, outputs: int, taps: int, style_dim: int) -> Shapes:
    return {
        f"{name}.weight": (outputs, inputs, taps, taps),
        f"{name}.bias": (outputs,),
        f"{name}.affine.weight": (inputs, style_dim),
        f"{name}.affine.bias": (inputs,),
    }


def _block(name: str) -> int:
    """Return which block an entry is of; -1 for those of none."""
    match = re.match(r"synthesis\.b(\d{1,6})\.", name)
    return int(match[1]).bit_length() - FIRST_SIDE.bit_length() if match else -1


def filter_names(shape: StyleGAN2Shape) -> list[str]:
    """Return the names of the entries that hold the taps of the up-sampling filter."""
    return [name for name in entry_shapes(shape) if name.endswith(_FILTER)]


def infer_shape(state: Mapping[str, torch.Tensor]) -> StyleGAN2Shape:
    """Return the sizes of a state, where it shows none those of the smallest or the usual network.

    Comparing names and shapes with `entry_shapes` afterwards says what is missing or wrong. UserError for sizes that no
    network can have.
    """
    blocks = (_block(name) for name in state if not name.endswith(_FILTER))  # one filter may serve all blocks
    num_blocks = min(MOST_BLOCKS, max(2, 1 + max(blocks, default=0)))
    style_dim = likeliest_size(state, [(name, 1) for name in state if name.endswith("affine.weight")], 512)
    embedded = any(name.startswith("mapping.embed.") for name in state)
    classes = likeliest_size(state, [("mapping.embed.weight", 1)], 1) if embedded else 0
    inputs = likeliest_size(state, [("mapping.fc0.weight", 1)], style_dim + bool(classes) * style_dim)
    return StyleGAN2Shape(
        _channels(state, num_blocks),
        style_dim,
        _mapping_layers(state),
        max(1, inputs - (style_dim if classes else 0)),
        classes,
        likeliest_size(state, [(name, 0) for name in state if name.endswith(("torgb.weight", "torgb.bias"))], 3),
        _architecture(state, num_blocks),
        _first(state),
    )


def _channels(state: Mapping[str, torch.Tensor], num_blocks: int) -> tuple[int, ...]:
    channels: list[int] = []
    for block in range(num_blocks):
        name = block_name(block)
        entries = [(f"{name}.conv1.bias", 0), (f"{name}.conv0.bias", 0), (f"{name}.torgb.weight", 1)]
        entries += [(f"{name}.const", 0), (f"{name}.conv1.affine.weight", 0)]
        channels.append(likeliest_size(state, entries, channels[-1] if channels else 512))
    return tuple(channels)


def _first(state: Mapping[str, torch.Tensor]) -> tuple[int, int]:
    """Return height and width of the first features, as the constant has them and most noise maps imply them."""
    constant = state.get(f"{block_name(0)}.const")
    shapes = [] if constant is None else [tuple(constant.shape[1:])]
    for name, noise in state.items():
        if name.endswith(".noise_const"):
            shapes.append(tuple(side >> _block(name) for side in noise.shape))
    pairs = [shape for shape in shapes if len(shape) == 2 and min(shape) > 0]
    if not pairs:
        return FIRST_SIDE, FIRST_SIDE
    (height, width), _ = Counter(pairs).most_common(1)[0]
    return height, width


def _mapping_layers(state: Mapping[str, torch.Tensor]) -> int:
    names = (re.match(r"mapping\.fc(\d{1,3})\.", name) for name in state)
    return min(max((int(match[1]) + 1 for match in names if match), default=8), MOST_MAPPING_LAYERS)


def _architecture(state: Mapping[str, torch.Tensor], num_blocks: int) -> str:
    """Return the architecture that most blocks but the last show."""

    def most(entry: str, blocks: range) -> bool:
        return 2 * sum(f"{block_name(i)}.{entry}" in state for i in blocks) > len(blocks)

    if most("skip.weight", range(1, num_blocks)):
        return RESNET
    return SKIP if most("torgb.weight", range(num_blocks - 1)) else ORIG
