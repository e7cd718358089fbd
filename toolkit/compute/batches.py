"""How a batch is cut into parts, and how many pictures are rendered at a time."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

# Pixels of pictures that are rendered together: what a generator holds on the way is some hundred times as many
# numbers. On a CPU flowers64 (64 pixels) was fastest at 2**17 and 2**18, and 15 to 25 % slower at 2**20, where its
# features fall out of the cache; a GPU wants more at a time.
_PIXELS, _PIXELS_CPU = 2**22, 2**18


def rows_at_once(pixels: int, device: "torch.device") -> int:
    """Return how many pictures of so many pixels are rendered together on a device: the rule for all that draw."""
    return max(1, (_PIXELS_CPU if device.type == "cpu" else _PIXELS) // pixels)


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
