"""Driving a training loop: progress, checkpoints, and a clean stop on Ctrl-C."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import typer

from cli.progress import Bar, StopRequest, console

if TYPE_CHECKING:
    from toolkit.runs import RunFolder


class _Step(Protocol):
    @property
    def step(self) -> int: ...


class _State(Protocol):
    step: int

    def state_dict(self) -> dict[str, Any]: ...


StepT = TypeVar("StepT", bound=_Step)


def drive(
    label: str,
    steps: Iterable[StepT],
    state: _State,
    settings: Any,
    run: "RunFolder",
    attend: Callable[[StepT, bool], str | None],
) -> None:
    """Run `steps` to `settings.steps`, saving a checkpoint every `settings.checkpoint_every` and at the end.

    `attend(step, last)` logs and draws after each step; what it returns stands behind the bar. On Ctrl-C or SIGTERM
    the state is saved and the command ends with status 130.
    """
    with Bar(label, settings.steps, state.step) as bar, StopRequest() as stop:
        for step in steps:
            last = step.step == settings.steps
            bar.advance(1, attend(step, last))
            if step.step % settings.checkpoint_every == 0 or last or stop:
                run.save_checkpoint(state.state_dict())
            if stop and not last:
                run.close()
                console.print(f"stopped at step {step.step}; the same command goes on from there")
                raise typer.Exit(130)
