"""Timing of several ways to do the same work."""

import statistics
import time
from collections.abc import Callable

Work = Callable[[], object]


def by_turns(works: dict[str, Work], rounds: int) -> dict[str, float]:
    """Return each way's median seconds; they take turns, after one round to warm up."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds + 1):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(found[1:]) for name, found in times.items()}


def seconds(work: Work, rounds: int) -> float:
    """Return the median seconds of one way, after one round to warm up."""
    return by_turns({"work": work}, rounds)["work"]
