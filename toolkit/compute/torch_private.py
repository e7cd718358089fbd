"""The one place for names of torch that are not public: each with a way to do without it where it has gone.

Their tests run on the oldest and the newest torch.
"""

from collections.abc import Sequence

import torch


def copy_each(targets: Sequence[torch.Tensor], sources: Sequence[torch.Tensor]) -> None:
    """Copy each source into its target, all in one call."""
    at_once = getattr(torch, "_foreach_copy_", None)
    if at_once is not None:
        at_once(targets, sources)
        return
    for target, source in zip(targets, sources, strict=True):
        target.copy_(source)


def move_each(targets: Sequence[torch.Tensor], towards: Sequence[torch.Tensor], weight: float) -> None:
    """Move each target by the share `weight` of its way towards the other tensor, all in one call."""
    at_once = getattr(torch, "_foreach_lerp_", None)
    if at_once is not None:
        at_once(targets, towards, weight)
        return
    for target, other in zip(targets, towards, strict=True):
        target.lerp_(other, weight)


def cpu_multiplies_bf16() -> bool:
    """Return whether this CPU has instructions for matrix products in bfloat16; False where torch does not say."""
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)


def compiler_errors() -> tuple[type[Exception], ...]:
    """Return the errors that mean that torch.compile cannot compile something."""
    try:
        from torch._dynamo.exc import TorchDynamoException
    except ImportError:  # what it is called now is not known: without the name nothing but plain work is safe
        return (Exception,)
    return (TorchDynamoException,)
