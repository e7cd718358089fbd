"""Damaged files for every reader: how many were read, refused in one line, or ended in a fault.

Run from the repository's root as `python -m tests.fuzzing --count 3000 --seed 0`; with --reader and --number one again.
"""

import argparse
import json
import subprocess
import sys
import threading
from collections import Counter, defaultdict
from pathlib import Path

_TESTS = Path(__file__).resolve().parent.parent
_SECONDS = 60.0
_SECONDS_TO_START = 300.0  # on a busy machine
_START = f"import sys; sys.path.insert(0, {str(_TESTS)!r}); from fuzzing.worker import main; main()"


def run(count: int, seed: int, readers: list[str], first: int = 0) -> tuple[dict[str, Counter], list[dict]]:
    """Return how often each reader ended how, and every fault: a traceback, over 60 s, over 2 GB, a dead process."""
    counts: dict[str, Counter] = defaultdict(Counter)
    faults: list[dict] = []
    while first < count:
        under_way: dict = {}
        for line in _lines(seed, first, count, readers):
            if "how" not in line:
                under_way = line
                continue
            under_way, first = {}, line["number"] + 1
            slow, large = line["seconds"] > _SECONDS, line["bytes"] > 2e9
            counts[line["reader"]]["fault" if slow or large else line["how"]] += 1
            if line["how"] == "fault" or slow or large:
                faults.append(line)
        if not under_way and first < count:
            raise RuntimeError(f"the worker ended at number {first} of {count}, and not in a reader")
        if not under_way:
            break
        faults.append(
            {**under_way, "how": "fault", "why": f"the process died, or was at it for more than {_SECONDS} s"}
        )
        counts[under_way["reader"]]["fault"] += 1
        first = under_way["number"] + 1
    return counts, faults


def _lines(seed: int, first: int, count: int, readers: list[str]):
    """Yield what a new worker says, until it has done or died; one that is silent for too long is killed."""
    command = [sys.executable, "-c", _START, str(seed), str(first), str(count), *readers]
    with subprocess.Popen(
        command, cwd=_TESTS.parent, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as worker:
        assert worker.stdout is not None
        patience = _SECONDS_TO_START
        while True:
            watch = threading.Timer(patience, worker.kill)
            watch.start()
            line = worker.stdout.readline()
            watch.cancel()
            if not line:
                return
            yield json.loads(line)
            patience = _SECONDS + 30


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reader", action="append", default=[], help="only these")
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    asked = parser.parse_args()
    counts, faults = run(asked.count, asked.seed, asked.reader, asked.first)
    for reader, ends in counts.items():
        print(f"{reader:32} " + "  ".join(f"{how} {ends[how]:4}" for how in ("read", "refused", "fault")))
    for fault in faults:
        print(f"\n{fault['reader']}, seed {asked.seed}, number {fault['number']}:\n{fault['why'][-3000:]}")
    print(f"\n{sum(sum(ends.values()) for ends in counts.values())} files, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
