"""Multiplications of a network's forward and backward passes, to tell the share of the machine's ceiling reached."""

from collections.abc import Callable

from torch.utils.flop_counter import FlopCounterMode


def multiplications(work: Callable[[], object]) -> int:
    """Return how many multiply-accumulates of convolutions and matrix products one call of `work` does.

    The backward pass and fused attention count too; elementwise work, such as batch norm or Adam, does not.
    """
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops() // 2
