"""How a batch is cut into parts."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def even_slices(count: int, most: int | None) -> Iterator[slice]:
    """Yield slices of `count` rows in order, as few as hold at most `most` each and as even as can be.

    No part is small: batch norm cannot use a single sample. Without `most` there is one slice.
    """
    number = 1 if most is None else -(-count // most)
    for part in range(number):
        yield slice(count * part // number, count * (part + 1) // number)


def with_last(parts: Iterable[T]) -> Iterator[tuple[T, bool]]:
    """Yield each part and whether it is the last one."""
    waiting: list[T] = []
    for part in parts:
        yield from ((before, False) for before in waiting)
        waiting = [part]
    yield from ((part, True) for part in waiting)
