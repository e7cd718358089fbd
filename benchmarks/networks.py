"""Multiplications of a network's forward and backward passes, and how many the machine can do at most."""

from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.timing import Work, seconds


def multiplications(work: Callable[[], object]) -> int:
    """Return how many multiply-accumulates of convolutions and matrix products one call of `work` does.

    The backward pass and fused attention count too; elementwise work, such as batch norm or Adam, does not.
    """
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops() // 2


def waiting(device: torch.device, work: Work) -> Work:
    """Return the work and the wait for its end, which on a GPU comes later than its return."""
    if device.type != "cuda":
        return work

    def both() -> None:
        work()
        torch.cuda.synchronize(device)

    return both


def product_speed(device: torch.device, dtype: torch.dtype, rounds: int) -> float:
    """Return the multiplications a second of one large matrix product."""
    side = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    return side**3 / seconds(waiting(device, lambda: a @ b), rounds)


def copy_speed(device: torch.device, rounds: int) -> float:
    """Return the bytes a second read and written by a copy in memory."""
    source = torch.ones(2**26, device=device)
    target = torch.empty_like(source)
    return 8 * len(source) / seconds(waiting(device, lambda: target.copy_(source)), rounds)
