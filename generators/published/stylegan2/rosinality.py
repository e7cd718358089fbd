"""The layout of rosinality's StyleGAN2."""

import re
from collections.abc import Mapping
from typing import Any

from generators.published.stylegan2.naming import Entry, Naming

MEAN = "latent_avg"
# Our end of a name -> that of a convolution or a step to colours, and its further axes before and behind.
_IN_BLOCKS = {
    "weight": ("conv.weight", 1, 0),
    "bias": ("activate.bias", 0, 0),
    "affine.weight": ("conv.modulation.weight", 0, 0),
    "affine.bias": ("conv.modulation.bias", 0, 0),
    "noise_strength": ("noise.weight", 1, 0),
}


def _mapping(name: str) -> Entry | None:
    if name == "w_avg":
        return Entry(MEAN)
    match = re.fullmatch(r"fc(\d+)\.(weight|bias)", name)
    return Entry(f"style.{int(match[1]) + 1}.{match[2]}") if match else None


def _in_block(block: int, name: str) -> Entry | None:
    if name == "const":
        return Entry("input.input", before=1)
    if name == "resample_filter":
        return Entry(f"to_rgbs.{block - 1}.upsample.kernel") if block else None
    layer, _, entry = name.partition(".")
    if layer == "torgb":
        return _to_rgb("to_rgb1" if block == 0 else f"to_rgbs.{block - 1}", entry)
    if layer not in ("conv0", "conv1"):
        return None
    number = 2 * (block - 1) + int(layer[-1])  # of those behind the first
    if entry == "noise_const":
        return Entry(f"noises.noise_{number + 1 if block else 0}", before=2)
    if entry == "resample_filter":
        return Entry(f"convs.{number}.conv.blur.kernel") if layer == "conv0" else None
    theirs, before, behind = _IN_BLOCKS[entry]
    return Entry(f"{f'convs.{number}' if block else 'conv1'}.{theirs}", before, behind)


def _to_rgb(name: str, entry: str) -> Entry:
    if entry == "bias":
        return Entry(f"{name}.bias", 1, 2)
    theirs, before, behind = _IN_BLOCKS[entry]
    return Entry(f"{name}.{theirs}", before, behind)


NAMING = Naming(_mapping, _in_block)


def unwrapped(held: Any) -> Any:
    """Return the flat table of the generator in what a file holds, and anything else as it is.

    The published files keep the generator under `g_ema` with `latent_avg` beside it (both kept), and perhaps what else
    its training needs (omitted).
    """
    if not isinstance(held, Mapping) or not isinstance(held.get("g_ema"), Mapping):
        return held
    return {**held["g_ema"], **{name: held[name] for name in (MEAN,) if name in held}}
