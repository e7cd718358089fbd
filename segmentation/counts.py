"""Counts: how many pixels a prediction gets right and wrong, at one threshold or along a whole curve of them.

Every measure of a thresholded map is a formula over these four numbers (see segmentation.measures).
"""

from dataclasses import dataclass

import numpy as np

NUM_THRESHOLDS = 255
NUM_LEVELS = 256
# The original compares in float32, where a map that went through 8 bits lies exactly on the thresholds.
THRESHOLDS = (np.arange(NUM_THRESHOLDS) / 255).astype(np.float32)  # t_k = k / 255
_TABLE = np.append(THRESHOLDS, np.float32(1))


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
    tp = np.count_nonzero(predicted & truth, axis=(-2, -1))
    positives = np.count_nonzero(predicted, axis=(-2, -1))
    foreground = np.count_nonzero(truth, axis=(-2, -1))
    parts = (tp, positives - tp, foreground - tp, pixels - positives - foreground + tp)
    return Counts(*(np.asarray(part, np.int64) for part in parts))


def threshold_counts(probability: np.ndarray, truth: np.ndarray) -> Counts:
    """Return the counts (..., 255) of `probability > k / 255` for k = 0 .. 254, compared in float32.

    probability (..., H, W) in [0, 1]; truth (..., H, W) bool. ValueError for other ranges, types or shapes.
    These are the thresholds of the original (BigGANsAreWatching), a value on a threshold being below it.
    """
    require_probability(probability)
    values = np.asarray(probability, np.float32)
    # The truncated product is the number of thresholds below the value, or one less; the table settles which.
    below = (values * np.float32(255)).astype(np.uint8)
    cumulated = _cumulated(below + (values > _TABLE.take(below)), truth)
    return _curve(cumulated[..., 1:, :], truth)


def level_counts(probability: np.ndarray, truth: np.ndarray) -> Counts:
    """Return the counts (..., 256) of `floor(255 * probability) >= k` for k = 0 .. 255, as PySODMetrics does.

    probability (..., H, W) in [0, 1]; truth (..., H, W) bool. ValueError for other ranges, types or shapes.
    """
    require_probability(probability)
    levels = (np.asarray(probability, np.float64) * 255).astype(np.uint8)
    return _curve(_cumulated(levels, truth), truth)


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


def _cumulated(bins: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return (..., 256, 2): how many background and foreground pixels of bins (..., H, W) are at least k."""
    if bins.shape != truth.shape or truth.dtype != bool:
        raise ValueError(f"a map is {bins.shape}, its truth {truth.dtype} {truth.shape}; bool of one shape is needed")
    images = truth.shape[:-2]
    count = int(np.prod(images, dtype=np.int64))
    keys = (2 * bins.astype(np.int64) + truth).reshape(count, -1)
    keys += 2 * NUM_LEVELS * np.arange(count)[:, None]
    histogram = np.bincount(keys.ravel(), minlength=2 * NUM_LEVELS * count).reshape(*images, NUM_LEVELS, 2)
    return histogram[..., ::-1, :].cumsum(axis=-2)[..., ::-1, :]


def _curve(cumulated: np.ndarray, truth: np.ndarray) -> Counts:
    foreground = np.count_nonzero(truth, axis=(-2, -1))
    foreground = np.asarray(foreground, np.int64)[..., None]
    background = truth.shape[-2] * truth.shape[-1] - foreground
    fp, tp = cumulated[..., 0], cumulated[..., 1]
    return Counts(tp, fp, foreground - tp, background - fp)
