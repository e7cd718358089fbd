"""Pixels for a network without torch: photos brought to its size and range, its maps brought back, in numpy.

`toolkit.pictures.pixels` does the same to tensors, and is what these functions agree with.
"""

import functools

import numpy as np

_ROWS_AT_A_TIME = 8  # of a smaller picture, each made of many rows of the larger one
# Products (M, K) @ (K, N) of so many multiplications OpenBLAS computes in the thread that asks. Larger ones it shares
# among all cores, and where those are at other work the wait for them took 6 ms a product of 0.1 ms.
_ALONE = 2**18
_MOST_PIECES = 128  # into which a product is cut for that; of very large pictures they would be too thin


def shorter_side(height: int, width: int, target: int) -> tuple[int, int]:
    """Return (height, width) with the shorter side `target` and the longer one scaled alike, rounded down."""
    if height <= width:
        return target, int(target * width / height)
    return int(target * height / width), target


def scaled_photo(photo: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return a photo uint8 (H, W, 3) as float32 (3, h, w) in [-1, 1] of `size` = (h, w)."""
    return scaled(photo, size) / np.float32(127.5) - 1


def scaled(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return (C, h, w) float32 of a picture (H, W, C): bilinear, with anti-aliasing when it shrinks.

    What torch's `interpolate(mode="bilinear", antialias=True)` gives, to rounding.
    """
    height, width, channels = picture.shape
    if (height, width) == tuple(size):
        return picture.transpose(2, 0, 1).astype(np.float32)
    rows = _along(_weights(height, size[0]), picture.reshape(height, -1))
    planes = rows.reshape(size[0], width, channels).transpose(2, 0, 1).reshape(-1, width)
    return _along(_weights(width, size[1]), planes.T).T.reshape(channels, *size)


def _along(weights: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Return weights (after, before) @ table (before, N), a few rows at a time: each is made of few of the table's."""
    product = np.empty((len(weights), table.shape[1]), np.float32)
    for first in range(0, len(weights), _ROWS_AT_A_TIME):  # a large photo is never held as floats
        part = weights[first : first + _ROWS_AT_A_TIME]
        used = np.flatnonzero(part.any(axis=0))
        seen = slice(used[0], used[-1] + 1)
        _multiply(part[:, seen], table[seen].astype(np.float32, copy=False), product[first : first + len(part)])
    return product


def _multiply(left: np.ndarray, right: np.ndarray, product: np.ndarray) -> None:
    """Fill the product of left (M, K) and right (K, N), by columns that one thread computes if that is not too many."""
    columns = max(1, _ALONE // left.size)
    if right.shape[1] > _MOST_PIECES * columns:
        columns = right.shape[1]
    for first in range(0, right.shape[1], columns):
        product[:, first : first + columns] = left @ right[:, first : first + columns]


@functools.lru_cache(64)
def _weights(before: int, after: int) -> np.ndarray:
    """Return the matrix (after, before) float32 that scales an axis, computed in float32 as torch computes it."""
    scale = np.float32(before) / np.float32(after)
    support = max(scale, np.float32(1))
    centres = scale * (np.arange(after, dtype=np.float32) + np.float32(0.5))
    first = np.maximum((centres - support + np.float32(0.5)).astype(np.int64), 0)
    last = np.minimum((centres + support + np.float32(0.5)).astype(np.int64), before)
    places = np.arange(before)
    distances = (places.astype(np.float32) - centres[:, None] + np.float32(0.5)) / support
    seen = (places >= first[:, None]) & (places < last[:, None])
    weights = np.where(seen, np.maximum(0, 1 - np.abs(distances)), 0).astype(np.float32)
    return weights / weights.sum(axis=1, keepdims=True)
