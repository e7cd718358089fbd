"""Runs that have not come to their end, called by what they are where something wants their result."""

import re
from pathlib import Path
from typing import Any

from toolkit.errors import UserError
from toolkit.files.locks import is_busy
from toolkit.files.writing import read_json
from toolkit.settings import read_toml


def require_finished(path: Path) -> None:
    """Raise UserError when there is no file `path` because the run whose folder it belongs to has not ended."""
    folder = Path(path).parent
    if Path(path).exists() or (folder / "result.json").exists() or not (folder / "run.json").is_file():
        return
    record = read_json(folder / "run.json")
    kind = record.get("kind") if isinstance(record, dict) else None
    what = f"{kind} run" if isinstance(kind, str) and re.fullmatch("[a-z -]{1,40}", kind) else "run"
    if is_busy(folder):
        raise UserError(f"{folder} holds a {what} that is under way{_at_step(folder)}; wait for its end")
    raise UserError(
        f"{folder} holds an unfinished {what}, stopped{_at_step(folder) or ' early'}; repeat the command, which "
        f"{folder / 'run.json'} has written down"
    )


def _at_step(folder: Path) -> str:
    """Return " at step 3 of 10" as far as checkpoint and settings say so."""
    step, steps = _of_checkpoint(folder / "checkpoint.pt"), _of_settings(folder / "config.toml")
    if step is None:
        return ""
    return f" at step {step}" + (f" of {steps}" if steps is not None else "")


def _of_checkpoint(path: Path) -> int | None:
    from toolkit.files.artefacts import load_pickled

    try:
        state: Any = load_pickled(path, "the checkpoint")
    except UserError:
        return None
    step = state.get("step") if isinstance(state, dict) else None
    return step if isinstance(step, int) else None


def _of_settings(path: Path) -> int | None:
    try:
        steps = read_toml(path).get("steps")
    except UserError:
        return None
    return steps if isinstance(steps, int) else None
