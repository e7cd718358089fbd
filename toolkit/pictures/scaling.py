"""Pixels for a network without torch: photos brought to its size and range, its maps brought back, in numpy.

`toolkit.pictures.pixels` does the same to tensors, and is what these functions agree with.
"""

import functools

import numpy as np

_ROWS_AT_A_TIME = 8  # of a smaller picture, each made of many rows of the larger one


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
    tall, wide = _weights(height, size[0]), _weights(width, size[1])
    rows = np.empty((size[0], width * channels), np.float32)
    for first in range(0, size[0], _ROWS_AT_A_TIME):  # a large photo is never held as floats
        part = tall[first : first + _ROWS_AT_A_TIME]
        used = np.flatnonzero(part.any(axis=0))
        seen = slice(used[0], used[-1] + 1)
        rows[first : first + _ROWS_AT_A_TIME] = part[:, seen] @ picture[seen].reshape(-1, width * channels).astype(
            np.float32
        )
    planes = rows.reshape(size[0], width, channels).transpose(2, 0, 1)
    return planes @ wide.T


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
