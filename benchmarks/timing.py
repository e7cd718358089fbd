"""Timing of several ways to do the same work."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Work = Callable[[], object]


@dataclass(frozen=True)
class Times:
    """Seconds of every round: by the clock, and of the processor, all of this process's threads together."""

    wall: tuple[float, ...]
    cpu: tuple[float, ...]

    @property
    def seconds(self) -> float:
        """Return the median by the clock."""
        return statistics.median(self.wall)

    @property
    def work(self) -> float:
        """Return the median of the processor time, which other programs on the machine hardly change."""
        return statistics.median(self.cpu)

    def each(self, count: int) -> "Times":
        """Return the seconds of one of `count` pieces of the work."""
        return Times(tuple(value / count for value in self.wall), tuple(value / count for value in self.cpu))


def figures(rows: Mapping[str, Mapping[str, Times]]) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the rows of a record (see benchmarks.record)."""
    return {row: {way: dict(vars(times)) for way, times in ways.items()} for row, ways in rows.items()}


def in_a_line(ways: Mapping[str, Times]) -> str:
    """Return each way's milliseconds of processor time, and its ratio to the plain one's."""
    plain = ways["plain"].work
    return "   ".join(f"{way} {1000 * t.work:6.2f} ms ({plain / t.work:4.1f}x)" for way, t in ways.items())


def clocked(work: Work) -> tuple[float, float]:
    """Do the work; return its seconds by the clock and of the processor."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def by_turns(works: dict[str, Work], rounds: int) -> dict[str, Times]:
    """Return each way's times; they take turns, after one round to warm up."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
    for _ in range(rounds + 1):
        for name, work in works.items():
            found[name].append(clocked(work))
    return {name: Times(*zip(*times[1:], strict=True)) for name, times in found.items()}


def seconds(work: Work, rounds: int) -> float:
    """Return the median seconds of one way, after one round to warm up."""
    return by_turns({"work": work}, rounds)["work"].seconds
