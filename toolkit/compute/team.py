"""Several processes that work on one run: each takes its rows of every batch, and all hold the same state.

Started by `--processes` on one machine, or by torchrun on one or several; torch.distributed carries what they exchange.
A process alone exchanges nothing, and torch is imported only where there is something to exchange.
"""

import contextlib
import datetime
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from toolkit.compute.ranks import rank, world_size
from toolkit.errors import TeamError, UserError

if TYPE_CHECKING:
    import torch

RENDEZVOUS = "TOOLKIT_RENDEZVOUS"  # where processes of one machine meet: a URL as init_process_group takes it
_PATIENCE = datetime.timedelta(hours=6)  # the lead may draw and measure for long while the others wait
T = TypeVar("T")


@dataclass(frozen=True)
class Team:
    """`size` processes, this one being number `rank`; number 0 leads: it alone writes files and prints.

    Every method has to be called by all processes in the same order. Alone, each returns at once.
    """

    rank: int = 0
    size: int = 1

    @property
    def lead(self) -> bool:
        """Return whether this process writes files and prints."""
        return self.rank == 0

    def rows(self, count: int, multiple: int = 1) -> slice:
        """Return this process's rows of `count`, consecutive and in whole groups of `multiple`.

        UserError when there are fewer groups than processes.
        """
        return self._rows_of(self.rank, count, multiple)

    def _rows_of(self, number: int, count: int, multiple: int) -> slice:
        groups = count // multiple
        if groups < self.size:
            each = f"whole groups of {multiple}" if multiple > 1 else "at least one"
            raise UserError(
                f"{count} samples cannot be shared among {self.size} processes, {each} to everyone; "
                "use larger batches or fewer processes"
            )
        return slice(groups * number // self.size * multiple, groups * (number + 1) // self.size * multiple)

    def joined(self, own: "torch.Tensor", count: int, multiple: int = 1) -> "torch.Tensor":
        """Return the rows (count, ...) of all processes in order, of which `own` are this one's as by `rows`.

        Gradients reach `own` alone. A loss of the joined rows, which may join them in any way, is the same in every
        process, and the sum over processes of its parameters' gradients is that of the whole batch.
        """
        if self.size == 1:
            return own
        import torch

        lengths = [len(range(count)[self._rows_of(number, count, multiple)]) for number in range(self.size)]
        padded = own.detach().new_zeros(max(lengths), *own.shape[1:])
        padded[: len(own)] = own.detach()
        parts = self._gathered(padded)
        rows = [part[:length] for part, length in zip(parts, lengths, strict=True)]
        rows[self.rank] = own
        return torch.cat(rows)

    def _gathered(self, own: "torch.Tensor") -> "list[torch.Tensor]":
        import torch
        import torch.distributed as dist

        sent = own.contiguous().view(torch.uint8) if own.dtype == torch.bool else own.contiguous()
        parts = [torch.empty_like(sent) for _ in range(self.size)]
        with _contact():
            dist.all_gather(parts, sent)
        return [part.view(own.dtype) for part in parts]

    def total(self, values: "torch.Tensor") -> "torch.Tensor":
        """Return the sum of all processes' `values`, without gradient; these stay as they are."""
        if self.size == 1:
            return values
        import torch.distributed as dist

        summed = values.detach().clone()
        with _contact():
            dist.all_reduce(summed)
        return summed

    def sum_gradients(self, parameters: "Iterable[torch.nn.Parameter]") -> None:
        """Replace every parameter's gradient by the sum over processes, in one exchange."""
        if self.size == 1:
            return
        import torch

        from toolkit.compute.torch_private import copy_each

        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        summed = self.total(torch.cat([gradient.reshape(-1) for gradient in gradients]))
        parts = summed.split([gradient.numel() for gradient in gradients])
        copy_each(gradients, [p.view(g.shape) for p, g in zip(parts, gradients, strict=True)])

    def any(self, flag: bool) -> bool:
        """Return whether `flag` is set in any process."""
        if self.size == 1:
            return flag
        import torch

        return bool(self.total(torch.tensor(int(flag))))

    def led(self, work: Callable[[], T]) -> T:
        """Return what `work` returns in the leading process, which alone does it; its UserError is raised in all."""
        if self.size == 1:
            return work()
        import torch.distributed as dist

        outcomes = [_outcome(work) if self.lead else None]
        with _contact():
            dist.broadcast_object_list(outcomes, src=0)
        (outcome,) = outcomes
        assert outcome is not None
        return _result([outcome])[0]

    def together(self, work: Callable[[], T]) -> list[T]:
        """Return what `work` returns in each process, by rank; the first one's UserError is raised in all."""
        if self.size == 1:
            return [work()]
        import torch.distributed as dist

        outcomes: list[Any] = [None] * self.size
        with _contact():
            dist.all_gather_object(outcomes, _outcome(work))
        return _result(outcomes)


SOLO = Team()


def _outcome(work: Callable[[], T]) -> tuple[T | None, str | None]:
    try:
        return work(), None
    except TeamError:
        raise
    except UserError as error:
        return None, error.marked


def _result(outcomes: list[Any]) -> list[Any]:
    for _, error in outcomes:
        if error is not None:
            raise UserError(error)
    return [value for value, _ in outcomes]


@contextlib.contextmanager
def _contact() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise TeamError(
            f"no contact with the other processes of this run ({reason}); see what they said, then repeat the command"
        ) from error


def join_team(cuda: bool) -> Team:
    """Return the team that the environment names (that of torchrun), joined at the first call."""
    if world_size() == 1:
        return SOLO
    import torch.distributed as dist

    if not dist.is_initialized():
        with _contact():
            dist.init_process_group(
                "cpu:gloo,cuda:nccl" if cuda else "gloo",
                init_method=os.environ.get(RENDEZVOUS, "env://"),
                rank=rank(),
                world_size=world_size(),
                timeout=_PATIENCE,
            )
    return Team(rank(), world_size())
