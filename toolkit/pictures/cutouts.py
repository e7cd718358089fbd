"""Things cut out of photos: an alpha channel with a smooth edge, and edge colours without a trace of the ground.

Probabilities rise from 0 to 1 over many pixels of a large photo, so they are no alpha themselves: everything about the
thing would be half-transparent. Their distance from the line on which they cross the threshold is taken instead.
"""

from collections.abc import Iterator

import numpy as np
from PIL import Image

_NARROWEST = 2.0  # pixels over which alpha rises from 0 to 255; an edge in a sharp photo mixes both sides over as many
_PIXELS_A_WIDTH = 500  # of a photo's shorter side for each pixel of a wider rise
_STRIP_PIXELS = 2**18  # worked on at a time, which a processor's cache holds
_REACH = 2  # pixels around one that its alpha depends on
_FLAT = 1e-8  # slope below which there is no edge near
_ABOVE = 1e-6  # so that flat probability of just the threshold is foreground, as it is in the mask
_AROUND = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)]


def strips(shape: tuple[int, ...]) -> Iterator[slice]:
    """Yield slices of rows that cover an array (H, W, ...), so that what is made of each takes little memory."""
    rows = max(1, _STRIP_PIXELS // max(1, shape[1]))
    for top in range(0, shape[0], rows):
        yield slice(top, min(shape[0], top + rows))


def levels(values: np.ndarray) -> np.ndarray:
    """Return values (H, W) in [0, 1] as uint8, rounded."""
    found = np.empty(values.shape, np.uint8)
    for rows in strips(values.shape):
        found[rows] = np.rint(values[rows] * 255)
    return found


def rise(shape: tuple[int, ...]) -> float:
    """Return over how many pixels of a photo (H, W, ...) alpha rises from 0 to 255."""
    return max(_NARROWEST, min(shape[:2]) / _PIXELS_A_WIDTH)


def alpha_of(probability: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """Return the alpha uint8 (H, W) of a thing whose probability is float32 (H, W) in [0, 1].

    It is 128 where the probability crosses the threshold, and rises from 0 to 255 over a few pixels (`rise`) across
    that line. At least 128 are just the pixels whose probability is at least `threshold`, as in the mask.
    """
    height, width = probability.shape
    alpha = np.empty((height, width), np.uint8)
    for rows in strips(probability.shape):
        top, bottom = max(0, rows.start - _REACH), min(height, rows.stop + _REACH)
        part = _ramp(probability[top:bottom], threshold, rise(probability.shape))
        alpha[rows] = part[rows.start - top : rows.stop - top]
    return alpha


def _ramp(probability: np.ndarray, threshold: float, width: float) -> np.ndarray:
    """Return alpha (H, W) by the distance from where the probability crosses the threshold, to first order.

    A mean over 3 x 3 pixels comes before, which gives maps that jump from 0 to 1 a line to be distant from.
    """
    padded = np.pad(np.asarray(probability, np.float32), _REACH, mode="edge")
    columns = padded[:-2] + padded[1:-1] + padded[2:]
    smooth = (columns[:, :-2] + columns[:, 1:-1] + columns[:, 2:]) / 9
    down = (smooth[2:, 1:-1] - smooth[:-2, 1:-1]) / 2
    across = (smooth[1:-1, 2:] - smooth[1:-1, :-2]) / 2
    slope = np.sqrt(down * down + across * across)
    distance = (smooth[1:-1, 1:-1] - np.float32(threshold - _ABOVE)) / np.maximum(slope, _FLAT)
    alpha = np.rint((distance / width + 0.5).clip(0, 1) * 255).astype(np.uint8)
    return np.where(probability >= threshold, np.maximum(alpha, 128), np.minimum(alpha, 127))


def cut_out(photo: np.ndarray, probability: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """Return the thing in a photo uint8 (H, W, 3) as RGBA, uint8 (H, W, 4), given its probability (H, W).

    Where alpha is 255 colours are the photo's; where it is 0 they are black, which keeps files small. Between, where
    the photo mixes the thing with its ground, colours are those of the thing nearby.
    """
    cut = np.empty((*photo.shape[:2], 4), np.uint8)
    cut[..., 3] = alpha_of(probability, threshold)
    seen = cut[..., 3] > 0
    for channel in range(3):  # three times as fast as all at once
        np.multiply(photo[..., channel], seen, out=cut[..., channel])
    _clean_edge(cut)
    return cut


def composite(cut: np.ndarray, ground: Image.Image) -> Image.Image:
    """Return a cut-out uint8 (H, W, 4) laid over a ground, an "RGB" picture of its size, which is drawn on."""
    thing = Image.fromarray(cut)
    ground.paste(thing, (0, 0), thing)
    return ground


def _clean_edge(cut: np.ndarray) -> None:
    """Give the half-transparent pixels of a cut-out (H, W, 4) the colours of opaque ones nearby.

    Opaque pixels beside half-transparent ones are asked last: a lens, or JPEG's coarse colours, mixes ground into them.
    """
    alpha = cut[..., 3]
    opaque = alpha == 255
    inner = _eroded(opaque)
    ring = np.nonzero(opaque & ~inner)
    own = cut[ring]
    steps = round(2 * rise(cut.shape))
    left = _spread(cut, inner, np.nonzero((alpha > 0) & ~inner), steps)
    cut[ring] = own
    thin = alpha[left] < 255
    _spread(cut, opaque, (left[0][thin], left[1][thin]), steps)


def _eroded(mask: np.ndarray) -> np.ndarray:
    """Return where a mask (H, W) holds the pixel and all eight around it; beyond its border it goes on as it is."""
    padded = np.pad(mask, 1, mode="edge")
    rows = padded[:-2] & padded[1:-1] & padded[2:]
    return rows[:, :-2] & rows[:, 1:-1] & rows[:, 2:]


Places = tuple[np.ndarray, ...]  # rows and columns of pixels


def _spread(cut: np.ndarray, known: np.ndarray, places: Places, steps: int) -> Places:
    """Spread the colours of `known` pixels (H, W) over those at `places`, a pixel a step; return the places not met.

    Each takes the mean of its known neighbours. Only pixels at the edge are touched: the cost is that of its length.
    """
    framed = np.pad(known, 1)
    rows, columns = places
    for _ in range(steps):
        total, count = np.zeros((len(rows), 3), np.uint16), np.zeros(len(rows), np.uint16)
        for down, across in _AROUND:
            near = np.flatnonzero(framed[rows + (1 + down), columns + (1 + across)])
            total[near] += cut[rows[near] + down, columns[near] + across, :3]
            count[near] += 1
        met = count > 0
        if not met.any():
            break
        mean = (total[met] + count[met, None] // 2) // count[met, None]
        cut[rows[met], columns[met], :3] = mean
        framed[rows[met] + 1, columns[met] + 1] = True
        rows, columns = rows[~met], columns[~met]
    return rows, columns
