"""The guided filter (He, Sun & Tang 2010, "Guided Image Filtering"): a map follows the edges of a photo."""

import numpy as np

from toolkit.pictures.scaling import brightness

_EDGE_REACH = 1.0  # radius of the edge refinement in pixels of the network's input; more frays thin things
_EDGE_EPSILON = 1e-3


def refined(photo: np.ndarray, probability: np.ndarray, image_size: int) -> np.ndarray:
    """Return the probability (H, W) of a photo uint8 (H, W, 3) redrawn along its edges.

    `image_size` is the shorter side that the network saw.
    """
    radius = max(1, round(_EDGE_REACH * min(probability.shape) / image_size))
    return guided_filter((brightness(photo) + 1) / 2, probability, radius, _EDGE_EPSILON)


def guided_filter(guide: np.ndarray, source: np.ndarray, radius: int, epsilon: float) -> np.ndarray:
    """Return `source` (H, W) redrawn as locally linear in `guide` (H, W), float32; both in [0, 1].

    Windows are squares of 2 * radius + 1 pixels; `epsilon` is the guide's variance below which a window
    counts as flat and is only smoothed (section 3.1, equations 5, 6 and 8). The result is clipped to [0, 1].
    """
    from scipy.ndimage import uniform_filter  # a seventh of a second that predicting without it saves

    guide, source = guide.astype(np.float64), source.astype(np.float64)

    def mean(values: np.ndarray) -> np.ndarray:
        return uniform_filter(values, 2 * radius + 1, mode="reflect")

    mean_guide, mean_source = mean(guide), mean(source)
    covariance = mean(guide * source) - mean_guide * mean_source
    variance = mean(guide * guide) - mean_guide**2
    slope = covariance / (variance + epsilon)
    intercept = mean_source - slope * mean_guide
    return (mean(slope) * guide + mean(intercept)).clip(0, 1).astype(np.float32)
