"""Who follows long work: libraries report what is done and say a line now and then; the command line shows both."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

T = TypeVar("T")


class Stopped(Exception):  # noqa: N818 (no error: what was asked for)
    """Work that was asked to stop has saved its state and ended; its text says where, as `at step 4`."""


class Advance(Protocol):
    """Moves a bar on by `count`; `note` stands behind it until the next one."""

    def __call__(self, count: int = 1, note: str | None = None) -> None:
        """Move on."""
        ...


class Watch:
    """Follows work without a word and never asks it to stop; a subclass shows what it is told."""

    def say(self, line: str) -> None:
        """Take one line for the user: a note, a warning, a result."""

    def bar(self, label: str, total: int, done: int = 0, unit: str = "steps") -> AbstractContextManager[Advance]:
        """Return a context for `total` units of work, `done` of them already; it gives what moves it on."""
        return contextlib.nullcontext(_nothing)

    def stops(self) -> AbstractContextManager[Callable[[], bool]]:
        """Return a context within which the user may ask for a stop; it gives what returns whether he has."""
        return contextlib.nullcontext(_never)

    def over(self, items: Sequence[T], label: str, unit: str) -> Iterator[T]:
        """Yield the items, moving a bar on after each."""
        with self.bar(label, len(items), unit=unit) as advance:
            for item in items:
                yield item
                advance()


def _nothing(count: int = 1, note: str | None = None) -> None:
    pass


def _never() -> bool:
    return False


SILENT = Watch()
