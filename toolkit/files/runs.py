"""The run folder: what one command did, so that it can be read, resumed and run again.

config.toml      the resolved settings
run.json         kind, command line, versions, device, times
metrics.jsonl    one JSON object a logged step
tensorboard/     the same numbers for TensorBoard
plan.json        of a run of several stages: the steps that each takes
checkpoint.pt    the resumable state while the run is under way
progress.json    the same of a clip, whose finished segments lie beside it
result.json      the figures, written last: its presence says the run is done
"""

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolkit.compute.team import SOLO, Team
from toolkit.errors import OUT, UserError, named
from toolkit.files.locks import hold, let_go
from toolkit.files.run_record import RECORD, RunRecord
from toolkit.files.workplace import holdings, sweep_below
from toolkit.files.writing import read_json, writable_folder, write_json, write_text
from toolkit.settings import Settings, read_toml
from toolkit.untrusted.text import LARGEST_JSON, parse_json, read_text

PLAN = "plan.json"
PROGRESS = "progress.json"
_OF_WORK = ("checkpoint.pt", "metrics.jsonl", "result.json", PLAN, PROGRESS)


class RunFolder:
    """One command's folder. Opening it again with the same settings resumes; with others it is refused."""

    def __init__(self, path: Path, kind: str, team: Team = SOLO) -> None:
        self.path = Path(path)
        self.kind = kind
        self.team = team
        self._board: Any = None
        self._kept_until: int | None = None

    @classmethod
    def open(
        cls,
        path: Path,
        settings: Settings,
        inputs: Mapping[str, str],
        engine: str,
        extendable: tuple[str, ...] = (),
        team: Team = SOLO,
    ) -> "RunFolder":
        """Return the run folder at `path`, made or resumed.

        `inputs` names what the run reads besides its settings (generator, photos ...), as text. UserError when the
        folder holds a run of another kind, or of other settings or inputs (numbers in `extendable` may grow), and
        when another process is at work in it. Of a `team` the leading process alone reads and writes.
        """
        run = cls(path, settings.kind, team)
        team.led(lambda: run._begin(settings, inputs, engine, extendable))
        return run

    def _begin(self, settings: Settings, inputs: Mapping[str, str], engine: str, extendable: tuple[str, ...]) -> None:
        self._previous(settings)  # refused before anything is made
        writable_folder(self.path)
        fresh = hold(self.path)
        try:
            # Whoever worked here until now may have begun the run, or ended it.
            previous = self._previous(settings)
            sweep_below(self.path)
            self._write_down(previous, settings, inputs, engine, extendable)
        except BaseException:
            if fresh:
                let_go(self.path)
            raise

    def _previous(self, settings: Settings) -> RunRecord | None:
        """Return the record of the run in this folder, None where there is none yet.

        UserError when there is a run of another kind, or files of something else.
        """
        if (self.path / RECORD).exists():
            return RunRecord.read(self.path / RECORD, self.kind)
        config = self.path / "config.toml"
        # What a killed start of these very settings has left is no obstacle.
        ours = config.is_file() and config.read_bytes() == settings.as_toml(config.name).encode()
        if holdings(self.path, but=[config.name] if ours else []):
            raise UserError(f"{self.path} holds other files and no run; choose an empty or new {OUT}")
        return None

    def _write_down(
        self,
        previous: RunRecord | None,
        settings: Settings,
        inputs: Mapping[str, str],
        engine: str,
        extendable: tuple[str, ...],
    ) -> None:
        """Write down what the run is, after comparing it with what it was; UserError where that differs."""
        # A start that was refused before its first step leaves no work to protect.
        if any((self.path / name).exists() for name in _OF_WORK):
            self._require_same({} if previous is None else previous.inputs, settings, inputs, extendable)
        # The record first: it says whose folder this is.
        record = RunRecord.of(settings, inputs, engine, previous)
        record.write(self.path / RECORD, with_preset=bool(settings.presets))
        settings.save(self.path / "config.toml")

    def _require_same(
        self, before: Mapping[str, str], settings: Settings, inputs: Mapping[str, str], extendable: tuple[str, ...]
    ) -> None:
        # A setting that came to the toolkit after the run began had its default then.
        defaults = {field.name: field.default for field in dataclasses.fields(settings)}
        watching = defaults.keys() - settings.defining().keys()
        begun = settings.up_to_date(read_toml(self.path / "config.toml"))
        recorded = {**defaults, **begun, **before}
        old = {name: value for name, value in recorded.items() if name not in watching}
        new = {**settings.defining(), **inputs}
        changed = [
            (name, old.get(name), new.get(name))
            for name in {**new, **old}
            if old.get(name) != new.get(name)
            and not (name in extendable and _is_extended(old.get(name), new.get(name)))
        ]
        if changed:
            raise UserError(
                f"{self.path} holds a run {_described(changed, list(defaults), extendable)}; repeat that command or "
                f"choose another {OUT}"
            )

    @property
    def checkpoint(self) -> Path:
        """Return the path of the resumable state."""
        return self.path / "checkpoint.pt"

    @property
    def result(self) -> dict[str, Any] | None:
        """Return the figures of a finished run, or None while it is under way."""
        return self.team.led(self._read_result)

    def _read_result(self) -> dict[str, Any] | None:
        path = self.path / "result.json"
        if not path.exists():
            return None
        result = read_json(path)
        if not isinstance(result, dict) or not isinstance(result.get("steps"), int):
            raise UserError(f"{path} is no result of a {self.kind} run; put it back, or choose another {OUT}")
        return result

    def load_checkpoint(self) -> dict[str, Any] | None:
        """Return the saved state, or None at the start; log lines past its step are dropped."""
        return self.team.led(self._read_checkpoint)

    def _read_checkpoint(self) -> dict[str, Any] | None:
        if not self.checkpoint.exists():
            self._keep_log_until(-1)
            return None
        from toolkit.files.artefacts import load_pickled  # and with it torch, which not every run needs

        state = load_pickled(self.checkpoint, "the checkpoint")
        if not isinstance(state, dict) or not isinstance(state.get("step"), int):
            raise UserError(f"{self.checkpoint} holds no state of a run; delete it to start again")
        self._keep_log_until(state["step"])
        return state

    def save_checkpoint(self, state: Mapping[str, Any]) -> None:
        """Write the resumable state, which is the same in every process; it has to hold `step`."""
        if not self.team.lead:
            return
        from toolkit.files.artefacts import save_checkpoint

        try:
            self._on_board("flush")
        finally:
            save_checkpoint(self.checkpoint, state)

    def log(self, step: int, **values: float) -> None:
        """Append one line to metrics.jsonl and the same scalars to TensorBoard.

        UserError when a figure is no finite number: the run has diverged, and going on would only waste time.
        """
        broken = [name for name, value in values.items() if not math.isfinite(value)]
        if broken:
            raise UserError(
                f"{', '.join(broken)} became NaN or infinite at step {step}: the run diverged; start anew in another "
                f"{OUT} with lower learning rates or {named('precision', 'fp32')}"
            )
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as handle:
            handle.write(json.dumps({"step": step, **values}) + "\n")
        if self._board is None:
            from torch.utils.tensorboard import SummaryWriter

            # What was logged after the checkpoint comes a second time; TensorBoard hides the first.
            purge = None if self._kept_until is None else self._kept_until + 1
            self._board = SummaryWriter(str(self.path / "tensorboard"), purge_step=purge)
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def metrics(self) -> list[dict[str, float]]:
        """Return the logged lines in order; a last line cut short by a crash is left out."""
        return logged_figures(self.path)

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write result.json, which marks the run as done."""
        self._on_board("close")
        write_json(self.path / "result.json", dict(result))
        self.close()

    def close(self) -> None:
        """Let go of the log writers, and of the folder."""
        self._on_board("close")
        self._board = None
        let_go(self.path)

    def _on_board(self, action: str) -> None:
        """Let TensorBoard's writer `flush` or `close`; UserError when its files cannot be written."""
        try:
            if self._board is not None:
                getattr(self._board, action)()
        except OSError as error:  # of the writer's own thread
            raise UserError(
                f"cannot write into {self.path}: {error.strerror or error}; make room, then repeat the command"
            ) from error

    def _keep_log_until(self, step: int) -> None:
        self._kept_until = step
        kept = [line for line in self.metrics() if line["step"] <= step]
        if (self.path / "metrics.jsonl").exists():
            write_text(self.path / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in kept))


def _described(changed: list[tuple[str, Any, Any]], settings: list[str], extendable: tuple[str, ...]) -> str:
    """Return in words how a run was begun otherwise, from (name, before, now) of what differs."""
    _, had, asked = changed[0]
    if [name for name, _, _ in changed] == ["steps"] and isinstance(had, int) and isinstance(asked, int):
        able = "only be made longer" if "steps" in extendable else "be made neither shorter nor longer"
        return f"of {had} steps, and {named('steps')} is {asked} now; it can {able}"
    return "begun otherwise: " + "; ".join(
        f"{named(name) if name in settings else name} was {had!r}, now {asked!r}" for name, had, asked in changed
    )


def _is_extended(before: Any, now: Any) -> bool:
    return isinstance(before, int) and isinstance(now, int) and before <= now


def logged_figures(folder: Path) -> list[dict[str, float]]:
    """Return the lines that the run in `folder` has logged, in order; a last line cut short by a crash is left out."""
    path = folder / "metrics.jsonl"
    text = read_text(path, "log of a run", LARGEST_JSON) if path.exists() else ""
    lines = text.splitlines()
    if lines and not lines[-1].endswith("}"):
        lines.pop()
    return [_logged(line, f"line {number} of {path}") for number, line in enumerate(lines, start=1)]


def _logged(line: str, source: str) -> dict[str, float]:
    """Return one line of a log; UserError unless it is a table of figures with the step they are of."""
    figures = parse_json(line, source)
    whole = isinstance(figures, dict) and type(figures.get("step")) is int
    if not whole or not all(isinstance(value, int | float) for value in figures.values()):
        raise UserError(f"{source} holds no figures of a step; put the log back, or choose another {OUT}")
    return figures
