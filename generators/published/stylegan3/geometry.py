"""Sizes, sampling rates and frequencies of StyleGAN3's layers (Karras et al. 2021, 2106.12423, section 3 and figure 4).

Rates are samples across the image, frequencies cycles across it. Between two layers, features are taken to a higher
rate, activated there and brought back, each by a filter that keeps what the next rate can hold.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from generators.mapping import MAPPING_RATE
from toolkit.errors import UserError


@dataclass(frozen=True)
class Constants:
    """The arguments of the constructor that neither names nor shapes show; the defaults are the original's.

    Frequencies in cycles across the image; `conv_clamp` None: no clamp; `lr_multiplier` of the mapping. UserError for
    values that no network has.
    """

    num_critical: int = 2
    first_cutoff: float = 2.0
    first_stopband: float = 2**2.1
    last_stopband_rel: float = 2**0.3
    lrelu_upsampling: int = 2
    conv_clamp: float | None = 256.0
    output_scale: float = 0.25
    lr_multiplier: float = MAPPING_RATE

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "conv_clamp" and value is None:
                continue
            least = 0 if field.name == "num_critical" else 1 if field.type is int else math.ulp(0)
            right = type(value) is int or (field.type is not int and type(value) is float and math.isfinite(value))
            if not right or value < least:
                what = "whole number" if field.type is int else "number above 0"
                raise UserError(f"{field.name} of this StyleGAN3 is {value!r}, but has to be a {what}")

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> Self:
        """Return the constants among the arguments of a constructor, which has those of the mapping in a table."""
        mapping = arguments.get("mapping_kwargs")
        flat = {**arguments, **(mapping if isinstance(mapping, Mapping) else {})}
        return cls(**{field.name: flat[field.name] for field in fields(cls) if field.name in flat})


@dataclass(frozen=True)
class LayerGeometry:
    """One layer: what it takes in and gives out, and how it is resampled in between.

    Sides in samples, with margins around the image; `up` from the rate that comes in to the one at which features are
    activated, `down` from there to the one that goes out; taps 1: no filter. `radial` says that the filter down is
    round, not separable. `padding` is what stands before and behind the up-sampled features, negative where they are
    cropped. The step to colours is neither resampled nor activated.
    """

    name: str
    channels_in: int
    channels_out: int
    size_in: int
    size_out: int
    rate_in: int
    rate_out: int
    rate: int
    cutoff_in: float
    cutoff_out: float
    half_width_in: float
    half_width_out: float
    up_taps: int
    down_taps: int
    radial: bool
    critical: bool
    kernel: int

    @property
    def up(self) -> int:
        """Return how many times the rate rises before the activation."""
        return self.rate // self.rate_in

    @property
    def down(self) -> int:
        """Return how many times it falls behind it."""
        return self.rate // self.rate_out

    @property
    def padding(self) -> tuple[int, int]:
        """Return the samples before and behind the up-sampled ones, of either axis."""
        size_in = self.size_in + self.kernel - 1
        total = (self.size_out - 1) * self.down + 1 - size_in * self.up + self.up_taps + self.down_taps - 2
        before = (total + self.up) // 2
        return before, total - before


@dataclass(frozen=True)
class Frequencies:
    """Cutoff, half width of the transition and sampling rate of every layer's output, 0 to N."""

    cutoffs: tuple[float, ...]
    half_widths: tuple[float, ...]
    rates: tuple[int, ...]


def first_rate(resolution: int, constants: Constants) -> int:
    """Return the rate of the first features, a power of two that holds the first stop band."""
    return 2 ** math.ceil(math.log2(min(2 * constants.first_stopband, resolution)))


def frequencies(sizes: tuple[int, ...], constants: Constants) -> Frequencies:
    """Return the frequencies of layers of these output sides, the last two of which are the image's.

    Rates are the sides less their margins rather than the formula's, whose ceiling may stand on a whole number (at 256
    px); cutoffs and stop bands rise geometrically until the critically sampled layers. UserError for sides that no
    network has.
    """
    resolution, last = sizes[-1], len(sizes) - 1
    first = first_rate(resolution, constants)
    margins = sizes[0] - first
    rates = [*(size - margins for size in sizes[:-2]), resolution, resolution]
    steps = last - constants.num_critical
    if steps < 1 or margins < 0 or margins % 2 or min(rates) < 1 or sizes[-2] != resolution:
        raise UserError(f"no StyleGAN3 has layers of the sides {', '.join(map(str, sizes))}")
    exponents = [min(i / steps, 1) for i in range(len(sizes))]
    top = resolution / 2
    cutoffs = [constants.first_cutoff * (top / constants.first_cutoff) ** e for e in exponents]
    rise = top * constants.last_stopband_rel / constants.first_stopband
    stopbands = [constants.first_stopband * rise**e for e in exponents]
    half_widths = [max(s, rate / 2) - c for c, s, rate in zip(cutoffs, stopbands, rates, strict=True)]
    return Frequencies(tuple(cutoffs), tuple(half_widths), tuple(rates))
