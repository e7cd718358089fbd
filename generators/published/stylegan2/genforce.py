"""The layout of genforce's StyleGAN2, which SeFa uses."""

import re
from collections.abc import Mapping
from typing import Any

import torch

from generators.published.stylegan2.naming import Entry, Naming

_AVERAGE = "generator_smooth"


def _mapping(name: str) -> Entry | None:
    if name == "w_avg":
        return Entry("truncation.w_avg")
    match = re.fullmatch(r"fc(\d+)\.(weight|bias)", name)
    return Entry(f"mapping.dense{match[1]}.{match[2]}") if match else None


def _in_block(block: int, name: str) -> Entry | None:
    if name == "const":
        return Entry("synthesis.early_layer.const", before=1)
    if name == "resample_filter":  # one for all
        return Entry("synthesis.upsample.kernel", before=2) if block else None
    layer, _, entry = name.partition(".")
    entry = entry.replace("affine.", "style.")
    if layer == "torgb":
        return Entry(f"synthesis.output{block}.{entry}")
    if layer not in ("conv0", "conv1"):
        return None
    if entry == "resample_filter" and layer == "conv1":
        return None
    name = f"synthesis.layer{2 * block - 1 + int(layer[-1])}"
    if entry == "resample_filter":
        return Entry(f"{name}.filter.kernel", before=2)
    return Entry(f"{name}.noise", before=2) if entry == "noise_const" else Entry(f"{name}.{entry}")


def _converted(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """Return our value: their up-sampling convolutions are flipped, and to their styles 1 is added as they run."""
    if name.endswith("conv0.weight"):
        return tensor.flip(2, 3)
    return tensor + 1 if name.endswith("affine.bias") else tensor


NAMING = Naming(_mapping, _in_block, _converted)


def unwrapped(held: Any) -> Any:
    """Return the averaged generator where a file of any of genforce's families holds it beside the other; else all."""
    is_both = isinstance(held, Mapping) and isinstance(held.get(_AVERAGE), Mapping)
    return held[_AVERAGE] if is_both else held
