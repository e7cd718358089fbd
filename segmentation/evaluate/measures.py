"""Measures of segmentation: formulas over counts, and what every measure's name means.

Zero division is decided here, once: nothing predicted has precision 1, nothing to find has recall 1, and an
empty prediction of an empty truth is perfect (IoU 1), except where PySODMetrics' own measures say 0.
"""

import numpy as np

from segmentation.evaluate.counts import Counts

BETA_SQUARED = 0.3
EPSILON = float(np.spacing(1.0))

DEFINITIONS = {
    "iou": "mean over images of |predicted and true| / |predicted or true| at the threshold; 1 if both are empty",
    "accuracy": "mean over images of the share of pixels classified right at the threshold",
    "precision": "mean over images of the true share of the predicted pixels; 1 if nothing is predicted",
    "recall": "mean over images of the predicted share of the true pixels; 1 if the truth is empty",
    "max_f": "F (beta^2 = 0.3) per image and threshold (probability > k/255, k = 0..254, in float32), mean "
    "over images, then the maximum over thresholds; 1 if prediction and truth are both empty "
    "(BigGANsAreWatching)",
    "max_f_mean_pr": "F (beta^2 = 0.3) of the data set's mean precision and mean recall, maximum over the "
    "thresholds of max_f",
    "max_f_per_image": "mean over images of each image's own maximum of F over the thresholds of max_f; "
    "higher by construction (SelfMask, FOUND)",
    "max_f_levels": "F (beta^2 = 0.3) per image and level (floor(255 probability) >= k, k = 0..255), mean "
    "over images, then the maximum over levels; 0 if the truth is empty (PySODMetrics)",
    "mean_f": "the mean instead of the maximum of max_f_levels (PySODMetrics)",
    "adaptive_f": "mean over images of F (beta^2 = 0.3) at probability >= min(1, twice the map's mean); 0 "
    "if the truth is empty (PySODMetrics)",
    "mae": "mean over images of the mean absolute difference of probability and truth",
    "s_measure": "mean over images of half the object and half the region similarity (Fan et al., ICCV "
    "2017); 1 - mean, or mean, of the map if the truth is empty or full",
    "max_e": "enhanced alignment (Fan et al., IJCAI 2018) per image and level of max_f_levels, mean over "
    "images, then the maximum over levels (PySODMetrics)",
    "mean_e": "the mean instead of the maximum of max_e (PySODMetrics)",
    "adaptive_e": "mean over images of the enhanced alignment at probability >= min(1, twice the map's mean)",
    "weighted_f": "mean over images of the weighted F, beta = 1 (Margolin et al., CVPR 2014); 0 if the truth is empty",
    "boundary_f": "mean over images of the harmonic mean of the predicted boundary's share within reach of a true one "
    "and the true boundary's share within reach of a predicted one, at the threshold and the masks' own size (DAVIS); "
    "the reach is boundary_tolerance pixels of a picture whose shorter side is 256; 1 if both are empty, 0 if one is",
}

IGNORED_DEFINITION = (
    "pixels left out of every count, mean and curve; s_measure and weighted_f, which look at shapes, have them as "
    "background that is predicted rightly, and boundary_f has them as they are predicted"
)


def _ratio(above: np.ndarray, below: np.ndarray, empty: float) -> np.ndarray:
    below = np.asarray(below)
    return np.where(below == 0, empty, above / np.where(below == 0, 1, below))


def iou(counts: Counts) -> np.ndarray:
    """Return foreground intersection over union, float64 in [0, 1]; 1 where both masks are empty."""
    return _ratio(counts.tp, counts.tp + counts.fp + counts.fn, empty=1)


def accuracy(counts: Counts) -> np.ndarray:
    """Return the share of pixels classified right, float64 in [0, 1]."""
    return (counts.tp + counts.tn) / counts.pixels


def precision(counts: Counts) -> np.ndarray:
    """Return the share of predicted pixels that are true, float64 in [0, 1]; 1 where nothing is predicted."""
    return _ratio(counts.tp, counts.predicted, empty=1)


def recall(counts: Counts) -> np.ndarray:
    """Return the share of true pixels that are predicted, float64 in [0, 1]; 1 where the truth is empty."""
    return _ratio(counts.tp, counts.true, empty=1)


def f_beta(counts: Counts, both_empty: float = 1) -> np.ndarray:
    """Return F with beta^2 = 0.3, float64 in [0, 1]; `both_empty` where prediction and truth are both empty.

    (1 + b) p r / (b p + r) with p = tp / predicted and r = tp / true is (1 + b) tp / (b true + predicted),
    which also gives the 0 wanted where only one of the two is empty. PySODMetrics has 0 for both_empty.
    """
    weighted = BETA_SQUARED * counts.true + counts.predicted
    return _ratio((1 + BETA_SQUARED) * counts.tp, weighted, empty=both_empty)


def f_of(precisions: np.ndarray, recalls: np.ndarray) -> np.ndarray:
    """Return F with beta^2 = 0.3 of given precisions and recalls; 0 where both are 0."""
    return _ratio((1 + BETA_SQUARED) * precisions * recalls, BETA_SQUARED * precisions + recalls, empty=0)


def e_measure(counts: Counts) -> np.ndarray:
    """Return the enhanced alignment, float64, about [0, 1] (the sum is divided by pixels - 1).

    Fan et al., IJCAI 2018: with prediction and truth centred to a and b, every pixel scores (1 + 2ab / (a^2 +
    b^2))^2 / 4. a and b take two values each, so four counts tell the sum. An empty truth scores the
    predicted background, a full one the predicted foreground.
    """
    predicted, true, pixels = counts.predicted, counts.true, counts.pixels
    a, b = predicted / pixels, true / pixels
    total = counts.tp * _aligned(1 - a, 1 - b) + counts.fp * _aligned(1 - a, -b)
    total = total + counts.fn * _aligned(-a, 1 - b) + counts.tn * _aligned(-a, -b)
    total = np.where(true == 0, pixels - predicted, np.where(true == pixels, predicted, total))
    return total / np.maximum(pixels - 1, 1)


def _aligned(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (2 * a * b / (a * a + b * b + EPSILON) + 1) ** 2 / 4


def stretched(probability: np.ndarray, over: np.ndarray | None = None) -> np.ndarray:
    """Return the map as float64, its least value moved to 0, its greatest to 1; a constant map as it is.

    With `over`, some of its values, it is their least and greatest that are moved there.
    """
    values = np.asarray(probability, np.float64)
    ranged = values if over is None else np.asarray(over, np.float64)
    low, high = ranged.min(), ranged.max()
    return values if low == high else (values - low) / (high - low)


def adaptive_threshold(probability: np.ndarray) -> float:
    """Return twice the map's mean, at most 1 (Achanta et al., CVPR 2009)."""
    return min(2 * float(probability.mean()), 1.0)


def absolute_error(probability: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the absolute difference, float64, of a map in [0, 1] and a mask of its shape."""
    error = truth.astype(np.float64)
    np.subtract(probability, error, out=error)
    return np.abs(error, out=error)


def mean_absolute_error(probability: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean absolute difference of a map in [0, 1] and a mask of its shape."""
    return float(absolute_error(probability, truth).mean())
