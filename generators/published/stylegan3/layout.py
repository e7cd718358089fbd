"""The sizes of StyleGAN3 (Karras et al. 2021, 2106.12423) and the layout of its published states, T and R."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from generators.frozen import likeliest_size
from generators.mapping import mapping_shapes
from generators.published.stylegan3.geometry import Constants, Frequencies, LayerGeometry, frequencies
from toolkit.errors import UserError

INPUT = "synthesis.input"
_LAYER = re.compile(r"synthesis\.L(\d{1,3})_(\d{1,5})_(\d{1,5})\.")
_MAPPING = re.compile(r"mapping\.fc(\d{1,3})\.")
_FILTERS = ("up_filter", "down_filter")
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class StyleGAN3Shape:
    """The sizes that name a network; UserError for impossible ones.

    `layers` has the side and the channels that come out of each layer, margins included; the last gives the colours.
    `latent_dim` numbers of z, `style_dim` of w; `num_classes` 0 without classes; `kernel` side of the convolutions;
    `taps` of a filter that doubles or halves; `round_layers` from the first on have round filters, which is what -R has
    and -T has not; `has_filters` false: the state omits them, and they are designed anew.
    """

    layers: tuple[tuple[int, int], ...]
    latent_dim: int = 512
    style_dim: int = 512
    num_classes: int = 0
    mapping_layers: int = 2
    kernel: int = 3
    taps: int = 12
    round_layers: int = 0
    has_filters: bool = True

    def __post_init__(self) -> None:
        sizes = [number for layer in self.layers for number in layer]
        sizes += [self.latent_dim, self.style_dim, self.mapping_layers, self.kernel, self.taps]
        if len(self.layers) < 4 or min(sizes) < 1 or self.layers[-1][0] < 16:
            raise UserError(f"a StyleGAN3 has images of at least 16 px and sizes of at least 1, but this is {self}")
        self.geometry(Constants())

    @property
    def image_size(self) -> int:
        """Return the side of the images in pixels."""
        return self.layers[-1][0]

    @property
    def num_slots(self) -> int:
        """Return how many latents w one image takes: one for the input, one for each layer."""
        return len(self.layers) + 1

    def geometry(self, constants: Constants) -> list[LayerGeometry]:
        """Return every layer; UserError where sides and constants do not belong together."""
        found = frequencies(tuple(size for size, _ in self.layers), constants)
        return [self._layer(i, found, constants) for i in range(len(self.layers))]

    def _layer(self, i: int, found: Frequencies, constants: Constants) -> LayerGeometry:
        before, last = max(i - 1, 0), len(self.layers) - 1
        is_colour, critical = i == last, i >= last - constants.num_critical
        (size_in, channels_in), (size_out, channels_out) = self.layers[before], self.layers[i]
        higher = max(found.rates[before], found.rates[i])
        rate = higher * (1 if is_colour else constants.lrelu_upsampling)
        if rate % found.rates[before] or rate % found.rates[i]:
            raise UserError(f"layer {i} of this StyleGAN3 cannot go from {found.rates[before]} to {found.rates[i]}")
        up, down = (1 if is_colour else self.taps * higher // found.rates[j] for j in (before, i))
        return LayerGeometry(
            name=f"L{i}_{size_out}_{channels_out}",
            channels_in=channels_in,
            channels_out=channels_out,
            size_in=size_in,
            size_out=size_out,
            rate_in=found.rates[before],
            rate_out=found.rates[i],
            rate=rate,
            cutoff_in=found.cutoffs[before],
            cutoff_out=found.cutoffs[i],
            half_width_in=found.half_widths[before],
            half_width_out=found.half_widths[i],
            up_taps=up,
            down_taps=down,
            radial=i < self.round_layers,
            critical=critical,
            kernel=1 if is_colour else self.kernel,
        )


def published_shapes(shape: StyleGAN3Shape) -> Shapes:
    """Return name -> shape of every entry of a published state of this network."""
    width, style = shape.layers[0][1], shape.style_dim
    sizes: Shapes = {f"{INPUT}.weight": (width, width), f"{INPUT}.transform": (3, 3), f"{INPUT}.freqs": (width, 2)}
    sizes |= {f"{INPUT}.phases": (width,), f"{INPUT}.affine.weight": (4, style), f"{INPUT}.affine.bias": (4,)}
    for layer in shape.geometry(Constants()):
        name, inputs, outputs = f"synthesis.{layer.name}", layer.channels_in, layer.channels_out
        sizes[f"{name}.weight"] = (outputs, inputs, layer.kernel, layer.kernel)
        sizes |= {f"{name}.bias": (outputs,), f"{name}.magnitude_ema": ()}
        if shape.has_filters and layer.up_taps > 1:
            sizes[f"{name}.up_filter"] = (layer.up_taps,)
            sizes[f"{name}.down_filter"] = (layer.down_taps,) * (2 if layer.radial else 1)
        sizes |= {f"{name}.affine.weight": (inputs, style), f"{name}.affine.bias": (inputs,)}
    return sizes | mapping_shapes(shape.latent_dim, style, shape.mapping_layers, shape.num_classes)


def infer_shape(state: Mapping[str, torch.Tensor], rounded: bool) -> StyleGAN3Shape:
    """Return the sizes of a published state with round filters (-R) or without (-T), where it shows none the usual.

    Comparing names and shapes with `published_shapes` afterwards says what is missing or wrong. UserError for sizes
    that no network can have.
    """
    layers = _layers(state)
    names = [f"synthesis.L{i}_{size}_{channels}" for i, (size, channels) in enumerate(layers)]
    style = likeliest_size(state, [(name, 1) for name in state if name.endswith("affine.weight")], 512)
    classes = likeliest_size(state, [("mapping.embed.weight", 1)], int("mapping.embed.bias" in state))
    inputs = likeliest_size(state, [("mapping.fc0.weight", 1)], 512 + bool(classes) * style)
    kernel = likeliest_size(state, [(f"{name}.weight", axis) for name in names[:-1] for axis in (2, 3)], 3)
    has_filters = any(name.endswith(_FILTERS) for name in state)
    if not has_filters and rounded != (kernel == 1):
        raise UserError("without filters, a kernel of one pixel makes a StyleGAN3 an R")
    shape = StyleGAN3Shape(
        tuple(layers),
        latent_dim=inputs - (style if classes else 0),
        style_dim=style,
        num_classes=classes,
        mapping_layers=max((int(match[1]) + 1 for name in state if (match := _MAPPING.match(name))), default=2),
        kernel=kernel,
        has_filters=has_filters,
    )
    shape = replace(shape, taps=_taps(state, shape))
    return replace(shape, round_layers=_round_layers(state, names)) if rounded else shape


def _layers(state: Mapping[str, torch.Tensor]) -> list[tuple[int, int]]:
    """Return side and channels of every layer, as most of its names have them; where none has, those of the last."""
    votes: dict[int, Counter[tuple[int, int]]] = {}
    for name in state:
        if match := _LAYER.match(name):
            i, size, channels = map(int, match.groups())
            votes.setdefault(i, Counter())[size, channels] += 1
    layers: list[tuple[int, int]] = []
    for i in range(max(votes, default=-1) + 1):
        layers.append(votes[i].most_common(1)[0][0] if i in votes else layers[-1] if layers else (0, 0))
    return layers


def _taps(state: Mapping[str, torch.Tensor], shape: StyleGAN3Shape) -> int:
    """Return the taps of a filter that doubles, as most filters have them."""
    votes: Counter[int] = Counter()
    for layer in shape.geometry(Constants())[:-1]:
        for kind, factor in zip(_FILTERS, (layer.up, layer.down), strict=True):
            held = state.get(f"synthesis.{layer.name}.{kind}")
            if held is not None and held.dim():
                votes[2 * held.shape[0] // factor] += 1
    return votes.most_common(1)[0][0] if votes else shape.taps


def _round_layers(state: Mapping[str, torch.Tensor], names: list[str]) -> int:
    """Return after how many layers round filters end, as most filters agree; two before the last unless they say so."""
    dims = [state[name].dim() if name in state else 0 for name in (f"{layer}.down_filter" for layer in names[:-1])]

    def agreeing(count: int) -> int:
        return sum(dim == (2 if i < count else 1) for i, dim in enumerate(dims))

    usual = max(len(names) - 1 - Constants.num_critical, 1)
    return max([usual, *range(1, len(names))], key=agreeing)
