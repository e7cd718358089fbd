"""Several processes of one command: started here on one machine, or by torchrun on one or several."""

import atexit
import contextlib
import math
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from cli.runs.progress import console, ending_signals
from cli.runs.sharing import Processes, starts_others
from toolkit.command_line import as_flags
from toolkit.compute.ranks import world_size
from toolkit.errors import TeamError, UserError
from toolkit.files.workplace import temporary_folder

if TYPE_CHECKING:
    from toolkit.compute.engine import Engine

ProcessesOption = Annotated[
    int,
    typer.Option(
        help="Processes on this machine that share the work, one a GPU; N@restarts=2 starts them again where one dies; "
        "N@machine=1/2@meet=HOST:PORT, the same command on each machine, for several (docs/scale.md).",
        parser=Processes.parse,
        metavar="N",
    ),
]
_START = "from cli.app import main; main()"
_FOLDER = "TOOLKIT_TEAM_FOLDER"  # where processes started here leave what went wrong
_POLL_SECONDS = 0.05
_ALIKE_SECONDS, _CAUSE_SECONDS = 1.0, 2.0
_STOPPED = 130
_LOST_CONTACT = 75  # exit status of a process that ends because another has


def engine_of(device: str, precision: str, processes: int = 1, run: Path | None = None) -> "Engine":
    """Return the engine of this process: alone, or one of the team that --processes or torchrun started.

    With `processes` above 1 and no team yet, the command is started that many times, and this process ends as they do.
    A `run` that is resumed keeps its precision, unless another is asked for.
    """
    asked = processes if isinstance(processes, Processes) else Processes(processes)
    if starts_others(asked):
        raise typer.Exit(_Launch(asked).outcome())
    if asked.total not in (1, size := world_size()):
        raise UserError(f"--processes asks for {asked.total}, but torchrun started {size}; omit the flag")
    if _FOLDER in os.environ:
        _end_with_parent()
    from toolkit.compute.engine import choose_engine

    engine = choose_engine(device, precision, run)
    if not engine.team.lead:
        console.quiet = True
    return engine


def require_one_process() -> None:
    """Raise UserError in a process of several: what a command does once cannot be shared."""
    if world_size() > 1:
        raise UserError("this command runs in one process; start it without torchrun")


def prints() -> bool:
    """Return whether this process is alone or leads; before anything is said of an environment that makes no sense."""
    return os.environ.get("RANK", "0") == "0"


def failed(error: UserError) -> int:
    """Tell the user of an error and return the exit status; of several processes one alone is heard."""
    message = f"error: {as_flags(error.marked)}"
    if _FOLDER in os.environ:  # the process that started this one prints one of the errors, if all fail alike
        with contextlib.suppress(OSError):  # it may be gone, and its folder with it
            Path(os.environ[_FOLDER], os.environ["RANK"]).write_text(message, encoding="utf-8")
    elif prints() or not isinstance(error, TeamError):
        typer.echo(message, err=True)
    return _LOST_CONTACT if isinstance(error, TeamError) and _FOLDER in os.environ else 2


@contextlib.contextmanager
def ending_at_once() -> Iterator[None]:
    """End a process of a team without Python's own clearing up, as soon as what is inside has come to its end.

    Threads of the exchange may still let go of Python's objects then, which now and again aborts a finished process.
    """
    several = "WORLD_SIZE" in os.environ
    try:
        yield
    except SystemExit as end:
        if not several:
            raise
        _end(_status(end))
    except BaseException:
        if not several:
            raise
        traceback.print_exc()
        _end(1)
    if several:
        _end(0)


@contextlib.contextmanager
def leaving_quickly() -> Iterator[None]:
    """End a process whose work came to its end without Python's own clearing up, after what is registered for its exit.

    Python looks through all that torch holds for garbage again and again, for half a second.
    """
    statuses: list[int] = []
    atexit.register(_leave, statuses)  # before all others, and so called after them
    try:
        yield
    except SystemExit as end:
        statuses.append(_status(end))
        raise


def _leave(statuses: list[int]) -> None:
    if statuses:
        with contextlib.suppress(OSError):  # of a reader that is gone: Python reports it
            _end(statuses[-1])


def _status(end: SystemExit) -> int:
    return end.code if isinstance(end.code, int) else 0 if end.code is None else 1


def leave_to_the_main_thread(failure: threading.ExceptHookArgs) -> None:
    """Print what ended a thread, unless the main thread says so in a line: TensorBoard's does so of a full disk."""
    of_logs = type(failure.thread).__module__.startswith("tensorboard.")
    if not (of_logs and issubclass(failure.exc_type, OSError)):
        threading.__excepthook__(failure)


def _end(status: int) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


class _Launch:
    """This command line, run by several processes that meet in a folder of their own, or at a port of a machine.

    torch's elastic launcher would do this too, but takes 3 s of processor time and 500 MB before it starts anything,
    starts again what a user has to put right, and leaves its processes behind when it is killed itself.
    """

    def __init__(self, asked: Processes) -> None:
        self.asked = asked
        self.processes: list[subprocess.Popen] = []
        self.asked_to_end = False
        self.starts = 0

    def outcome(self) -> int:
        """Run them to the end and return the exit status: 0, or that of the first that failed, after ending all.

        They are started again, as often as asked for, unless what one died of has to be put right or ended them all.
        """
        with self._signals():
            while True:
                status, reason = self._once()
                if reason is None or self.asked_to_end:
                    return status
                if self.starts > self.asked.restarts:
                    typer.echo(f"error: {reason}; rerun the command to resume from the last checkpoint", err=True)
                    return status
                again = f"{self.starts} of {self.asked.restarts}"
                typer.echo(f"note: {reason}; starting again from the last checkpoint ({again})", err=True)

    def _once(self) -> tuple[int, str | None]:
        """Return the exit status, and what went wrong where another start may do better."""
        self.starts += 1
        self.processes = []
        with temporary_folder() as folder:
            try:
                for number in range(self.asked):
                    self.processes.append(self._started(number, folder))
                return self._watch(folder)
            finally:
                for process in self.processes:
                    process.kill()  # files are written whole or not at all, so nothing is lost
                    process.wait()

    def _started(self, number: int, folder: Path) -> subprocess.Popen:
        asked = self.asked
        environment = {
            "OMP_NUM_THREADS": str(max(1, _cores() // asked)),
            **os.environ,
            "RANK": str(asked.machine * asked + number),
            "LOCAL_RANK": str(number),
            "WORLD_SIZE": str(asked.total),
            "TOOLKIT_RENDEZVOUS": self._meeting(folder),
            _FOLDER: str(folder),
        }
        # A session of their own: Ctrl-C reaches this process alone, which passes it on once. -P: the folder one works
        # in may hold a package of the name of one of ours.
        return subprocess.Popen(
            [sys.executable, "-P", "-c", _START, *sys.argv[1:]],
            env=environment,
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def _meeting(self, folder: Path) -> str:
        """Return where processes meet, another place at each start: the one before may be let go of late."""
        if self.asked.meet is None:
            return (folder / "rendezvous").as_uri()
        host, port = self.asked.meet
        return f"tcp://{host}:{port + self.starts - 1}"

    def _watch(self, folder: Path) -> tuple[int, str | None]:
        """Return the exit status, and what went wrong where another start may do better.

        That is once all have ended well, or one has not and said why or had time to.
        """
        failing_since = math.inf
        while True:
            statuses = [process.poll() for process in self.processes]
            wrong = {rank: status for rank, status in enumerate(statuses) if status not in (None, 0, _STOPPED)}
            causes = {rank: status for rank, status in wrong.items() if status != _LOST_CONTACT}
            if wrong:
                failing_since = min(failing_since, time.monotonic())
            # Equal errors come one by one, and those who lost contact because of another may be seen before it.
            patience = _ALIKE_SECONDS if causes else _CAUSE_SECONDS
            if wrong and (None not in statuses or time.monotonic() - failing_since > patience):
                return self._reported(causes or wrong, folder)
            if None not in statuses:
                return max(status for status in statuses if status is not None), None
            time.sleep(_POLL_SECONDS)

    def _reported(self, wrong: dict[int, int], folder: Path) -> tuple[int, str | None]:
        """Say what the first of the processes that ended `wrong`, {number: status}, died of, as `_watch` returns it."""
        if self.asked_to_end:
            return _STOPPED, None
        number, status = min(wrong.items())
        rank = self.asked.machine * self.asked + number
        said = folder / str(rank)
        lost = status == _LOST_CONTACT and self.starts <= self.asked.restarts  # whoever died first says why
        if said.exists() and not lost:
            typer.echo(said.read_text(encoding="utf-8"), err=True)
            return 2, None
        if status < 0 or lost:
            by = "lost contact with the others" if lost else f"was ended by {signal.Signals(-status).name}"
            return 2, f"process {rank + 1} of {self.asked.total} {by}, so all were"
        return (
            status,
            f"process {rank + 1} of {self.asked.total} failed, so all were ended" if self.asked.restarts else None,
        )

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        def pass_on(number: int, frame: FrameType | None) -> None:
            self.asked_to_end = True
            for process in self.processes:
                process.send_signal(number)

        before = {number: signal.signal(number, pass_on) for number in ending_signals()}
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
