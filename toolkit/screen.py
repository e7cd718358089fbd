"""Work shown on the screen: a bar with rate and remaining time, and plain lines where there is no terminal."""

import contextlib
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.segment import Segment

from toolkit.errors import plain
from toolkit.untrusted.printable import printable
from toolkit.watch import SILENT, Advance, Watch


class Screen(Console):
    """A console on which nothing from a file or a file's name steers the terminal: controls are shown as escapes."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the segments of what is printed; colours are no part of their text."""
        for segment in super().render(renderable, options):
            clean = segment.text if segment.control else printable(segment.text, keep="\n")
            yield segment if clean == segment.text else Segment(clean, segment.style)


# In a file or a pipe there is no width to fit; rich would assume 80 columns and cut tables.
console = Screen(highlight=False, markup=False, soft_wrap=True, width=None if sys.stdout.isatty() else 160)
T = TypeVar("T")
_PLAIN_SECONDS = 20.0


class Bar:
    """A progress bar on a terminal; elsewhere a line every 20 seconds."""

    def __init__(self, label: str, total: int, done: int = 0, unit: str = "steps") -> None:
        self.label, self.total, self.done, self.unit = label, total, done, unit
        self.first = done
        self.started = self.spoke = time.monotonic()
        self.note = ""
        self.rich: Progress | None = None
        if console.is_terminal:
            self.rich = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=console,
            )
            self.task = self.rich.add_task(label, total=total, completed=done, rate="", note="")

    def __enter__(self) -> "Bar":
        if self.rich:
            self.rich.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self.rich:
            self.rich.stop()

    def advance(self, count: int = 1, note: str | None = None) -> None:
        """Move on by `count`; `note` stands behind the bar until the next one."""
        self.done += count
        self.note = self.note if note is None else note
        now = time.monotonic()
        rate = (self.done - self.first) / max(now - self.started, 1e-9)
        if self.rich:
            self.rich.update(self.task, completed=self.done, rate=f"{rate:.1f} {self.unit}/s", note=self.note)
        elif now - self.spoke > _PLAIN_SECONDS or self.done >= self.total:
            self.spoke = now
            left = (self.total - self.done) / max(rate, 1e-9)
            console.print(
                f"{self.label}: {self.done}/{self.total}, {rate:.1f} {self.unit}/s, {_clock(left)} left  {self.note}"
            )

    def over(self, items: Iterable[T]) -> Iterator[T]:
        """Yield the items, moving on by one after each."""
        for item in items:
            yield item
            self.advance()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"


class Shown(Watch):
    """Shows work on the screen, lines and bars; nobody asks it to stop."""

    def say(self, line: str) -> None:
        """Print the line."""
        console.print(plain(line))

    @contextlib.contextmanager
    def bar(self, label: str, total: int, done: int = 0, unit: str = "steps") -> Iterator[Advance]:
        """Show a progress bar."""
        with Bar(label, total, done, unit) as bar:
            yield bar.advance


def watch_of(progress: bool) -> Watch:
    """Return what shows work on the screen where `progress` is wanted, else what follows it without a word."""
    return Shown() if progress else SILENT
