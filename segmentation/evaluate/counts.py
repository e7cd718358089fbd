"""Counts: how many pixels a prediction gets right and wrong, at one threshold or along a whole curve of them.

Every measure of a thresholded map is a formula over these four numbers (see segmentation.evaluate.measures).
"""

from dataclasses import dataclass

import cv2
import numpy as np

NUM_THRESHOLDS = 255
NUM_LEVELS = 256
# The original compares in float32, where a map that went through 8 bits lies exactly on the thresholds.
THRESHOLDS = (np.arange(NUM_THRESHOLDS) / 255).astype(np.float32)  # t_k = k / 255
_LANES = 4  # neighbours, mostly alike, are counted apart: else each addition would wait for the one before it
_EXACT = 2**24  # OpenCV gives counts in float32, which holds every integer up to this one


@dataclass(frozen=True)
class Counts:
    """True and false positives and negatives, int64 of one shape: (...) images, or (..., T) thresholds."""

    tp: np.ndarray
    fp: np.ndarray
    fn: np.ndarray
    tn: np.ndarray

    @property
    def predicted(self) -> np.ndarray:
        """Return the number of pixels predicted to be foreground."""
        return self.tp + self.fp

    @property
    def true(self) -> np.ndarray:
        """Return the number of foreground pixels of the truth."""
        return self.tp + self.fn

    @property
    def pixels(self) -> np.ndarray:
        """Return the number of pixels."""
        return self.tp + self.fp + self.fn + self.tn


def mask_counts(predicted: np.ndarray, truth: np.ndarray) -> Counts:
    """Return the counts (...) of masks (..., H, W) bool against the truth (..., H, W) bool."""
    _require_masks(predicted, truth)
    pixels = np.int64(truth.shape[-2] * truth.shape[-1])
    tp, positives, foreground = _areas(predicted & truth), _areas(predicted), _areas(truth)
    return Counts(tp, positives - tp, foreground - tp, pixels - positives - foreground + tp)


def threshold_counts(probability: np.ndarray, truth: np.ndarray) -> Counts:
    """Return the counts (..., 255) of `probability > k / 255` for k = 0 .. 254, compared in float32.

    probability (..., H, W) in [0, 1]; truth (..., H, W) bool. ValueError for other ranges, types or shapes.
    These are the thresholds of the original (BigGANsAreWatching), a value on a threshold being below it.
    """
    require_probability(probability)
    return _curve(_cumulated(_below(probability), truth, NUM_LEVELS), slice(1, None))


def level_counts(probability: np.ndarray, truth: np.ndarray) -> Counts:
    """Return the counts (..., 256) of `floor(255 * probability) >= k` for k = 0 .. 255, as PySODMetrics does.

    probability (..., H, W) in [0, 1]; truth (..., H, W) bool. ValueError for other ranges, types or shapes.
    """
    require_probability(probability)
    return _curve(_cumulated(_levels(probability), truth, NUM_LEVELS), slice(None))


def curve_counts(probability: np.ndarray, truth: np.ndarray) -> tuple[Counts, Counts]:
    """Return what `threshold_counts` and `level_counts` return, both from one histogram.

    A value of level l has l or l + 1 thresholds below it: the sum of both numbers gives each of them.
    """
    require_probability(probability)
    cumulated = _cumulated(_below(probability) + _levels(probability), truth, 2 * NUM_LEVELS - 1)
    return _curve(cumulated, slice(1, None, 2)), _curve(cumulated, slice(None, None, 2))


def require_probability(probability: np.ndarray) -> None:
    """Raise ValueError unless every value lies in [0, 1]; NaN does not."""
    low, high = probability.min(), probability.max()
    if not (low >= 0 and high <= 1):
        raise ValueError(f"a prediction has values from {low} to {high}; probabilities in [0, 1] are needed")


def _require_masks(predicted: np.ndarray, truth: np.ndarray) -> None:
    if predicted.shape != truth.shape or truth.dtype != bool or predicted.dtype != bool:
        raise ValueError(
            f"masks are {predicted.dtype} {predicted.shape} and {truth.dtype} {truth.shape}; "
            "two bool arrays of one shape are needed"
        )


def _areas(masks: np.ndarray) -> np.ndarray:
    """Return the number of True in each of masks (..., H, W), int64 (...)."""
    *images, height, width = masks.shape
    # NumPy counts a whole array of bool ten times as fast as it counts along axes.
    areas = [np.count_nonzero(mask) for mask in masks.reshape(-1, height, width)]
    return np.array(areas, np.int64).reshape(images)


def _below(probability: np.ndarray) -> np.ndarray:
    """Return the number of THRESHOLDS below each value, uint16.

    It is the product with 255 rounded up, and exactly so in float32: 255 t_k rounds to k, and 255 times the next
    number after t_k to more than k.
    """
    product = np.multiply(probability, 255, dtype=np.float32)
    return np.ceil(product, out=product).astype(np.uint16)


def _levels(probability: np.ndarray) -> np.ndarray:
    """Return floor(255 * value) of each value, computed in float64, as uint16."""
    levels = np.empty(probability.shape, np.uint16)
    return np.multiply(probability, 255, out=levels, dtype=np.float64, casting="unsafe")


def _cumulated(bins: np.ndarray, truth: np.ndarray, count: int) -> np.ndarray:
    """Return (..., 2, count) int64: how many background and foreground pixels of bins (..., H, W) are at least k."""
    if bins.shape != truth.shape or truth.dtype != bool:
        raise ValueError(f"a map is {bins.shape}, its truth {truth.dtype} {truth.shape}; bool of one shape is needed")
    *images, height, width = truth.shape
    keys = truth.astype(np.uint16, order="C")
    keys *= np.uint16(count)
    keys += bins
    keys += np.arange(width, dtype=np.uint16) % _LANES * (2 * count)
    counted = np.array([_histogram(image, 2 * count * _LANES) for image in keys.reshape(-1, height, width)])
    histogram = counted.reshape(*images, _LANES, 2, count).sum(axis=-3)
    return histogram[..., ::-1].cumsum(axis=-1)[..., ::-1]


def _histogram(keys: np.ndarray, count: int) -> np.ndarray:
    """Return how often each of 0 .. count - 1 is among keys (H, W) uint16, int64 (count,)."""
    if keys.shape[1] > _EXACT:
        strips = [keys[:, first : first + _EXACT] for first in range(0, keys.shape[1], _EXACT)]
        return np.sum([_histogram(strip, count) for strip in strips], axis=0)
    rows = max(1, _EXACT // keys.shape[1])
    parts = [keys[start : start + rows] for start in range(0, len(keys), rows)]
    counted = [cv2.calcHist([part], [0], None, [count], [0, count]).ravel() for part in parts]
    return np.asarray(counted, np.int64).sum(axis=0)


def _curve(cumulated: np.ndarray, bins: slice) -> Counts:
    """Return the counts of predicting the pixels of at least bin k, for k in `bins`."""
    fp, tp = cumulated[..., 0, bins], cumulated[..., 1, bins]
    return Counts(tp, fp, cumulated[..., 1, :1] - tp, cumulated[..., 0, :1] - fp)
