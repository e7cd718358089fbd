"""The plan of a run: how many steps each stage takes and how long that is, made once and recorded. No torch here."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from toolkit.compute.planning import Part, planned
from toolkit.errors import OUT, UserError
from toolkit.files.writing import read_json, write_json


@dataclass(frozen=True)
class Row:
    """A part of the run and its steps."""

    part: Part
    steps: int

    @property
    def seconds(self) -> float:
        """Return how long it takes, by the rate that was measured."""
        return self.part.taking(self.steps)

    @property
    def omitted(self) -> bool:
        """Return whether there is no time for it."""
        return self.part.optional and self.steps == 0


@dataclass(frozen=True)
class Plan:
    """What was planned for so many hours; `rows` stand in the order of the stages."""

    hours: float
    rows: tuple[Row, ...]

    @classmethod
    def made(cls, parts: Sequence[Part], hours: float) -> "Plan":
        """Return the plan that fills the hours, as far as the parts' bounds allow."""
        steps = planned(parts, hours * 3600)
        return cls(hours, tuple(Row(part, steps[part.name]) for part in parts))

    def again(self, hours: float, begun: Collection[str]) -> "Plan":
        """Return the plan for other hours; parts that have `begun` keep their steps."""
        kept = {row.part.name: _kept(row.part, row.steps) for row in self.rows if row.part.name in begun}
        made = Plan.made([kept.get(row.part.name, row.part) for row in self.rows], hours)
        return replace(
            made, rows=tuple(Row(old.part, new.steps) for old, new in zip(self.rows, made.rows, strict=True))
        )

    def steps(self, name: str) -> int:
        """Return the steps of a part, 0 where it is not planned for."""
        return next((row.steps for row in self.rows if row.part.name == name), 0)

    @property
    def seconds(self) -> float:
        """Return how long all of it takes."""
        return sum(row.seconds for row in self.rows)

    def table(self) -> list[list[str]]:
        """Return rows of stage, steps and minutes, the whole last."""
        rows = [
            [row.part.name, "omitted" if row.omitted else f"{row.steps:,}" if row.steps else "-", minutes(row.seconds)]
            for row in self.rows
        ]
        return [*rows, ["together", "", minutes(self.seconds)]]

    def save(self, path: Path, record: Mapping[str, Any]) -> None:
        """Write the plan, and a `record` of what it was made for."""
        rows = [{**asdict(row.part), "steps": row.steps, "minutes": round(row.seconds / 60, 2)} for row in self.rows]
        write_json(path, {"hours": self.hours, **record, "parts": rows})

    @classmethod
    def load(cls, path: Path) -> "Plan":
        """Return the plan in a file; UserError for something else."""
        written = read_json(path)
        try:
            rows = tuple(_row(entry) for entry in written["parts"])
            hours = float(written["hours"])
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path} holds no plan; put it back, or choose another {OUT}") from error
        return cls(hours, rows)


def _kept(part: Part, steps: int) -> Part:
    fixed = part.taking(steps) - steps * part.seconds
    return replace(part, least=steps, most=steps, fixed=fixed, optional=False)


def _row(entry: Mapping[str, Any]) -> Row:
    values = {name: entry[name] for name in Part.__dataclass_fields__}
    steps = entry["steps"]
    numbers = [value for name, value in values.items() if name not in ("name", "optional")]
    if type(steps) is not int or steps < 0 or not all(type(value) in (int, float) for value in numbers):
        raise ValueError(steps)
    return Row(Part(**values), steps)


def minutes(seconds: float) -> str:
    """Return a time in minutes, with as many digits as a plan deserves."""
    return f"{seconds / 60:.0f}" if seconds >= 600 else f"{seconds / 60:.1f}"
