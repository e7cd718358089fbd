"""Boundary F: how well the outline of a mask follows the true one (Perazzi et al., CVPR 2016, as DAVIS measures it)."""

import itertools
import math

import numpy as np

from segmentation.evaluate.structure import distance_to

WORKING_SIDE = 256  # of the shorter side of the picture in whose pixels the tolerance is given
_TILE = 1024  # pixels: large pictures go piece by piece, which stays in a CPU's caches and OpenCV's exact distances
_ROUNDING = 1 + 1e-6  # less than the gap to the next distance between pixels, for tolerances up to 700 pixels


def boundary_f(predicted: np.ndarray, truth: np.ndarray, tolerance: float = 2.0) -> float:
    """Return the boundary F in [0, 1] of a mask (H, W) bool against the truth (H, W) bool.

    It is the harmonic mean of precision, the share of the predicted boundary within reach of a true one, and recall,
    the share of the true boundary within reach of a predicted one. The reach is `tolerance` pixels of a picture whose
    shorter side is 256: masks are compared at their own size, where the reach grows with them. Where neither has a
    boundary it is 1 if both are alike, empty or full, else 0; it is 0 where one of them has none.
    ValueError for other types or shapes.
    """
    if predicted.shape != truth.shape or predicted.ndim != 2 or predicted.dtype != bool or truth.dtype != bool:
        raise ValueError(
            f"masks are {predicted.dtype} {predicted.shape} and {truth.dtype} {truth.shape}; "
            "two bool arrays (H, W) of one shape are needed"
        )
    found, wanted = boundary(predicted), boundary(truth)
    counts = np.count_nonzero(found), np.count_nonzero(wanted)
    if not all(counts):
        return float(not any(counts) and predicted.flat[0] == truth.flat[0])
    reach = tolerance * min(truth.shape) / WORKING_SIDE * _ROUNDING
    precision = _close(found, wanted, reach) / counts[0]
    recall = _close(wanted, found, reach) / counts[1]
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def boundary(mask: np.ndarray) -> np.ndarray:
    """Return (H + 1, W + 1) bool: the corner points of pixels at which object and background meet in a mask (H, W).

    A line one point wide; none runs along the picture's edges, beyond which nothing is known. DAVIS marks the pixel
    above and left of each point instead, which leaves out ends of lines at two of the edges.
    """
    framed = np.pad(mask, 1, mode="edge")
    across, down = framed[:, :-1] != framed[:, 1:], framed[:-1] != framed[1:]
    return across[:-1] | across[1:] | down[:, :-1] | down[:, 1:]


def _close(line: np.ndarray, other: np.ndarray, reach: float) -> int:
    """Return how many points of `line` (H, W) bool have one of `other` at a distance of at most `reach`."""
    margin, close = math.ceil(reach), 0
    for top, left in itertools.product(*(range(0, length, _TILE) for length in line.shape)):
        tile = line[top : top + _TILE, left : left + _TILE]
        above, before = max(0, top - margin), max(0, left - margin)
        around = other[above : top + _TILE + margin, before : left + _TILE + margin]
        if tile.any() and around.any():
            distance = distance_to(np.ascontiguousarray(around))[top - above :, left - before :]
            close += int(np.count_nonzero(distance[: tile.shape[0], : tile.shape[1]][tile] <= reach))
    return close
