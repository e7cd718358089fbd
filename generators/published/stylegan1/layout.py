"""The sizes of StyleGAN (Karras et al. 2019, 1812.04948) and the layout of genforce's files, which SeFa uses."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from generators.frozen import FIRST_SIDE, likeliest_size
from toolkit.errors import UserError

MEAN_LATENT = "truncation.w_avg"
CLASSES = "mapping.label_weight"
_MOST_LAYERS = 22  # of 8,192 pixels


@dataclass(frozen=True)
class StyleGAN1Shape:
    """The sizes that name a network; UserError for impossible ones.

    `channels` of the features of side 4, 8, ... image_size, two layers each; `latent_dim` numbers of z, `style_dim` of
    w, `hidden` inside the `mapping_layers` between the two; `num_classes` (0 without), embedded in as many as z has.
    """

    channels: tuple[int, ...]
    latent_dim: int = 512
    style_dim: int = 512
    hidden: int = 512
    mapping_layers: int = 8
    num_classes: int = 0

    def __post_init__(self) -> None:
        if len(self.channels) < 2 or min(*self.channels, self.latent_dim, self.style_dim, self.mapping_layers) < 1:
            raise UserError(f"a StyleGAN has images of at least 8 px and sizes of at least 1, but this is {self}")

    @property
    def image_size(self) -> int:
        """Return the side of the images in pixels."""
        return FIRST_SIDE * 2 ** (len(self.channels) - 1)

    @property
    def num_layers(self) -> int:
        """Return how many layers take a latent w: two a side (14 at 256 px, 18 at 1024)."""
        return 2 * len(self.channels)

    def side(self, layer: int) -> int:
        """Return the side of what a layer gives, in pixels."""
        return FIRST_SIDE * 2 ** (layer // 2)


def published_shapes(shape: StyleGAN1Shape) -> dict[str, tuple[int, ...]]:
    """Return name -> shape of every entry of a published state of this network."""
    inputs = shape.latent_dim * (2 if shape.num_classes else 1)
    ends = [inputs, *[shape.hidden] * (shape.mapping_layers - 1), shape.style_dim]
    sizes: dict[str, tuple[int, ...]] = {MEAN_LATENT: (shape.style_dim,), "synthesis.lod": ()}
    if shape.num_classes:
        sizes[CLASSES] = (shape.num_classes, shape.latent_dim)
    for i in range(shape.mapping_layers):
        sizes.update({f"mapping.dense{i}.weight": (ends[i + 1], ends[i]), f"mapping.dense{i}.bias": (ends[i + 1],)})
    for i in range(shape.num_layers):
        name, side, channels = f"synthesis.layer{i}", shape.side(i), shape.channels[i // 2]
        before = shape.channels[max(0, i - 1) // 2]
        sizes[f"{name}.const" if i == 0 else f"{name}.weight"] = (
            (1, channels, 4, 4) if i == 0 else (channels, before, 3, 3)
        )
        sizes[f"{name}.bias"] = sizes[f"{name}.apply_noise.weight"] = (channels,)
        sizes[f"{name}.apply_noise.noise"] = (1, 1, side, side)
        sizes[f"{name}.style.weight"] = (2 * channels, shape.style_dim)
        sizes[f"{name}.style.bias"] = (2 * channels,)
        if i >= 2 and i % 2 == 0:
            sizes[f"{name}.blur.kernel"] = (channels, 1, 3, 3)
    for k, channels in enumerate(shape.channels):
        sizes.update({f"synthesis.output{k}.weight": (3, channels, 1, 1), f"synthesis.output{k}.bias": (3,)})
    return sizes


def infer_shape(state: Mapping[str, torch.Tensor]) -> StyleGAN1Shape:
    """Return the sizes of a published state, where it shows none those of the smallest network."""
    layers = _numbers(state, r"synthesis\.layer(\d{1,2})\.")
    count = min(_MOST_LAYERS, 2 * math.ceil(max(layers, 4) / 2))
    channels = []
    for k in range(count // 2):
        names = [f"synthesis.layer{i}" for i in (2 * k, 2 * k + 1)]
        entries = [(f"{name}.bias", 0) for name in names] + [(f"{name}.apply_noise.weight", 0) for name in names]
        channels.append(likeliest_size(state, [*entries, (f"synthesis.output{k}.weight", 1)], 16))
    last = max(1, _numbers(state, r"mapping\.dense(\d{1,2})\.")) - 1
    styles = [(name, 1) for name in state if name.endswith(".style.weight")]
    style_dim = likeliest_size(state, [*styles, (MEAN_LATENT, 0)], 512)
    hidden = [(f"mapping.dense{i}.bias", 0) for i in range(last)] + [
        (f"mapping.dense{i + 1}.weight", 1) for i in range(last)
    ]
    classes = likeliest_size(state, [(CLASSES, 0)], 1) if CLASSES in state else 0
    parts = 2 if classes else 1
    return StyleGAN1Shape(
        tuple(channels),
        likeliest_size(state, [("mapping.dense0.weight", 1)], parts * style_dim) // parts,
        style_dim,
        likeliest_size(state, hidden, style_dim),
        last + 1,
        classes,
    )


def _numbers(state: Mapping[str, torch.Tensor], pattern: str) -> int:
    """Return one more than the largest number that `pattern` finds at the beginning of a name, or 0."""
    return max((int(match[1]) + 1 for name in state if (match := re.match(pattern, name))), default=0)
