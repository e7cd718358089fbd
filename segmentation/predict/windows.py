"""Many photos at a time: taken in windows, those of one shape predicted together, files handled by threads.

Whatever computes the network, torch or another runtime: this module imports neither.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np

# Photos predicted before the first of them is handed on: as many, or as many pixels.
_WINDOW_PHOTOS = 16
_WINDOW_PIXELS = 2**22
# Of network input: small inputs gain from company, but larger batches fall out of a CPU's caches.
CPU_PIXELS = 100_000
_LONGEST_TO_SHORTEST = 8  # a longer strip is padded, or its network input would grow without bound

Key = TypeVar("Key")
Item = TypeVar("Item")
Result = TypeVar("Result")
Judged = tuple[Key, np.ndarray, np.ndarray, float | None]  # the caller's key, photo, probability and familiarity


def windows(photos: Iterable[tuple[Key, np.ndarray]]) -> Iterator[list[tuple[Key, np.ndarray]]]:
    """Yield (key, photo) in short lists, each ended by a large photo or by having enough small ones."""
    window: list[tuple[Key, np.ndarray]] = []
    pixels = 0
    for key, photo in photos:
        window.append((key, photo))
        pixels += photo.shape[0] * photo.shape[1]
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
        waiting.append((pool.submit(work, item), weigh(item)))
        load += weigh(item)
        while load > most:
            future, weight = waiting.popleft()
            load -= weight
            yield future.result()
    while waiting:
        yield waiting.popleft()[0].result()


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
