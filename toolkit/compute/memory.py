"""Memory of training: how many samples at a time fit into a limit, and what a process has needed at most."""

import math
import re
import sys
from collections.abc import Callable, Iterable

import torch

from toolkit.errors import UserError, named

_UNITS = {"mb": 10**6, "mib": 2**20, "gb": 10**9, "gib": 2**30}
_COPIES = 4  # a learnt weight, its gradient and Adam's two moments
# Peaks of whole steps over the bytes counted here were 1.13 to 1.36 for the U-Net (width 64, 128 pixels, 1 to 32
# samples) and 1.05 to 1.37 for BigBiGAN under ResNet-18 (2 to 32), fp32 and bf16, resident memory on a CPU. What is not
# counted: gradients of activations, workspaces of convolutions, the optimiser's own intermediates, holes in the heap.
_SLACK = 1.4


def parse_bytes(text: str) -> int:
    """Return the bytes of an amount such as 4GB or 512MB (powers of ten), 3.5GiB or 512MiB (of two); else UserError."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)\s*([mg]i?b)", text.strip().lower())
    size = int(float(found[1]) * _UNITS[found[2]]) if found else 0
    if size == 0:
        raise UserError(f"{text!r} is no amount of memory; write a number above 0 and MB, MiB, GB or GiB, such as 4GB")
    return size


def peak_memory(device: torch.device) -> int:
    """Return the most bytes in use so far: of tensors on a CUDA device, else of this process; 0 if nobody counts."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def training_bytes(
    step: Callable[[int], torch.Tensor],
    learnt: Iterable[torch.Tensor],
    frozen: Iterable[torch.Tensor] = (),
    least: int = 1,
) -> Callable[[int], int]:
    """Return a function from the samples at a time to the bytes that a training step on them needs at most.

    `step(count)` returns the loss of `count` samples, of any content; it is run on `least` samples and on one more. Run
    it on the CPU, that every machine finds the same, and on a copy of the networks: batch norm takes note of what
    passes. `learnt` are the weights that Adam trains, `frozen` those the step only uses. What a process needs besides,
    such as a CUDA context (about 0.5 GB) or the next batch in the making, is not counted.
    """
    learnt, frozen = list(learnt), list(frozen)
    first, second = (_saved_bytes(step, count, [*learnt, *frozen]) for count in (least, least + 1))
    each = second - first
    constant = first - least * each  # such as weights in bf16
    weights = _COPIES * sum(_storages(learnt).values()) + sum(_storages(frozen).values())
    return lambda count: math.ceil(_SLACK * (weights + constant + count * each))


def largest_micro_batch(needed: Callable[[int], int], limit: int, batch: int, least: int = 1) -> int:
    """Return the size of the largest of the fewest even parts of `batch` of which each needs at most `limit` bytes.

    `needed` is as from `training_bytes`; no part is below `least` samples, 2 where batch norm sees one value a sample.
    UserError naming what is needed at least when that is more than `limit`.
    """
    most = max(1, batch // least)
    for parts in range(1, most + 1):
        size = math.ceil(batch / parts)
        if needed(size) <= limit:
            return size
    smallest = math.ceil(batch / most)
    raise UserError(
        f"{named('max_memory')} is {limit // 10**6}MB, but a training step with {smallest} of its {batch} samples at a "
        f"time needs {math.ceil(needed(smallest) / 10**6)}MB; raise it, or train a smaller network"
    )


def _saved_bytes(step: Callable[[int], torch.Tensor], count: int, apart: list[torch.Tensor]) -> int:
    """Return the bytes autograd keeps for the backward pass of `step(count)`, without those of the tensors `apart`."""
    kept: list[torch.Tensor] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor)  # held until all are counted: freed memory would come again under the same address
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        step(count)
    counted = _storages(apart)
    return sum(size for address, size in _storages(kept).items() if address not in counted)


def _storages(tensors: Iterable[torch.Tensor]) -> dict[int, int]:
    """Return the bytes of each piece of memory below the tensors, by address: many may be views of one."""
    storages = (tensor.untyped_storage() for tensor in tensors)
    return {storage.data_ptr(): storage.nbytes() for storage in storages}
