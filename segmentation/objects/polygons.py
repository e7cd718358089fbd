"""Outlines as COCO has them, polygons of points in pixels, as masks: to the pixel what COCO's own tools make of them.

They draw each side on a grid five times as fine, keep the places where it passes from one column of pixels to the next,
and take what lies between every second two of them, column after column from the top down, for the inside.
"""

from typing import Any

import numpy as np

from toolkit.errors import UserError

_FINER = 5
_MOST_STEPS = 2**22  # along all sides of an outline on that grid; one around all of 100 megapixels has 200,000
_LEAST = 6  # numbers of a triangle


def outline_spans(points: Any, shape: tuple[int, int], where: str) -> np.ndarray:
    """Return the spans (N, 2) of pixels inside an outline x, y, x, y ... in a picture (H, W), column by column.

    UserError, beginning with `where`, for what is no outline in such a picture.
    """
    if not isinstance(points, list) or not all(_is_number(one) for one in points):
        raise UserError(f"{where} has an outline that is no list of numbers; write it again")
    if len(points) < _LEAST or len(points) % 2:
        raise UserError(
            f"{where} has an outline of {len(points)} numbers, not of three or more points x, y; correct it"
        )
    size = np.array(shape[::-1], np.float64)
    places = np.array(points, np.float64).reshape(-1, 2)
    if not (np.abs(places - size / 2) <= 1.5 * size + 1).all():
        raise UserError(f"{where} has an outline far outside its image of {shape[1]} x {shape[0]} pixels; correct it")
    corners = (_FINER * places + 0.5).astype(np.int64)
    steps = np.abs(corners - np.roll(corners, -1, axis=0)).max(axis=1)
    if steps.sum() > _MOST_STEPS:
        raise UserError(f"{where} has an outline of {steps.sum() // _FINER} pixels, far too long to be one; correct it")
    bounds, times = np.unique(_crossings(*_drawn(corners, steps), shape), return_counts=True)
    bounds = bounds[times % 2 == 1]
    bounds = bounds if len(bounds) % 2 == 0 else np.append(bounds, shape[0] * shape[1])
    return bounds.reshape(-1, 2)


def _is_number(value: Any) -> bool:
    return type(value) is float or (type(value) is int and abs(value) < 2**63)  # larger ones become no float


def _drawn(corners: np.ndarray, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return x and y of all points of the grid along the sides from corner (N, 2) to corner, in order."""
    starts, ends = corners, np.roll(corners, -1, axis=0)
    flat = np.abs(ends - starts).argmax(axis=1)  # the axis along which a side has its steps; x where both are alike
    rows = np.arange(len(corners))
    back = starts[rows, flat] > ends[rows, flat]  # COCO draws sides from their lower end on, which rounds otherwise
    low = np.where(back[:, None], ends, starts)
    rise = np.where(back[:, None], starts, ends) - low
    slopes = rise[rows, 1 - flat] / np.maximum(steps, 1)
    side = np.repeat(rows, steps + 1)
    place = np.arange(len(side)) - np.repeat(np.cumsum(steps + 1) - steps - 1, steps + 1)
    place = np.where(back[side], steps[side] - place, place)
    along = low[rows, flat][side] + place
    across = (low[rows, 1 - flat][side] + slopes[side] * place + 0.5).astype(np.int64)
    is_x = flat[side] == 0
    return np.where(is_x, along, across), np.where(is_x, across, along)


def _crossings(x: np.ndarray, y: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return the pixels, counted column by column, at which the inside begins or ends, for points of the grid."""
    height, width = shape
    column = (np.where(x[1:] < x[:-1], x[1:], x[1:] - 1) + 0.5) / _FINER - 0.5
    kept = (x[1:] != x[:-1]) & (np.floor(column) == column) & (column >= 0) & (column <= width - 1)
    row = (np.minimum(y[1:], y[:-1])[kept] + 0.5) / _FINER - 0.5
    return column[kept].astype(np.int64) * height + np.ceil(row.clip(0, height)).astype(np.int64)
