"""Many photos at a time: taken in windows, those of one shape predicted together, files handled by threads.

Whatever computes the network, torch or another runtime: this module imports neither.
"""

import contextlib
import math
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

from segmentation.predict.dense_crf import dense_crf
from toolkit.pictures.any_photo import Photo, as_photo

# Photos predicted before the first of them is handed on: as many, or as many pixels.
_WINDOW_PHOTOS = 16
_WINDOW_PIXELS = 2**22
_READ_AHEAD = 4
_MOST_PIXELS = 2**24  # of photos read and still needed, from which on the next one waits; one may have more itself
# Of network input: small inputs gain from company, but larger batches fall out of a CPU's caches.
CPU_PIXELS = 100_000
_LONGEST_TO_SHORTEST = 8  # a longer strip is padded, or its network input would grow without bound

Key = TypeVar("Key")
Item = TypeVar("Item")
Result = TypeVar("Result")
Read = TypeVar("Read", bound=tuple[Any, Any])
Judged = tuple[Key, np.ndarray, np.ndarray, float | None]  # the caller's key, photo, probability and familiarity


def windows(photos: Iterable[tuple[Key, np.ndarray]]) -> Iterator[list[tuple[Key, np.ndarray]]]:
    """Yield (key, photo) in short lists, each ended by a large photo or by having enough small ones.

    Whoever empties a list is the last to hold its photos, as is whoever gets a result of `in_threads`: a large one is
    gone by the time that the next one is read.
    """
    window: list[tuple[Key, np.ndarray]] = []
    pixels = 0
    for found in photos:
        window.append(found)
        pixels += found[1].shape[0] * found[1].shape[1]
        del found
        if pixels >= _WINDOW_PIXELS or len(window) == _WINDOW_PHOTOS:
            yield window
            window, pixels = [], 0
    if window:
        yield window


def in_threads(
    pool: ThreadPoolExecutor,
    work: Callable[[Item], Result],
    items: Iterable[Item],
    most: int,
    weigh: Callable[[Item], int] = lambda item: 1,
) -> Iterator[Result]:
    """Yield work(item) in the items' order, computed by the pool ahead of need: at most `most` in weight at a time."""
    waiting: deque[tuple[Future[Result], int]] = deque()
    load = 0
    for item in items:
        waiting.append((pool.submit(_unboxed, work, [item]), weigh(item)))
        del item
        load += waiting[-1][1]
        while load > most:
            load -= waiting[0][1]
            yield waiting.popleft()[0].result()
    while waiting:
        yield waiting.popleft()[0].result()


def _unboxed(work: Callable[[Item], Result], box: list[Item]) -> Result:
    """Return work(item), the only one to hold the item then; a pool holds what it was given until the work is done."""
    return work(box.pop())


def as_photos(photos: Iterable[tuple[Key, Photo]]) -> Iterator[tuple[Key, np.ndarray]]:
    """Yield keys and photos uint8 (H, W, 3) of those in any form."""
    for found in photos:
        yield found[0], as_photo(found[1])
        del found


def settled(
    window: list[tuple[Key, np.ndarray]], soft_maps: list[np.ndarray], refine: bool
) -> Iterator[tuple[Key, np.ndarray, np.ndarray]]:
    """Yield the keys and photos (H, W, 3) of a window, which is emptied, with their probabilities (H, W).

    `soft_maps` (H', W') are those of photos `without_strips`, and are emptied too. With `refine` they follow the
    photos' edges.
    """
    while window:
        key, photo = window.pop(0)
        height, width = photo.shape[:2]
        if refine:
            yield key, photo, dense_crf(photo, soft_maps.pop(0)[:height, :width])
        else:
            yield key, photo, soft_maps.pop(0)[:height, :width]
        del photo


class _Room:
    """How many pixels photos in memory may have: the next one is read when those held are fewer than so many."""

    def __init__(self, most: int) -> None:
        self._most, self._held, self._open = most, 0, False
        self._changed = threading.Condition()

    def wait(self) -> None:
        """Wait until there is room."""
        with self._changed:
            self._changed.wait_for(lambda: self._open or self._held < self._most)

    def take(self, pixels: int) -> None:
        """Count pixels that are held now, or with a negative number those that are not any more."""
        with self._changed:
            self._held += pixels
            self._changed.notify_all()

    def leave_open(self) -> None:
        """Let nobody wait any more."""
        with self._changed:
            self._open = True
            self._changed.notify_all()


Shape = tuple[int, ...]


@contextlib.contextmanager
def reading_ahead(
    items: Iterable[Item], read: Callable[[Item], Read]
) -> Iterator[tuple[Iterator[Read], Callable[[Shape], None]]]:
    """Yield what `read` makes of items, (key, photo (H, W, ...)), in order, read by a thread ahead of need; and `done`.

    It is to be called with the shape of each photo that nobody needs any more: where many pixels are held, the next
    photo is read then. What is no photo counts for nothing.
    """
    # One thread: several would race for the warning filters that reading a photo sets.
    room, pool = _Room(_MOST_PIXELS), ThreadPoolExecutor(1)

    def taken(item: Item) -> Read:
        room.wait()
        found = read(item)
        room.take(math.prod(found[1].shape[:2]) if isinstance(found[1], np.ndarray) else 0)
        return found

    try:
        yield in_threads(pool, taken, items, _READ_AHEAD), lambda shape: room.take(-math.prod(shape[:2]))
    finally:
        room.leave_open()
        pool.shutdown(cancel_futures=True)


def alike(shapes: Sequence[tuple[int, int]], pixels: int) -> list[list[int]]:
    """Return the indices of equal shapes in lists of at most so many pixels, or of one."""
    same: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, shape in enumerate(shapes):
        same[shape].append(index)
    groups = []
    for (height, width), members in same.items():
        most = max(1, pixels // (height * width))
        groups += [members[first : first + most] for first in range(0, len(members), most)]
    return groups


def without_strips(photo: np.ndarray) -> np.ndarray:
    """Return the photo with its shorter side padded, repeating the edge, to an eighth of the longer one."""
    height, width = photo.shape[:2]
    least = -(-max(height, width) // _LONGEST_TO_SHORTEST)
    tall, wide = max(0, least - height), max(0, least - width)
    return np.pad(photo, [(0, tall), (0, wide), (0, 0)], mode="edge") if tall or wide else photo
