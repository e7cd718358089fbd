"""The layout of genforce's StyleGAN2, which SeFa uses."""

import re
from collections.abc import Mapping
from typing import Any

import torch

from generators.published.stylegan2.naming import Entry, Naming

_HELD = ("generator_smooth", "generator")  # the first there is taken: the average of the training


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
    """Return the flat table of the generator in what a file holds, its average if there is one; else as it is."""
    if not isinstance(held, Mapping):
        return held
    return next((held[name] for name in _HELD if _is_generator(held.get(name))), held)


def _is_generator(held: Any) -> bool:
    """Return whether something is a table of one of genforce's generators: style-based, or a ProgGAN."""
    return isinstance(held, Mapping) and any(str(name).startswith(("synthesis.", "output0.")) for name in held)
