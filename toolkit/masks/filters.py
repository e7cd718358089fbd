"""Cleaning masks, and which of them are fit to train on (Voynov et al. 2021 and their code).

A filter returns, for each sample of a batch, whether it is kept. No function here changes what it is given.
"""

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from toolkit.masks.connected import large_by_mask, large_by_runs

_BINS = 12


def large_components(masks: torch.Tensor, ratio: float = 0.2) -> torch.Tensor:
    """Return masks (B, H, W) without 8-connected components of at most `ratio` times the largest one's area.

    An empty mask stays empty. The device is that of `masks`.
    """
    if masks.device.type == "cuda":
        return large_by_runs(masks, ratio)
    return large_by_mask(masks.cpu(), ratio).to(masks.device)  # MPS has no float64, and shares the CPU's memory


def mask_areas(masks: torch.Tensor) -> torch.Tensor:
    """Return the number (B,) int32 of foreground pixels of masks (B, H, W) bool."""
    return masks.sum(dim=2, dtype=torch.int32).sum(dim=1, dtype=torch.int32)  # on the CPU 4 x as fast as one in int64


def area_within(masks: torch.Tensor, minimum: float = 0.0, maximum: float = 0.5) -> torch.Tensor:
    """Return (B,) bool: the foreground share is at least `minimum` and below `maximum` (>= 1: no bound)."""
    return areas_within(mask_areas(masks), masks[0].numel(), minimum, maximum)


def areas_within(areas: torch.Tensor, pixels: int, minimum: float, maximum: float) -> torch.Tensor:
    """Return the same for foreground areas (B,) of masks of so many pixels."""
    kept = areas >= minimum * pixels
    return kept if maximum >= 1 else kept & (areas < maximum * pixels)


def histogram_peaks(images: torch.Tensor) -> torch.Tensor:
    """Return (B,) int64: the number of maxima in the smoothed 12-bin histogram of all values of an image.

    The histogram spans [-1, 1] and leaves out values beyond; three bins are added up for smoothing. A bin is a
    maximum when neither neighbour is higher, so each bin of a plateau counts, empty stretches included, as in
    the original.
    """
    counted = histograms_by_image if images.device.type == "cpu" else histograms_by_bin
    bare = F.pad(counted(images.float().flatten(1)), (1, 1))
    smooth = bare[:, :-2] + bare[:, 1:-1] + bare[:, 2:]
    beside = F.pad(smooth, (1, 1), value=-1)
    return ((smooth >= beside[:, :-2]) & (smooth >= beside[:, 2:])).sum(dim=1)


def histograms_by_image(values: torch.Tensor) -> torch.Tensor:
    """Return histograms (B, 12) over [-1, 1] of float32 rows (B, N) on the CPU: those of torch.histc, faster."""
    counts = np.empty((len(values), _BINS), np.float32)
    for row, counted in zip(values.detach().numpy(), counts, strict=True):
        within = row.min() >= -1 and row.max() <= 1  # not where a value is no number
        counted[:] = _histogram(row if within else row[np.abs(row) <= 1])
    return torch.from_numpy(counts)


def _histogram(values: np.ndarray) -> np.ndarray:
    """Return the counts (12,) of float32 values (N,) in [-1, 1].

    Two bins go into a byte: OpenCV counts one byte at a time, and waits where equal ones follow each other.
    """
    places = np.full(len(values) // 2 * 2 + 2, 15, np.uint8)  # an even number, the last ones in no bin
    places[: len(values)] = (values + 1) * (_BINS / 2)  # in float32, as histc rounds
    high, low = places.reshape(2, -1)
    pairs = cv2.calcHist([16 * high + low], [0], None, [256], [0, 256]).reshape(16, 16)
    counts = pairs.sum(axis=0) + pairs.sum(axis=1)
    counts[_BINS - 1] += counts[_BINS]  # 1 itself belongs to the last bin
    return counts[:_BINS]


def histograms_by_bin(values: torch.Tensor) -> torch.Tensor:
    """Return the same of rows on any device, with one pass over all of them for each bin and no wait for the device."""
    places = torch.where(values.abs() <= 1, (values + 1) * (_BINS / 2), -1).clamp_(max=_BINS - 1).to(torch.int8)
    return torch.stack([(places == place).sum(dim=1, dtype=torch.int32) for place in range(_BINS)], dim=1).float()


def multimodal(images: torch.Tensor) -> torch.Tensor:
    """Return (B,) bool: the histogram has at least two peaks, as a thing on a ground of another shade has."""
    return histogram_peaks(images) >= 2
