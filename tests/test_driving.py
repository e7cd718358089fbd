"""The protocol of a run, driven by a library's user: no console, no command."""

import contextlib
from dataclasses import dataclass
from typing import ClassVar

import pytest

from toolkit.compute.engine import choose_engine
from toolkit.errors import UserError
from toolkit.files.driving import Work, carry_out
from toolkit.settings import Settings, setting
from toolkit.watch import SILENT, Stopped, Watch


@dataclass(frozen=True)
class Counting(Settings):
    kind: ClassVar[str] = "count"

    steps: int = setting(5, "steps", minimum=1)
    checkpoint_every: int = setting(2, "steps between checkpoints", minimum=1, watches=True)


@dataclass
class Count:
    step: int = 0
    total: int = 0

    def state_dict(self):
        return vars(self).copy()

    def load_state_dict(self, state):
        self.step, self.total = state["step"], state["total"]


class Sum(Work):
    """Adds up the numbers of its steps."""

    def __init__(self, steps=5):
        self.settings, self.engine, self.inputs = Counting(steps=steps), choose_engine("cpu"), {"what": "numbers"}
        self.began = self.completed = False

    def start(self, run, watch):
        return Count()

    def begin(self, state, run, watch):
        self.began = True

    def steps(self, state):
        while state.step < self.settings.steps:
            state.step += 1
            state.total += state.step
            yield Count(state.step)

    def attend(self, state, step, last, run):
        run.log(step.step, total=float(state.total))
        return f"total {state.total}"

    def complete(self):
        self.completed = True

    def conclude(self, state, run, watch):
        run.finish({"steps": state.step, "total": state.total})


class Following(Watch):
    """Remembers what it is told, and asks for a stop once `until` notes have come."""

    def __init__(self, until=None):
        self.lines, self.notes, self.until = [], [], until

    def say(self, line):
        self.lines.append(line)

    @contextlib.contextmanager
    def bar(self, label, total, done=0, unit="steps"):
        yield lambda count=1, note=None: self.notes.append(note)

    @contextlib.contextmanager
    def stops(self):
        yield lambda: self.until is not None and len(self.notes) >= self.until


def test_a_run_goes_from_its_start_to_its_figures(tmp_path, capsys):
    work = Sum()
    run = carry_out(work, tmp_path / "run")
    assert run.result == {"steps": 5, "total": 15}
    assert [line["total"] for line in run.metrics()] == [1, 3, 6, 10, 15]
    assert work.began
    assert work.completed
    assert capsys.readouterr() == ("", "")


def test_a_run_that_is_asked_to_stop_is_resumed_with_the_numbers_of_an_unbroken_one(tmp_path):
    watch = Following(until=2)
    with pytest.raises(Stopped, match="at step 3"):
        carry_out(Sum(), tmp_path / "run", watch)
    assert watch.notes == ["total 1", "total 3", "total 6"]
    again, watch = Sum(), Following()
    assert carry_out(again, tmp_path / "run", watch).result == {"steps": 5, "total": 15}
    assert watch.lines == ["resuming at step 3"]
    assert watch.notes == ["total 10", "total 15"]
    assert not again.began


def test_a_finished_run_is_left_as_it_is_and_can_be_made_longer(tmp_path):
    carry_out(Sum(), tmp_path / "run")
    watch = Following()
    assert carry_out(Sum(), tmp_path / "run", watch).result == {"steps": 5, "total": 15}
    assert watch.lines == [f"{tmp_path / 'run'} is finished already"]
    assert carry_out(Sum(6), tmp_path / "run").result == {"steps": 6, "total": 21}
    with pytest.raises(UserError, match=r"of 6 steps, and steps is 4 now; it can only be made longer"):
        carry_out(Sum(4), tmp_path / "run")


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    from toolkit.files.artefacts import save_checkpoint

    with pytest.raises(Stopped):
        carry_out(Sum(), tmp_path / "run", Following(until=1))
    save_checkpoint(tmp_path / "run" / "checkpoint.pt", {"step": 2})
    with pytest.raises(UserError, match=r"checkpoint\.pt does not fit this run \('total'\); delete it to start again"):
        carry_out(Sum(), tmp_path / "run")


def test_the_silent_watch_passes_items_through():
    assert list(SILENT.over([1, 2], "counting", "numbers")) == [1, 2]
