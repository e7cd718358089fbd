"""A run from its start, or its checkpoint, to its figures: what every long command does, written once.

    carry_out(SegmentationRun(generator, shift, settings, ...), Path("segmenter"))

Rerun to resume: the same call starts from the last checkpoint, with the numbers of an unbroken run.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from toolkit.compute.engine import Engine
from toolkit.errors import UserError, named
from toolkit.files.runs import RunFolder
from toolkit.settings import Settings
from toolkit.state import Resumable
from toolkit.watch import SILENT, Stopped, Watch


class Step(Protocol):
    """What a training loop yields after each step."""

    @property
    def step(self) -> int:
        """Return how many steps are done."""
        ...


StateT = TypeVar("StateT", bound=Resumable)
StepT = TypeVar("StepT", bound=Step)


class Work(ABC, Generic[StateT, StepT]):
    """What one kind of run consists of: its state, its loop, what is watched beside it and what it leaves.

    `inputs` names, as text, what the run reads besides its settings; numbers in `extendable` may grow later.
    """

    settings: Settings
    engine: Engine
    inputs: dict[str, str]
    label: str = "training"
    unit: str = "steps"
    extendable: tuple[str, ...] = ("steps",)

    @abstractmethod
    def start(self, run: RunFolder, watch: Watch) -> StateT | None:
        """Return the state before the first step; None for work without steps, which has nothing to resume."""

    def begin(self, state: StateT, run: RunFolder, watch: Watch) -> None:
        """Do what comes before the first step of a run that is not resumed."""

    def total(self, state: StateT) -> int:
        """Return how many steps there are."""
        return getattr(self.settings, "steps", 0)

    @abstractmethod
    def steps(self, state: StateT) -> Iterable[StepT]:
        """Return the loop."""

    @abstractmethod
    def attend(self, state: StateT, step: StepT, last: bool, run: RunFolder) -> str | None:
        """Log and draw after a step, in the leading process alone; return what to show of it."""

    def complete(self) -> None:
        """Do what all processes do together after the last step."""

    @abstractmethod
    def conclude(self, state: Any, run: RunFolder, watch: Watch) -> None:
        """Write what the run leaves and finish it, in the leading process alone."""


def carry_out(work: Work[StateT, StepT], out: Path, watch: Watch = SILENT) -> RunFolder:
    """Return the finished run in the folder `out`, after starting it, resuming it or seeing that it is finished.

    UserError where `out` holds another run; `toolkit.watch.Stopped` where `watch` asked for a stop.
    """
    run = open_run(work, out)
    if is_finished(work, run):
        watch.say(f"{out} is finished already")
        run.close()
        return run
    state = work.start(run, watch)
    if state is not None:
        _take_steps(work, state, run, watch)
    work.complete()
    run.team.led(lambda: work.conclude(state, run, watch))
    return run


def _take_steps(work: Work[StateT, StepT], state: StateT, run: RunFolder, watch: Watch) -> None:
    if not resume(state, run, watch):
        work.begin(state, run, watch)
    total = work.total(state)

    def attend(step: StepT, last: bool) -> str | None:
        return work.attend(state, step, last, run)

    drive(work.label, work.steps(state), state, work.settings, run, attend, total, work.unit, watch)


def open_run(work: Work, out: Path) -> RunFolder:
    """Return the run folder of some work; UserError where there is another run."""
    engine = work.engine
    inputs = {**work.inputs, **engine.identity()}
    return RunFolder.open(out, work.settings, inputs, engine.describe(), work.extendable, engine.team)


def is_finished(work: Work, run: RunFolder) -> bool:
    """Return whether the run has its figures, and is as long as its settings want."""
    result = run.result
    return result is not None and result["steps"] >= getattr(work.settings, "steps", 0)


def resume(state: Resumable, run: RunFolder, watch: Watch = SILENT) -> bool:
    """Load the run's checkpoint into `state` and return whether there was one; UserError if it does not fit."""
    saved = run.load_checkpoint()
    if saved is None:
        return False
    try:
        state.load_state_dict(saved)
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise UserError(
            f"{run.checkpoint} does not fit this run ({reason}); delete it to start again, or choose another "
            f"{named('out')}"
        ) from error
    watch.say(f"resuming at step {state.step}")
    return True


def drive(
    label: str,
    steps: Iterable[StepT],
    state: Resumable,
    settings: Any,
    run: RunFolder,
    attend: Callable[[StepT, bool], str | None],
    total: int,
    unit: str = "steps",
    watch: Watch = SILENT,
) -> None:
    """Run `steps` to `total`; save a checkpoint every `settings.checkpoint_every` and at the end.

    `attend(step, last)` logs and draws after each step, in the leading process alone; what it returns stands behind
    the bar. Where `watch` asks for a stop the state is saved, the folder let go of, and Stopped raised.
    """
    with watch.bar(label, total, state.step, unit) as advance, watch.stops() as stop_wanted:
        for step in steps:
            last = step.step == total
            stopping = run.team.any(stop_wanted()) and not last
            try:
                advance(1, attend(step, last) if run.team.lead else None)
            except OSError as error:  # a log that cannot be written costs no training
                run.save_checkpoint(state.state_dict())
                raise UserError(
                    f"cannot write into {run.path}: {error.strerror or error}; make room, then repeat the command"
                ) from error
            if step.step % settings.checkpoint_every == 0 or last or stopping:
                run.save_checkpoint(state.state_dict())
            if stopping:
                run.close()
                raise Stopped(f"at step {step.step}")


def log_figures(step: Step, run: RunFolder, **more: float) -> dict[str, float]:
    """Log every figure of a step, and any `more`, and return them by name."""
    figures = {name: float(value) for name, value in vars(step).items() if name != "step"} | more
    run.log(step.step, **figures)
    return figures
