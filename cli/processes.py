"""Several processes of one command: started here on one machine, or by torchrun on one or several."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from cli.progress import console
from toolkit.errors import UserError

if TYPE_CHECKING:
    from toolkit.engine import Engine

ProcessesOption = Annotated[
    int,
    typer.Option(
        help="Processes on this machine that share the work, one a GPU or CPUs' cores; on several machines use "
        "torchrun (README).",
        min=1,
    ),
]
_START = "from cli.app import main; main()"
_LAUNCHED = "TOOLKIT_LAUNCHED"
_POLL_SECONDS = 0.05
_LEAD_SECONDS = 1.0
_STOPPED = 130


def engine_of(device: str, precision: str, processes: int = 1) -> "Engine":
    """Return the engine of this process: alone, or one of the team that --processes or torchrun started.

    With `processes` above 1 and no team yet, the command is started that many times, and this process ends as they do.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if processes > 1 and size == 1:
        raise typer.Exit(_Launch(processes).outcome())
    if processes not in (1, size):
        raise UserError(f"--processes is {processes}, but torchrun started {size}; leave the flag away")
    from toolkit.engine import choose_engine

    engine = choose_engine(device, precision)
    if not engine.team.lead:
        console.quiet = True
    if os.environ.get(_LAUNCHED) is not None:
        _end_with_parent()
    return engine


def require_one_process() -> None:
    """Raise UserError in a process of several: what a command does once cannot be shared."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError("this command runs in one process; start it without torchrun")


def tell(message: str, *, of_team: bool = False) -> None:
    """Print `message` to standard error, once for all processes; `of_team`: that another of them is gone.

    What the leading process says as well, and then ends them all, the others never come to say.
    """
    if of_team and _LAUNCHED in os.environ:
        return
    if os.environ.get("RANK", "0") != "0":
        time.sleep(_LEAD_SECONDS)
    typer.echo(message, err=True)


class _Launch:
    """This command line, run by `size` processes that meet in a folder of their own."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.processes: list[subprocess.Popen] = []
        self.asked_to_end = False

    def outcome(self) -> int:
        """Run them to the end and return the exit status: 0, or that of the first that failed, after ending all."""
        with tempfile.TemporaryDirectory(prefix="toolkit-") as folder, self._signals():
            self.processes = [self._started(rank, Path(folder)) for rank in range(self.size)]
            try:
                return self._watch()
            finally:
                for process in self.processes:
                    process.kill()  # files are written whole or not at all, so nothing is lost
                    process.wait()

    def _started(self, rank: int, folder: Path) -> subprocess.Popen:
        environment = {
            "OMP_NUM_THREADS": str(max(1, _cores() // self.size)),
            **os.environ,
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(self.size),
            "TOOLKIT_RENDEZVOUS": f"file://{folder / 'rendezvous'}",
            _LAUNCHED: str(os.getpid()),
        }
        # A session of their own: Ctrl-C reaches this process alone, which passes it on once. -P: the folder one works
        # in may hold a package of the name of one of ours.
        return subprocess.Popen(
            [sys.executable, "-P", "-c", _START, *sys.argv[1:]],
            env=environment,
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def _watch(self) -> int:
        while True:
            statuses = [process.poll() for process in self.processes]
            for rank, status in enumerate(statuses):
                if status not in (None, 0, _STOPPED):
                    return self._failed(rank, status)
            if None not in statuses:
                return max(status for status in statuses if status is not None)
            time.sleep(_POLL_SECONDS)

    def _failed(self, rank: int, status: int) -> int:
        """Return the exit status after one process ended with `status`; if by a signal, say so."""
        # One that lost contact because of it may have been seen first.
        time.sleep(_POLL_SECONDS)
        for other, process in enumerate(self.processes):
            found = process.poll()
            if found is not None and found < 0:
                rank, status = other, found
        if status > 0 or self.asked_to_end:
            return status if status > 0 else 128 - status
        name = signal.Signals(-status).name
        typer.echo(
            f"error: process {rank + 1} of {self.size} was ended by {name}, so all were; "
            "the same command goes on from the last checkpoint",
            err=True,
        )
        return 2

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        def pass_on(number: int, frame: FrameType | None) -> None:
            self.asked_to_end = True
            for process in self.processes:
                process.send_signal(number)

        before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _end_with_parent() -> None:
    """End this process when the one that started it is gone, even if that was killed."""

    def wait() -> None:
        os.read(0, 1)  # not sys.stdin, whose lock would outlive the main thread
        os._exit(2)

    threading.Thread(target=wait, daemon=True).start()
