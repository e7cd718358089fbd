"""Soft maps that follow a photo's edges: a fully connected conditional random field, by mean field.

Each pixel listens to all others, the more the closer they are and the more alike in colour (Krähenbühl and Koltun,
NIPS 2011). Their Gaussian filter is done here on the cells of a grid over position and colour that hold a pixel at all,
a few thousand of them; two grids, shifted by half a cell against each other, hide the cells' borders.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

WORKING_SIDE = 384  # pixels, the most of the shorter side: finer edges than a network of 64 or 128 pixels can place
_NEAR = 0.16  # side of a cell as a share of the photo's shorter side
_ALIKE = 16  # side of a cell in levels of red, green and blue
_WEIGHT = 4.0  # of the others' opinion, in units of the network's logit
_ROUNDS = 5
_GAP = 2.0  # times the wanted size to which Pillow reduces by whole pixels first
_STRIP_PIXELS = 2**18  # worked on at a time
_SUREST = 0.01  # a network is never surer than this, or its errors could not be mended


@dataclass(frozen=True)
class _Cells:
    """The occupied cells of a grid: which cell each pixel is in, and each cell's neighbours along five axes."""

    of_pixel: np.ndarray
    before: list[np.ndarray]
    after: list[np.ndarray]
    count: int

    @classmethod
    def of(cls, photo: np.ndarray, shift: float) -> "_Cells":
        """Return the cells of a photo (H, W, 3), moved by `shift` cells along each axis."""
        height, width = photo.shape[:2]
        side = _NEAR * min(height, width)
        axes = [np.arange(height)[:, None] / side, np.arange(width)[None] / side]
        axes += [photo[..., channel] / np.float32(_ALIKE) for channel in range(3)]
        places = [np.rint(axis + shift).astype(np.int64) + 1 for axis in axes]
        sizes = [int(place.max()) + 2 for place in places]
        strides = np.cumprod([1, *sizes[:0:-1]])[::-1]
        keys = sum(place * int(stride) for place, stride in zip(places, strides, strict=True))
        known, of_pixel = np.unique(np.asarray(keys).ravel(), return_inverse=True)
        before, after = ([_found(known, known + sign * int(step)) for step in strides] for sign in (-1, 1))
        return cls(of_pixel, before, after, len(known))

    def gathered(self, values: np.ndarray) -> np.ndarray:
        """Return, for each pixel, the sum of values (H * W,) over its surroundings in position and colour."""
        sums = np.bincount(self.of_pixel, values, self.count)
        for before, after in zip(self.before, self.after, strict=True):
            padded = np.append(sums, 0)
            sums = 0.5 * sums + 0.25 * (padded[before] + padded[after])
        return sums[self.of_pixel]


def _found(known: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return where each wanted key is among the known ones, in order; their number where it is not."""
    places = np.searchsorted(known, wanted)
    there = known[np.minimum(places, len(known) - 1)] == wanted
    return np.where(there, places, len(known))


def dense_crf(photo: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Return a foreground probability (H, W) float32 in [0, 1] whose edges are those of a photo uint8 (H, W, 3).

    `probability` (H, W) in [0, 1] is the network's. Of larger photos a copy with a shorter side of 384 is worked on.
    """
    height, width = probability.shape
    scale = min(1.0, WORKING_SIDE / min(height, width))
    if scale == 1:
        return _settled(photo, probability)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    soft = _shrunk(probability, size)
    del probability  # where nobody else holds it
    return _enlarged(_settled(_boxed(photo, size), soft), (height, width))


def _boxed(photo: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return what Pillow's `resize(size, BOX, reducing_gap=2.0)` makes of a photo (H, W, 3), by strips."""
    width, height = photo.shape[1], photo.shape[0]
    across, down = (int(before / after / _GAP) or 1 for before, after in zip((width, height), size, strict=True))
    rows = max(1, _STRIP_PIXELS // width // down) * down
    strips = [Image.fromarray(photo[top : top + rows]).reduce((across, down)) for top in range(0, height, rows)]
    reduced = Image.fromarray(np.concatenate([np.asarray(strip) for strip in strips]))
    return np.asarray(reduced.resize(size, Image.Resampling.BOX, box=(0, 0, width / across, height / down)))


def _shrunk(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return what Pillow's `resize(size, BILINEAR)` makes of values (H, W), first along the rows, by strips."""
    rows = max(1, _STRIP_PIXELS // values.shape[1])
    parts = (np.asarray(values[top : top + rows], np.float32) for top in range(0, len(values), rows))
    narrow = np.concatenate([_resized(part, (size[0], len(part))) for part in parts])
    return _resized(narrow, size)


def _resized(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(Image.fromarray(values).resize(size, Image.Resampling.BILINEAR))


def _enlarged(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return what Pillow's `resize(BILINEAR)` makes of values (h, w) at a larger shape (H, W), within [0, 1].

    Along the rows it is done by Pillow, along the columns here, as Pillow does it: with weights and sums in float64.
    """
    wide = _resized(values, (shape[1], len(values))).clip(0, 1)
    centres = (np.arange(shape[0]) + 0.5) * (len(values) / shape[0])
    above = np.maximum((centres - 0.5).astype(int), 0)
    below = np.minimum((centres + 1.5).astype(int), len(values)) - 1
    weights = np.stack([1 - np.abs(place - centres + 0.5) for place in (above, below)])
    weights[1, above == below] = 0
    weights /= weights[0] + weights[1]
    found = np.empty(shape, np.float32)
    rows = max(1, _STRIP_PIXELS // shape[1])
    for top in range(0, shape[0], rows):
        part = slice(top, top + rows)
        found[part] = wide[above[part]] * weights[0, part, None] + wide[below[part]] * weights[1, part, None]
    return found


def _settled(photo: np.ndarray, probability: np.ndarray) -> np.ndarray:
    grids = [_Cells.of(photo, shift) for shift in (0.0, 0.5)]
    totals = [np.maximum(cells.gathered(np.ones(cells.of_pixel.size)), 1e-9) for cells in grids]
    sure = probability.ravel().astype(np.float64).clip(_SUREST, 1 - _SUREST)
    own = np.log(sure / (1 - sure))
    current = probability.ravel().astype(np.float64)
    for _ in range(_ROUNDS):
        others = sum(cells.gathered(current) / total for cells, total in zip(grids, totals, strict=True)) / len(grids)
        current = 1 / (1 + np.exp(-(own + _WEIGHT * (2 * others - 1))))
    return np.asarray(current, np.float32).reshape(probability.shape)
