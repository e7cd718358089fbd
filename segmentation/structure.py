"""Measures that look at the shape of a map and not only at counts: S-measure and weighted F."""

import numpy as np
from scipy.ndimage import correlate1d, distance_transform_edt

from segmentation.measures import EPSILON

_BLUR_RADIUS, _BLUR_SIGMA = 3, 5.0
_HALF_DISTANCE = 5.0  # pixels from the object over which the surplus weight of a false alarm halves


def s_measure(probability: np.ndarray, truth: np.ndarray) -> float:
    """Return the S-measure in [0, 1]: half object, half region similarity (Fan et al., ICCV 2017).

    probability (H, W) float64 in [0, 1]; truth (H, W) bool. Where the truth is empty or full there is no
    structure, and the mean of the background or foreground probability is given.
    """
    share = truth.mean()
    if share == 0:
        return float(1 - probability.mean())
    if share == 1:
        return float(probability.mean())
    inside, outside = probability[truth], 1 - probability[~truth]
    objects = share * _object_similarity(inside) + (1 - share) * _object_similarity(outside)
    return max(0.0, float(0.5 * objects + 0.5 * _region_similarity(probability, truth)))


def _object_similarity(values: np.ndarray) -> float:
    mean = values.mean()
    spread = values.std(ddof=1) if values.size > 1 else 0.0
    return 2 * mean / (mean * mean + 1 + spread + EPSILON)


def _region_similarity(probability: np.ndarray, truth: np.ndarray) -> float:
    height, width = truth.shape
    top, left = _centre(truth)
    total = 0.0
    for rows in (slice(0, top), slice(top, height)):
        for columns in (slice(0, left), slice(left, width)):
            block = truth[rows, columns]
            # An object whose centre lies on the last row or column leaves no pixels beyond it.
            if block.size:
                total += _structural_similarity(probability[rows, columns], block) * block.size
    return total / truth.size


def _centre(truth: np.ndarray) -> tuple[int, int]:
    """Return how many rows and columns lie up to and with the rounded centroid."""
    count = np.count_nonzero(truth)
    rows, columns = np.count_nonzero(truth, axis=1), np.count_nonzero(truth, axis=0)
    y = rows @ np.arange(len(rows)) / count
    x = columns @ np.arange(len(columns)) / count
    return int(np.round(y)) + 1, int(np.round(x)) + 1


def _structural_similarity(values: np.ndarray, truth: np.ndarray) -> float:
    x, y = values.mean(), truth.mean()
    dx, dy = (values - x).ravel(), (truth - y).ravel()
    freedom = values.size - 1 + EPSILON
    alike = 4 * x * y * (dx @ dy / freedom)
    apart = (x * x + y * y) * ((dx @ dx + dy @ dy) / freedom)
    if alike == 0:
        return 1.0 if apart == 0 else 0.0
    return alike / (apart + EPSILON)


def weighted_f(probability: np.ndarray, truth: np.ndarray) -> float:
    """Return the weighted F with beta = 1 (Margolin et al., CVPR 2014); 0 where the truth is empty.

    probability (H, W) float64 in [0, 1]; truth (H, W) bool. Errors inside the object are softened by their
    neighbourhood, false alarms weigh up to twice as much the farther they lie from it.
    """
    if not truth.any():
        return 0.0
    error = np.abs(probability - truth)
    nearest = distance_transform_edt(~truth, return_distances=False, return_indices=True)
    # Background takes the error of the nearest object pixel, so that the blur does not dilute the object's
    # edge.
    blurred = _blurred(error[tuple(nearest)])
    inside = np.minimum(error, blurred)[truth]
    weight = 2 - np.exp(np.log(0.5) / _HALF_DISTANCE * _distance(nearest)[~truth])
    false_alarms = (error[~truth] * weight).sum()
    hits = truth.sum() - inside.sum()
    found = 1 - inside.mean()
    right = hits / (hits + false_alarms + EPSILON)
    return float(2 * found * right / (found + right + EPSILON))


def _distance(nearest: np.ndarray) -> np.ndarray:
    """Return the distance (H, W) of every pixel to the pixel whose row and column `nearest` (2, H, W) names."""
    rows = np.arange(nearest.shape[1], dtype=np.int32)[:, None]
    columns = np.arange(nearest.shape[2], dtype=np.int32)
    return np.sqrt(np.square(nearest[0] - rows) + np.square(nearest[1] - columns))


def _blurred(values: np.ndarray) -> np.ndarray:
    offsets = np.arange(-_BLUR_RADIUS, _BLUR_RADIUS + 1)
    kernel = np.exp(-(offsets**2) / (2 * _BLUR_SIGMA**2))
    kernel /= kernel.sum()
    rows = correlate1d(values, kernel, axis=0, mode="constant")
    return correlate1d(rows, kernel, axis=1, mode="constant")
