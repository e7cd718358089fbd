"""Measures that look at the shape of a map and not only at counts: S-measure and weighted F."""

import itertools
import math
from dataclasses import dataclass
from functools import reduce

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt

from segmentation.evaluate.measures import EPSILON, absolute_error

_BLUR_RADIUS, _BLUR_SIGMA = 3, 5.0
_HALF_DISTANCE = 5.0  # pixels from the object over which the surplus weight of a false alarm halves
_REACH = 2 * _BLUR_RADIUS**2  # squared distance from the object up to which the blur sees the background
_MARGIN = math.isqrt(_REACH)
_EXACT = 2**24  # OpenCV computes squared distances in float32, which holds every integer up to this one


@dataclass(frozen=True)
class _Moments:
    """How many values there are, their mean, and the sum of their squared distances from it."""

    count: int = 0
    mean: float = 0.0
    scatter: float = 0.0

    def __add__(self, other: "_Moments") -> "_Moments":
        """Return the moments of both together (Chan, Golub and LeVeque, 1983)."""
        if not (self.count and other.count):
            return self if self.count else other
        count, gap = self.count + other.count, other.mean - self.mean
        scatter = self.scatter + other.scatter + gap**2 * self.count * other.count / count
        return _Moments(count, self.mean + gap * other.count / count, scatter)


def _moments(values: np.ndarray) -> _Moments:
    if not values.size:
        return _Moments()
    mean = values.mean()
    deviation = (values - mean).ravel()
    return _Moments(values.size, float(mean), float(deviation @ deviation))


def s_measure(probability: np.ndarray, truth: np.ndarray) -> float:
    """Return the S-measure in [0, 1]: half object, half region similarity (Fan et al., ICCV 2017).

    probability (H, W) float64 in [0, 1]; truth (H, W) bool. Where the truth is empty or full there is no
    structure, and the mean of the background or foreground probability is given.
    """
    share = np.count_nonzero(truth) / truth.size
    if share == 0:
        return float(1 - probability.mean())
    if share == 1:
        return float(probability.mean())
    quarters = [_split(probability[quarter], truth[quarter]) for quarter in _quarters(truth)]
    inside, outside = (reduce(_Moments.__add__, moments) for moments in zip(*quarters, strict=True))
    objects = share * _object_similarity(inside.mean, inside)
    objects += (1 - share) * _object_similarity(1 - outside.mean, outside)
    regions = sum((a.count + b.count) * _structural_similarity(a, b) for a, b in quarters) / truth.size
    return max(0.0, float(0.5 * objects + 0.5 * regions))


def _quarters(truth: np.ndarray) -> list[tuple[slice, slice]]:
    """Return the rows and columns of the four parts about the rounded centroid, which lies in the first."""
    height, width = truth.shape
    pixels = np.ascontiguousarray(truth).view(np.uint8)
    rows, columns = (cv2.reduce(pixels, axis, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel() for axis in (1, 0))
    count = rows.sum()
    top = int(np.round(rows @ np.arange(height) / count)) + 1
    left = int(np.round(columns @ np.arange(width) / count)) + 1
    halves = (slice(0, top), slice(top, height)), (slice(0, left), slice(left, width))
    return list(itertools.product(*halves))


def _split(probability: np.ndarray, truth: np.ndarray) -> tuple[_Moments, _Moments]:
    """Return the moments of a map inside and outside of its truth."""
    count = np.count_nonzero(truth)
    if count == 0:
        return _Moments(), _moments(probability)
    if count == truth.size:
        return _moments(probability), _Moments()
    return _moments(probability[truth]), _moments(probability[~truth])


def _object_similarity(mean: float, values: _Moments) -> float:
    spread = math.sqrt(values.scatter / max(1, values.count - 1))
    return 2 * mean / (mean * mean + 1 + spread + EPSILON)


def _structural_similarity(inside: _Moments, outside: _Moments) -> float:
    """Return the structural similarity of a map of these moments and its truth, which is 1 inside and 0 outside."""
    both = inside + outside
    if not both.count:  # an object whose centre lies on the last row or column leaves no pixels beyond it
        return 0.0
    x, y = both.mean, inside.count / both.count
    freedom = both.count - 1 + EPSILON
    scatter = inside.count * outside.count / both.count  # of the truth
    alike = 4 * x * y * (scatter * (inside.mean - outside.mean) / freedom)
    apart = (x * x + y * y) * ((both.scatter + scatter) / freedom)
    if alike == 0:
        return 1.0 if apart == 0 else 0.0
    return alike / (apart + EPSILON)


def weighted_f(probability: np.ndarray, truth: np.ndarray, error: np.ndarray | None = None) -> float:
    """Return the weighted F with beta = 1 (Margolin et al., CVPR 2014); 0 where the truth is empty.

    probability (H, W) float64 in [0, 1]; truth (H, W) bool; `error` is their `absolute_error` where it is at hand.
    Errors inside the object are softened by their neighbourhood, false alarms weigh up to twice as much the farther
    they lie from it.
    """
    pixels = np.count_nonzero(truth)
    if pixels == 0:
        return 0.0
    error = absolute_error(probability, truth) if error is None else error
    distance = distance_to(truth)
    false_alarms, missed = _false_alarms(error, ~truth, distance), _missed(error, truth, distance)
    hits, found = pixels - missed, 1 - missed / pixels
    right = hits / (hits + false_alarms + EPSILON)
    return float(2 * found * right / (found + right + EPSILON))


def _false_alarms(error: np.ndarray, background: np.ndarray, distance: np.ndarray) -> float:
    return float(error[background] @ _weight(distance[background]))


def _missed(error: np.ndarray, truth: np.ndarray, distance: np.ndarray) -> float:
    softened = _blurred(_spread(error, truth, distance))
    return float(np.minimum(error, softened, out=softened)[truth].sum())


def distance_to(mask: np.ndarray) -> np.ndarray:
    """Return the distance (H, W) of every pixel to the nearest one in a mask (H, W) bool, in float32 precision."""
    height, width = mask.shape
    if height**2 + width**2 >= _EXACT:
        return distance_transform_edt(~mask)
    return cv2.distanceTransform((~mask).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def _squared(distance: np.ndarray) -> np.ndarray:
    """Return the squares of rounded distances between pixels, float64: the integers that they are."""
    squared = np.square(distance, dtype=np.float64)
    return np.rint(squared, out=squared)


def _weight(distance: np.ndarray) -> np.ndarray:
    weight = _squared(distance)
    np.sqrt(weight, out=weight)
    weight *= math.log(0.5) / _HALF_DISTANCE
    np.exp(weight, out=weight)
    return np.subtract(2, weight, out=weight)


def _steps_of_distance() -> np.ndarray:
    """Return (_REACH + 1, 8, 2): the steps down and right of each squared distance, leftward and upward ones first.

    Where they are less than eight, the last one is repeated; where there is none, it is no step.
    """
    around = range(-_MARGIN, _MARGIN + 1)
    steps = [[(y, x) for x in around for y in around if x * x + y * y == squared] for squared in range(_REACH + 1)]
    return np.array([(found + 8 * (found[-1:] or [(0, 0)]))[:8] for found in steps])


_STEPS = _steps_of_distance()


def _spread(error: np.ndarray, truth: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Return `error` where the background about the object has the error of the nearest object pixel.

    So the blur does not dilute the object's edge. Of pixels equally near the leftmost counts, then the uppermost.
    """
    width, framed = truth.shape[1], np.pad(truth, _MARGIN)
    near = np.flatnonzero((distance < math.sqrt(_REACH + 0.5)) ^ truth)
    squared = _squared(distance.ravel()[near]).astype(np.intp)
    rows, columns = np.divmod(near, width)
    start = (rows + _MARGIN) * framed.shape[1] + columns + _MARGIN
    steps = (_STEPS @ (framed.shape[1], 1))[squared]
    first = framed.ravel().take(start[:, None] + steps).argmax(axis=1)
    spread = error.copy()
    spread.ravel()[near] = error.ravel()[near + (_STEPS @ (width, 1))[squared, first]]
    return spread


def _blurred(values: np.ndarray) -> np.ndarray:
    offsets = np.arange(-_BLUR_RADIUS, _BLUR_RADIUS + 1)
    kernel = np.exp(-(offsets**2) / (2 * _BLUR_SIGMA**2))
    kernel /= kernel.sum()
    return cv2.sepFilter2D(values, cv2.CV_64F, kernel, kernel, borderType=cv2.BORDER_CONSTANT)
