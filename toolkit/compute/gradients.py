"""Gradients summed over processes, in buckets, while the backward pass that makes them still runs.

torch's DistributedDataParallel does this for one network and the passes through it. The trainings here send several
networks through one backward pass, call a network more than once in it, and exchange batch norm's figures meanwhile, so
the same is done for any parameters, whatever was computed with them.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch

BUCKET_BYTES = 4 << 20  # large enough for the rate of a network, small enough that most are sent before the pass ends
Send = Callable[[torch.Tensor], Callable[[], None]]


@contextlib.contextmanager
def summing(
    parameters: Iterable[torch.nn.Parameter],
    send: Send,
    bucket_bytes: int = BUCKET_BYTES,
) -> Iterator[None]:
    """Replace, when the context ends, each parameter's gradient by its sum over processes.

    Inside runs the backward pass that completes the gradients. `send` begins to replace a flat tensor by its sum, and
    returns what waits for it; it is called for the same buckets in the same order in every process. Parameters without
    a gradient stay so.
    """
    learnt = [parameter for parameter in parameters if parameter.requires_grad]
    buckets = _Buckets(_divided(learnt, bucket_bytes), send)
    hooks = [parameter.register_post_accumulate_grad_hook(buckets.note) for parameter in learnt]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
    buckets.finish()


def _divided(learnt: Sequence[torch.nn.Parameter], limit: int) -> list[list[torch.nn.Parameter]]:
    """Return the parameters in buckets of at most `limit` bytes or one parameter, the last first, as backward goes."""
    buckets: list[list[torch.nn.Parameter]] = []
    size, kind = 0, None
    for parameter in reversed(learnt):
        if not buckets or size + parameter.nbytes > limit or (parameter.dtype, parameter.device) != kind:
            buckets.append([])
            size, kind = 0, (parameter.dtype, parameter.device)
        buckets[-1].append(parameter)
        size += parameter.nbytes
    return buckets


class _Buckets:
    """Counts gradients as they come and sends each bucket once it is full and those before it are sent."""

    def __init__(self, buckets: list[list[torch.nn.Parameter]], send: Send) -> None:
        self._buckets = buckets
        self._send = send
        self._of = {id(parameter): number for number, bucket in enumerate(buckets) for parameter in bucket}
        self._missing = [len(bucket) for bucket in buckets]
        self._under_way: list[tuple[Callable[[], None], list[tuple[torch.nn.Parameter, torch.Tensor]]]] = []

    def note(self, parameter: torch.Tensor) -> None:
        """Take note that the gradient of a parameter is complete."""
        self._missing[self._of[id(parameter)]] -= 1
        while (next_one := len(self._under_way)) < len(self._buckets) and self._missing[next_one] == 0:
            self._begin(self._buckets[next_one])

    def finish(self) -> None:
        """Send what some parameters had no gradient for, and put the sums in the gradients' place."""
        for bucket in self._buckets[len(self._under_way) :]:
            self._begin(bucket)
        for wait, views in self._under_way:
            wait()
            for parameter, summed in views:
                parameter.grad = summed

    def _begin(self, bucket: list[torch.nn.Parameter]) -> None:
        given = [parameter for parameter in bucket if parameter.grad is not None]
        flat = bucket[0].new_empty(sum(parameter.numel() for parameter in given))
        views = [
            (parameter, part.as_strided(parameter.shape, parameter.stride()))  # optimisers want the weights' own layout
            for parameter, part in zip(given, flat.split([p.numel() for p in given]), strict=True)
        ]
        for parameter, view in views:
            view.copy_(parameter.grad)
        self._under_way.append((self._send(flat), views))
