"""Two records of a benchmark against each other: what got slower, what got faster, by how much.

    python -m benchmarks.compare OLD.json NEW.json [--by cpu] [--allowed 0.05]

Ratios are of median seconds, above 1 where NEW is faster; behind +- stands half the distance between a way's fastest
and slowest repetition. What takes more than --allowed longer is named at the end, with exit status 1. Processor time,
the default, is what holds on a busy machine; --by wall is for GPUs.
"""

import argparse
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.errors import UserError
from toolkit.files.writing import read_json

ALLOWED = 0.05
Record = Mapping[str, Any]


@dataclass(frozen=True)
class Change:
    """One way of one row in both records: the seconds of its repetitions."""

    name: str
    old: tuple[float, ...]
    new: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """Return how many times faster the new one is, by the medians."""
        return statistics.median(self.old) / statistics.median(self.new)

    def slower(self, allowed: float) -> bool:
        """Return whether the new one takes more than `allowed` (a share) longer."""
        return 1 / self.ratio > 1 + allowed

    def __str__(self) -> str:
        return f"{self.name:<56} {_shown(self.old)}  {_shown(self.new)}  {self.ratio:5.2f}x"


def _shown(times: tuple[float, ...]) -> str:
    return f"{statistics.median(times):9.4f} +-{(max(times) - min(times)) / 2:.4f} s"


def read_record(path: Path) -> Record:
    """Return the record in a file; UserError for a file that holds none."""
    record = read_json(path)
    if not isinstance(record, dict) or not isinstance(record.get("rows"), dict):
        raise UserError(f"{path} holds no rows; give a file that a benchmark wrote by --json")
    return record


def times(record: Record, by: str) -> dict[str, tuple[float, ...]]:
    """Return the seconds (`by` cpu or wall) of every repetition, by row and way; of those that have some."""
    return dict(_times(record, by))


def _times(record: Record, by: str) -> Iterator[tuple[str, tuple[float, ...]]]:
    for row, ways in record["rows"].items():
        for way, figures in ways.items() if isinstance(ways, dict) else ():
            taken = figures.get(by) if isinstance(figures, dict) else None
            if isinstance(taken, list) and taken and all(type(one) in (int, float) and one > 0 for one in taken):
                yield f"{row}: {way}", tuple(taken)


def changes(old: Record, new: Record, by: str = "cpu") -> list[Change]:
    """Return what both records measured, in the order of the old one."""
    before, after = times(old, by), times(new, by)
    return [Change(name, before[name], after[name]) for name in before if name in after]


def differences(old: Record, new: Record) -> list[str]:
    """Return in what the circumstances differ, a line each: ratios then say less."""
    kept = ("benchmark", "machine", "torch", "threads")
    return [f"{what}: {old.get(what)} against {new.get(what)}" for what in kept if old.get(what) != new.get(what)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--by", choices=("cpu", "wall"), default="cpu", help="which seconds")
    parser.add_argument("--allowed", type=float, default=ALLOWED, help="share by which a way may take longer")
    given = parser.parse_args()
    try:
        old, new = read_record(given.old), read_record(given.new)
    except UserError as error:
        parser.error(str(error))
    found = changes(old, new, given.by)
    if not found:
        parser.error(f"{given.old} and {given.new} have no {given.by} times of the same row; give two of one benchmark")
    for line in differences(old, new):
        print(f"not alike: {line}")
    for change in found:
        print(change)
    for name in sorted(times(old, given.by).keys() ^ times(new, given.by).keys()):
        print(f"{name:<56} only in {given.old if name in times(old, given.by) else given.new}")
    slower = [change for change in found if change.slower(given.allowed)]
    for change in slower:
        print(f"slower by {1 / change.ratio - 1:.0%}: {change.name}")
    raise SystemExit(1 if slower else 0)


if __name__ == "__main__":
    main()
