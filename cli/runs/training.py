"""Driving a training loop: progress, checkpoints, and a clean stop on Ctrl-C."""

import dataclasses
import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import typer

from cli.inputs.options import require
from cli.runs.progress import Bar, StopRequest, console
from toolkit.errors import UserError

if TYPE_CHECKING:
    from toolkit.files.runs import RunFolder


class _Step(Protocol):
    @property
    def step(self) -> int: ...


class _State(Protocol):
    step: int

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


StepT = TypeVar("StepT", bound=_Step)


def take_up(state: _State, run: "RunFolder") -> bool:
    """Load the run's checkpoint into `state` and tell whether there was one; UserError if it does not fit."""
    saved = run.load_checkpoint()
    if saved is None:
        return False
    try:
        state.load_state_dict(saved)
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise UserError(
            f"{run.checkpoint} does not fit this run ({reason}); delete it to start again, or choose another --out"
        ) from error
    console.print(f"resuming at step {state.step}")
    return True


def within_memory(
    settings: Any, max_memory: str | None, needed: "Callable[[], Callable[[int], int]]", processes: int
) -> Any:
    """Return the settings with the largest `micro_batch` whose step fits `max_memory` in each process, if given.

    They have `batch` and `micro_batch`. `needed` returns a function from samples at a time to bytes. UserError when not
    even two samples fit.
    """
    if max_memory is None:
        return settings
    from toolkit.compute.memory import largest_micro_batch, parse_bytes

    limit = parse_bytes(max_memory)
    require(settings.micro_batch is None, "--max-memory chooses --micro-batch; give one of the two")
    bytes_of = needed()
    found = largest_micro_batch(
        lambda count: bytes_of(math.ceil(count / processes)), limit, settings.batch, least=2 * processes
    )
    if found >= settings.batch:
        return settings
    console.print(f"{max_memory} hold {found} of the {settings.batch} samples of a batch at a time")
    return dataclasses.replace(settings, micro_batch=found)


def log_figures(step: _Step, run: "RunFolder", **more: float) -> dict[str, float]:
    """Log every figure of a step, and any `more`, and return them by name."""
    figures = {name: float(value) for name, value in vars(step).items() if name != "step"} | more
    run.log(step.step, **figures)
    return figures


def drive(
    label: str,
    steps: Iterable[StepT],
    state: _State,
    settings: Any,
    run: "RunFolder",
    attend: Callable[[StepT, bool], str | None],
    total: int | None = None,
    unit: str = "steps",
) -> None:
    """Run `steps` to `settings.steps`, or `total`; save a checkpoint every `settings.checkpoint_every` and at the end.

    `attend(step, last)` logs and draws after each step, in the leading process alone; what it returns stands behind
    the bar. On Ctrl-C or SIGTERM the state is saved and the command ends with status 130.
    """
    total = total or settings.steps
    with Bar(label, total, state.step, unit) as bar, StopRequest() as stop:
        for step in steps:
            last = step.step == total
            stopping = run.team.any(bool(stop)) and not last
            try:
                bar.advance(1, attend(step, last) if run.team.lead else None)
            except OSError as error:  # a log that cannot be written costs no training
                run.save_checkpoint(state.state_dict())
                raise UserError(
                    f"cannot write into {run.path}: {error.strerror or error}; make room, then repeat the command"
                ) from error
            if step.step % settings.checkpoint_every == 0 or last or stopping:
                run.save_checkpoint(state.state_dict())
            if stopping:
                run.close()
                console.print(f"stopped at step {step.step}; the same command goes on from there")
                raise typer.Exit(130)
