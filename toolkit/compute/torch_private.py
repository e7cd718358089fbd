"""The one place for names of torch that are not public: each with a way to do without it where it has gone.

Their tests run on the oldest and the newest torch.
"""

from collections.abc import Sequence

import torch


def move_each(targets: Sequence[torch.Tensor], towards: Sequence[torch.Tensor], weight: float) -> None:
    """Move each target by the share `weight` of its way towards the other tensor, all in one call."""
    at_once = getattr(torch, "_foreach_lerp_", None)
    if at_once is not None:
        at_once(targets, towards, weight)
        return
    for target, other in zip(targets, towards, strict=True):
        target.lerp_(other, weight)


def compiler_errors() -> tuple[type[Exception], ...]:
    """Return the errors that mean that torch.compile cannot compile something."""
    try:
        from torch._dynamo.exc import TorchDynamoException
    except ImportError:  # what it is called now is not known: without the name nothing but plain work is safe
        return (Exception,)
    return (TorchDynamoException,)
