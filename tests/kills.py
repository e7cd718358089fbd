"""Kill commands at every kind of point, repeat them, and compare with what an unbroken command leaves.

    OMP_NUM_THREADS=1 python -m tests.kills --count 200 --seed 0 --out kills.json

One process imports everything and forks a command at a time. A killed one dies of SIGKILL before its k-th operation
on a file of its folder (opened for writing, renamed, removed, made, cut or synced; audit events of the interpreter, so
that no hook is in the product), or at any time. Now and again the repeated command is killed as well.
"""

import argparse
import contextlib
import errno
import io
import itertools
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # the tests' own modules, as pytest has them
os.environ.setdefault("OMP_NUM_THREADS", "1")

from kill_cases import Case, cases, prepare

_EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_FILLING = ("open", "os.mkdir", "fsync")
_LONGEST = 300.0  # seconds of one command
_AGAIN = 0.3  # share of the kills after which the repeated command is killed too


def same(name: str) -> Callable[[bytes], Any]:
    """Return what of a file's bytes has to be the same after a kill, by its name."""
    return _COMPARED.get(name, lambda content: content)


def _timeless_record(content: bytes) -> Any:
    return {key: value for key, value in json.loads(content).items() if key not in ("started", "resumed")}


_COMPARED = {"run.json": _timeless_record}  # it says when the run was started and resumed
_OMITTED_FOLDERS = ("tensorboard",)  # a file a process, named and stamped by time; what was read from it is purged
OMITTED = {"demo": ("out/report.html",)}  # it says how many seconds each step took


def forked(work: Callable[[], int], output: Path) -> int:
    """Return the process number of a child that does `work` and ends with the status it returns."""
    child = os.fork()
    if child:
        return child
    status = 70
    try:
        with output.open("w") as handle:
            os.dup2(handle.fileno(), 1)
            os.dup2(handle.fileno(), 2)
            try:
                status = work()
            except BaseException:
                traceback.print_exc()
            sys.stdout.flush()
            sys.stderr.flush()
    finally:
        os._exit(status)


def _waited(child: int, seconds: float) -> int | None:
    """Return the child's exit status, negative for a signal, or None where it has not ended in time."""
    deadline = time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            return None
        time.sleep(0.002)


def _command(arguments: tuple[object, ...], folder: Path, watch: "_Watch") -> Callable[[], int]:
    def work() -> int:
        os.chdir(folder)
        (folder / "tmp").mkdir(exist_ok=True)
        os.environ |= {"TMPDIR": str(folder / "tmp"), "TOOLKIT_CACHE": str(folder / "cache"), "no_proxy": "127.0.0.1"}
        if (folder / "mine.toml").exists():
            os.environ["TOOLKIT_WEIGHTS"] = str(folder / "mine.toml")
        tempfile.tempdir = None
        tempfile.gettempdir()  # now: Python tries the folder with a file of its own, which a kill just then would leave
        sys.argv = ["toolkit", *map(str, arguments)]
        from cli.app import main

        watch.begin(folder)
        try:
            main()
        except SystemExit as end:
            return watch.end(end.code if isinstance(end.code, int) else 0)
        return watch.end(0)

    return work


class _Watch:
    """Counts operations on files of a folder, and kills its process before number `last`.

    With `full` the disk is full from there on instead: nothing is made or written any more, but things can be removed.
    """

    def __init__(self, last: int | None = None, full: bool = False) -> None:
        self.last, self.full, self.count = last, full, 0

    def begin(self, folder: Path) -> None:
        self.folder = f"{folder}{os.sep}"
        self.going = True
        sys.addaudithook(self._heard)
        sync = os.fsync

        def watched(handle: int) -> None:
            self._next("fsync")
            sync(handle)

        os.fsync = watched

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in _EVENTS or not isinstance(arguments[0], str | bytes | os.PathLike):
            return
        path = os.fsdecode(arguments[0])
        if os.path.isabs(path) and not path.startswith(self.folder):
            return
        if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & _WRITES):
            return
        self._next(event)

    def _next(self, event: str) -> None:
        if not self.going:
            return
        self.count += 1
        if self.full and self.last is not None and self.count >= self.last and event in _FILLING:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self.count == self.last and not self.full:
            os.kill(os.getpid(), signal.SIGKILL)

    def end(self, status: int) -> int:
        self.going = False
        Path(f"{self.folder[:-1]}.count").write_text(str(self.count))
        return status


def _placeless(path: Path, folder: Path) -> bytes:
    return path.read_bytes().replace(os.fsencode(folder), b"FOLDER")


def contents(folder: Path, omitted: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return what has to be the same, by path; folders, hidden ones too, by path and a slash.

    Where files name `folder` itself, as records of inputs do, that is no difference.
    """
    found: dict[str, Any] = {}
    for inner, folders, files in os.walk(folder):
        here = Path(inner).relative_to(folder)
        folders[:] = [name for name in folders if name not in _OMITTED_FOLDERS]
        found |= {f"{(here / name).as_posix()}/": None for name in folders}
        for name in files:
            path = (here / name).as_posix()
            found[path] = None if path in omitted else same(name)(_placeless(folder / path, folder))
    return found


@dataclass
class Tally:
    """What kills and full disks did: how many, and what went wrong, a line each.

    A full disk should cost a line, and any other end of the command counts as refused.
    """

    kills: int = 0
    full: int = 0
    different: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def compare(self, what: str, expected: dict[str, Any], found: dict[str, Any]) -> None:
        self.left += [f"{what}: {path}" for path in sorted(found.keys() - expected.keys())]
        gone = sorted(expected.keys() - found.keys())
        other = sorted(path for path in expected.keys() & found.keys() if expected[path] != found[path])
        self.different += [f"{what}: {path}" for path in [*gone, *other]]


class Campaign:
    """Kills of one case after another in folders below `root`; what they read lies in `root`/shared."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root, self.random = root, random.Random(seed)
        self.shared = root / "shared"
        self.shared.mkdir()
        self.numbers = itertools.count()
        status = _waited(forked(lambda: prepare(self.shared) or 0, root / "prepare.txt"), _LONGEST)
        assert status == 0, (root / "prepare.txt").read_text()

    def run(self, name: str, kills: int, full: int) -> Tally:
        """Return what kills of a case did, spread over its operations and its time, and disks full from one on."""
        case, tally = cases(self.shared)[name], Tally()
        whole = self._placed(case)
        started = time.monotonic()
        status, output = self._ran(case, whole, _Watch())
        assert status == 0, f"{name} does not run: {output}"
        seconds = time.monotonic() - started
        operations = int(Path(f"{whole}.count").read_text())
        expected = contents(whole, OMITTED.get(name, ()))
        for number in range(kills):  # of equal parts of the operations, none is left out
            point = self.random.randrange(number * operations // kills, (number + 1) * operations // kills + 1)
            self._kill(name, case, tally, expected, None if number % 3 == 2 else max(1, point), seconds)
        for _ in range(full):
            self._fill(name, case, tally, expected, self.random.randrange(1, operations + 1))
        shutil.rmtree(whole)
        return tally

    def _fill(self, name: str, case: Case, tally: Tally, expected: dict, point: int) -> None:
        folder = self._placed(case)
        what = f"{name}, disk full from operation {point} on"
        status, output = self._ran(case, folder, _Watch(point, full=True))
        line = (output.strip().splitlines() or [""])[-1]
        if status != 0 and not (status == 2 and line.startswith("error: ") and "Traceback" not in output):
            tally.refused.append(f"{what} ended with {status}: {line}")
        tally.full += 1
        self._repeat(what, name, case, folder, tally, expected)

    def _kill(self, name: str, case: Case, tally: Tally, expected: dict, point: int | None, seconds: float) -> None:
        folder, told = self._placed(case), []
        while not told or self.random.random() < _AGAIN:
            if told and point is not None:
                point = self.random.randrange(1, point + 1)
            told.append(self._killed(case, folder, point, seconds))
        tally.kills += sum(1 for one in told if one)
        what = f"{name} killed at {', '.join(one or 'its end' for one in told)}"
        self._repeat(what, name, case, folder, tally, expected)

    def _repeat(self, what: str, name: str, case: Case, folder: Path, tally: Tally, expected: dict) -> None:
        status, output = self._ran(case, folder, _Watch())
        if status != 0:
            tally.refused.append(f"{what}: {output.strip().splitlines()[-1] if output.strip() else status}")
        else:
            tally.compare(what, expected, contents(folder, OMITTED.get(name, ())))
        shutil.rmtree(folder)

    def _killed(self, case: Case, folder: Path, point: int | None, seconds: float) -> str | None:
        """Kill a command before its operation `point`, or at any time; return where, or None if it ended before."""
        output = Path(f"{folder}.txt")
        if point is not None:
            child = forked(_command(case.arguments, folder, _Watch(point)), output)
            return f"operation {point}" if _waited(child, _LONGEST) == -signal.SIGKILL else None
        moment = self.random.uniform(0, seconds)
        child = forked(_command(case.arguments, folder, _Watch()), output)
        if _waited(child, moment) is not None:
            return None
        os.kill(child, signal.SIGKILL)
        _waited(child, _LONGEST)
        return f"{moment:.3f} s of {seconds:.3f}"

    def _placed(self, case: Case) -> Path:
        folder = self.root / f"{next(self.numbers):04}"
        folder.mkdir()
        case.place(self.shared, folder)
        return folder

    def _ran(self, case: Case, folder: Path, watch: _Watch) -> tuple[int | None, str]:
        output = Path(f"{folder}.txt")
        status = _waited(forked(_command(case.arguments, folder, watch), output), _LONGEST)
        return status, output.read_text()


@contextlib.contextmanager
def _serving(shared: Path) -> Iterator[None]:
    """Serve the published files that the cases pull, from a process of its own."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        from mirror import Mirror, ranged

        mirror = Mirror()
        addresses = {name: mirror.serve(name, ranged((shared / name).read_bytes())) for name in ("z.bin", "anime.tar")}
        os.write(writing, json.dumps(addresses).encode())
        os.close(writing)
        signal.pause()
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as handle:
        addresses = json.load(handle)
    entries = {"z-cub": addresses["z.bin"], "anime": addresses["anime.tar"]}
    lines = [f'[{name}]\nmirrors = ["{address}"]' for name, address in entries.items()]
    (shared / "mine.toml").write_text("\n".join(lines) + "\n")
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _import_all() -> None:
    """Import here, once, what commands import as they go; nothing is run, so that no thread is there to fork."""
    import importlib
    import pkgutil

    for package in ("toolkit", "generators", "segmentation", "discovery", "cli"):
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
            importlib.import_module(f"{package}.{module.name}")
    for name in (
        "filelock",
        "torch.utils.tensorboard",
        "matplotlib.backends.backend_agg",
        "jinja2",
        "rich.table",
        "cv2",
    ):
        importlib.import_module(name)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=200, help="kills in all, shared among the cases")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", default="", help="comma-separated; all if left away")
    parser.add_argument("--full", type=int, default=0, help="full disks in all, beside the kills")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    with contextlib.redirect_stderr(io.StringIO()):
        _import_all()
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        campaign = Campaign(Path(folder).resolve(), asked.seed)
        names = asked.cases.split(",") if asked.cases else list(cases(campaign.shared))
        tallies = {}
        with _serving(campaign.shared):
            for number, name in enumerate(names):
                started = time.monotonic()
                kills, full = (
                    count * (number + 1) // len(names) - count * number // len(names)
                    for count in (asked.count, asked.full)
                )
                tallies[name] = vars(campaign.run(name, kills, full))
                told = {key: len(value) if isinstance(value, list) else value for key, value in tallies[name].items()}
                print(f"{name}: {told} in {time.monotonic() - started:.0f} s", flush=True)
                for kind in ("different", "refused", "left"):
                    for line in tallies[name][kind][:4]:
                        print(f"    {kind}: {line}", flush=True)
    if asked.out:
        asked.out.write_text(json.dumps(tallies, indent=2))


if __name__ == "__main__":
    main()
