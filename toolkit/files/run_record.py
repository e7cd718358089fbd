"""run.json: which run a folder holds, what it reads, and where and when it was made."""

import contextlib
import datetime
import platform
import shlex
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from toolkit import __version__
from toolkit.errors import OUT, UserError
from toolkit.files.writing import read_json, write_json
from toolkit.settings import Settings

RECORD = "run.json"


@dataclass(frozen=True)
class RunRecord:
    """What is known of a run besides its settings.

    `inputs` names what it reads (generator, photos ...), as text; `command` is the line that began or resumed it last;
    `started` and `resumed` are times (ISO 8601, UTC). Records of earlier versions may lack anything but the kind.
    """

    kind: str
    inputs: Mapping[str, str]
    command: str
    toolkit: str
    python: str
    torch: str
    machine: str
    engine: str
    started: str
    resumed: tuple[str, ...]
    preset: str | None = None  # written where the settings have presets at all

    @classmethod
    def of(
        cls, settings: Settings, inputs: Mapping[str, str], engine: str, before: "RunRecord | None" = None
    ) -> "RunRecord":
        """Return the record of a run that is begun now, or resumed after what `before` says."""
        computing = sys.modules.get("torch")  # there, if it is what computes
        return cls(
            settings.kind,
            dict(inputs),
            shlex.join(["toolkit", *sys.argv[1:]]),
            __version__,
            platform.python_version(),
            str(getattr(computing, "__version__", "")),
            platform.machine(),
            engine,
            _now() if before is None else before.started or _now(),
            () if before is None else (*before.resumed, _now()),
            settings.preset_name if settings.presets else None,
        )

    @classmethod
    def read(cls, path: Path, kind: str) -> "RunRecord":
        """Return the record in the file `path`; UserError unless it is of a run of this kind."""
        record = read_json(path)
        held = record.get("kind") if isinstance(record, dict) else None
        if held != kind:
            raise UserError(f"{path.parent} holds a {held} run, not {kind}; choose another {OUT}")
        inputs, resumed = record.get("inputs", {}), record.get("resumed", [])
        if not isinstance(inputs, dict) or not isinstance(resumed, list):
            raise UserError(f"{path} is no record of a run; put it back, or choose another {OUT}")
        names = ("command", "toolkit", "python", "torch", "machine", "engine", "started")
        texts = {name: str(record.get(name, "")) for name in names}
        return cls(kind=kind, inputs=inputs, resumed=tuple(resumed), preset=record.get("preset"), **texts)

    def write(self, path: Path, with_preset: bool = False) -> None:
        """Write the record into the file `path`."""
        values = asdict(self)
        preset = values.pop("preset")
        kind = values.pop("kind")
        write_json(path, {"kind": kind, **({"preset": preset} if with_preset else {}), **values})


def recorded_precision(folder: Path) -> str | None:
    """Return fp32 or bf16 as the run in `folder` began with, None where there is no run or it does not say."""
    with contextlib.suppress(UserError):
        record = read_json(folder / RECORD)
        inputs = record.get("inputs") if isinstance(record, dict) else None
        precision = inputs.get("precision") if isinstance(inputs, dict) else None
        return precision if precision in ("fp32", "bf16") else None
    return None


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
