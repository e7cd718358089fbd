"""Several processes that work on one run: each takes its rows of every batch, and all hold the same state.

Started by `--processes` on one machine, or by torchrun on one or several; torch.distributed carries what they exchange.
A process alone exchanges nothing, and torch is imported only where there is something to exchange.
"""

import contextlib
import datetime
import functools
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from toolkit.compute.ranks import rank, world_size
from toolkit.errors import TeamError, UserError

if TYPE_CHECKING:
    import torch

RENDEZVOUS = "TOOLKIT_RENDEZVOUS"  # where processes of one machine meet: a URL as init_process_group takes it
_SMALL = 1 << 16  # bytes: below, an exchange costs what a way takes, and not what it carries
_MEETING = 600.0  # seconds within which all processes have to have started
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
        import torch.distributed as dist

        sent = _sendable(own.contiguous())
        parts = sent.new_empty(self.size, *sent.shape)
        with _contact():
            if own.is_cpu and own.nbytes <= _SMALL:  # to all at once, where a ring takes a way for each process
                dist.all_to_all_single(parts, sent.expand_as(parts).contiguous())
            else:
                dist.all_gather(list(parts), sent)
        return list(parts.view(own.dtype))

    def dealt(self, own: "torch.Tensor", count: int) -> "torch.Tensor":
        """Return (count, ...), of which `own` are this process's rows rank, rank + size, and so on; no gradients."""
        if self.size == 1:
            return own
        import torch

        padded = own.new_zeros(-(-count // self.size), *own.shape[1:])
        padded[: len(own)] = own
        return torch.stack(self._gathered(padded), dim=1).flatten(0, 1)[:count]

    def gathered(self, own: "torch.Tensor", holders: "torch.Tensor") -> "torch.Tensor":
        """Return all rows (N, ...), row i being one of process `holders[i]`, which has its own in order; no gradients.

        `holders` (N,) int64 on the CPU are the same in all processes.
        """
        if self.size == 1:
            return own
        import torch

        numbers = torch.bincount(holders, minlength=self.size).tolist()
        padded = own.new_zeros(max(numbers), *own.shape[1:])
        padded[: len(own)] = own
        parts = [part[:number] for part, number in zip(self._gathered(padded), numbers, strict=True)]
        return torch.cat(parts)[_back(holders)]

    def evened(self, holders: "torch.Tensor") -> "torch.Tensor":
        """Return who is to hold each row, so that all have equally many (but for one) and few change hands."""
        import torch

        total, size = len(holders), self.size
        numbers = torch.bincount(holders, minlength=size).tolist()
        wanted = [total * (one + 1) // size - total * one // size for one in range(size)]
        short = [one for one in range(size) for _ in range(wanted[one] - numbers[one])]
        evened = holders.clone()
        for row, holder in reversed(list(enumerate(holders.tolist()))):
            if short and numbers[holder] > wanted[holder]:
                numbers[holder] -= 1
                evened[row] = short.pop()
        return evened

    def moved(self, own: "torch.Tensor", before: "torch.Tensor", after: "torch.Tensor") -> "torch.Tensor":
        """Return the rows this process is to hold `after`, given those it holds `before`, in order; no gradients.

        Both (N,) int64 on the CPU name the holder of each row, and are the same in all processes.
        """
        import torch

        if self.size == 1 or torch.equal(before, after):
            return own
        import torch.distributed as dist

        leaving, coming = after[before == self.rank], before[after == self.rank]
        taken, given = (torch.bincount(others, minlength=self.size).tolist() for others in (coming, leaving))
        sent = own[leaving.argsort(stable=True)].contiguous()
        got = own.new_empty(len(coming), *own.shape[1:])
        with _contact():
            dist.all_to_all_single(_sendable(got), _sendable(sent), taken, given)
        return got[_back(coming)]

    def total(self, values: "torch.Tensor") -> "torch.Tensor":
        """Return the sum of all processes' `values`, without gradient; these stay as they are."""
        if self.size == 1:
            return values
        import torch

        own = values.detach()
        if own.is_cpu and own.nbytes <= _SMALL:
            return torch.stack(self._gathered(own)).sum(dim=0)
        summed = own.clone()
        _begin_sum(summed)()
        return summed

    def summing(
        self, parameters: "Iterable[torch.nn.Parameter]", last: bool = True
    ) -> contextlib.AbstractContextManager[None]:
        """Return a context for a backward pass, at the end of which each gradient is its sum over processes.

        Gradients are sent in buckets while the pass still runs (toolkit.compute.gradients). Of passes whose gradients
        add up, all but the last one exchange nothing.
        """
        if self.size == 1 or not last:
            return contextlib.nullcontext()
        from toolkit.compute.gradients import summing

        return summing(parameters, _begin_sum)

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


def _sendable(values: "torch.Tensor") -> "torch.Tensor":
    """Return the same memory, contiguous, in a type that processes exchange."""
    import torch

    return values.view(torch.uint8) if values.dtype == torch.bool else values


def _back(holders: "torch.Tensor") -> "torch.Tensor":
    """Return the indices that bring rows sorted by holder, stably, back into their order."""
    return holders.argsort(stable=True).argsort()


def _begin_sum(values: "torch.Tensor") -> Callable[[], None]:
    """Begin to replace `values` by their sum over processes, and return what waits for it."""
    import torch.distributed as dist

    with _contact():
        under_way = dist.all_reduce(values, group=_second_group() if values.is_cpu else None, async_op=True)

    def wait() -> None:
        with _contact():
            under_way.wait()

    return wait


@functools.cache
def _second_group() -> Any:
    """Return a group for what takes long, so that short exchanges, such as batch norm's, do not wait behind it.

    On a CPU alone: NCCL may not run two groups of a GPU side by side.
    """
    import torch.distributed as dist

    return dist.new_group(backend="gloo", timeout=_PATIENCE)


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
        meeting = os.environ.get(RENDEZVOUS, "env://")

        def meet() -> None:
            backend = "cpu:gloo,cuda:nccl" if cuda else "gloo"
            dist.init_process_group(
                backend, init_method=meeting, rank=rank(), world_size=world_size(), timeout=_PATIENCE
            )

        _within(meet, _MEETING, f"not all of the {world_size()} processes came to {meeting}")
    return Team(rank(), world_size())


def _within(meet: Callable[[], None], seconds: float, otherwise: str) -> None:
    """Run what waits in C++, beside this thread, which signals reach meanwhile; TeamError where it takes too long."""
    outcome: list[BaseException | None] = []

    def run() -> None:
        try:
            meet()
        except BaseException as error:
            outcome.append(error)
        else:
            outcome.append(None)

    threading.Thread(target=run, daemon=True).start()
    ends = time.monotonic() + seconds
    while not outcome:
        if time.monotonic() > ends:
            raise TeamError(f"{otherwise} within {seconds / 60:.0f} minutes; start all of them, by the same address")
        time.sleep(0.02)
    with _contact():
        if outcome[0] is not None:
            raise outcome[0]
