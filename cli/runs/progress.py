"""What people see of a command while they wait (toolkit.screen), and how they stop it."""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from types import FrameType

from toolkit.command_line import as_flags
from toolkit.screen import Bar, Shown, console

__all__ = ["Bar", "StopRequest", "Terminal", "console", "ending_in_order", "ending_signals", "terminal"]
_TWICE_SECONDS = 0.5
_HANGUP = getattr(signal, "SIGHUP", None)  # which Windows does not have


def ending_signals() -> list[signal.Signals]:
    """Return the signals that ask for an end; SIGHUP, of a terminal that closes, only if nohup has it not ignored."""
    hangup = [] if _HANGUP is None or signal.getsignal(_HANGUP) is signal.SIG_IGN else [_HANGUP]
    return [signal.SIGINT, signal.SIGTERM, *hangup]


@contextlib.contextmanager
def ending_in_order() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end what is inside as Ctrl-C does, so that nothing half-written stays."""

    def end(number: int, frame: FrameType | None) -> None:
        console.quiet = console.quiet or number == _HANGUP
        raise KeyboardInterrupt

    asking = [number for number in ending_signals() if number != signal.SIGINT]
    before = {number: signal.signal(number, end) for number in asking}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class StopRequest:
    """True once Ctrl-C, SIGTERM or SIGHUP came, so that a loop can save its state between two steps and end."""

    def __init__(self) -> None:
        self.came = False
        self.since = 0.0

    def __enter__(self) -> "StopRequest":
        self.before = {number: signal.signal(number, self._note) for number in ending_signals()}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def __bool__(self) -> bool:
        return self.came

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.came:
            # A second Ctrl-C means at once; but a signal to a whole group of processes may come twice.
            if number == signal.SIGINT and time.monotonic() - self.since > _TWICE_SECONDS:
                raise KeyboardInterrupt
            return
        self.came, self.since = True, time.monotonic()
        console.quiet = console.quiet or number == _HANGUP  # its terminal is gone, and printing would fail
        console.print("stopping after this step; Ctrl-C once more to stop at once")


class Terminal(Shown):
    """Shows work on the screen: lines, bars, and a stop on Ctrl-C, SIGTERM or SIGHUP."""

    def say(self, line: str) -> None:
        """Print the line, with flags for the settings that it names."""
        console.print(as_flags(line))

    @contextlib.contextmanager
    def stops(self) -> Iterator[Callable[[], bool]]:
        """Take signals that ask for an end as a wish to stop between two steps."""
        with StopRequest() as stop:
            yield lambda: bool(stop)


terminal = Terminal()
