"""From pairs of images to masks, and which masks are fit to train on (Voynov et al. 2021 and their code).

A rule turns (reference, after), both (B, 3, H, W) in [-1, 1], into masks (B, H, W) bool. A filter returns, for
each sample of a batch, whether it is kept. No function here changes what it is given.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from toolkit.pixels import gray

_BINS = 12


def lighting(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """Return masks (B, H, W) of the pixels that the shift makes brighter."""
    return gray(before) < gray(after)


def mean_thr(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """Return masks (B, H, W) of the pixels brighter than their image's mean after the shift."""
    brightness = gray(after)
    return brightness > brightness.mean(dim=(1, 2), keepdim=True)


@dataclass(frozen=True)
class MaskRule:
    """How a shifted image and its reference become a mask.

    The reference is the unshifted image, or, where `opposed`, the image shifted the opposite way.
    """

    compare: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    opposed: bool = False

    def __call__(self, reference: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
        """Return masks (B, H, W) bool."""
        return self.compare(reference, after)


# light-dark: what is brighter after the lightening shift than after the darkening one (Melas-Kyriazi et al. 2021).
MASK_RULES: dict[str, MaskRule] = {
    "lighting": MaskRule(lighting),
    "mean_thr": MaskRule(mean_thr),
    "light-dark": MaskRule(lighting, opposed=True),
}


def large_components(masks: torch.Tensor, ratio: float = 0.2) -> torch.Tensor:
    """Return masks (B, H, W) without 8-connected components of at most `ratio` times the largest one's area.

    Labelled on the CPU; an empty mask stays empty. The device is that of `masks`.
    """
    found = np.ascontiguousarray(masks.cpu().numpy())
    kept = np.empty_like(found)
    for index, mask in enumerate(found):
        _, labels, figures, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
        areas = figures[:, cv2.CC_STAT_AREA].astype(np.float64)
        areas[0] = 0  # the ground
        stays = areas / max(1, areas.max()) > ratio
        kept[index] = stays[labels]
    return torch.from_numpy(kept).to(masks.device)


def area_within(masks: torch.Tensor, minimum: float = 0.0, maximum: float = 0.5) -> torch.Tensor:
    """Return (B,) bool: the foreground share is at least `minimum` and below `maximum` (>= 1: no bound)."""
    pixels = masks[0].numel()
    areas = masks.flatten(1).sum(dim=1)
    kept = areas >= minimum * pixels
    return kept if maximum >= 1 else kept & (areas < maximum * pixels)


def histogram_peaks(images: torch.Tensor) -> torch.Tensor:
    """Return (B,) int64: the number of maxima in the smoothed 12-bin histogram of all values of an image.

    The histogram spans [-1, 1] and leaves out values beyond; three bins are added up for smoothing. A bin is a
    maximum when neither neighbour is higher, so each bin of a plateau counts, empty stretches included, as in
    the original.
    """
    values = images.flatten(1)
    counts = _counted(values)
    bare = F.pad(counts, (1, 1))
    smooth = bare[:, :-2] + bare[:, 1:-1] + bare[:, 2:]
    beside = F.pad(smooth, (1, 1), value=-1)
    return ((smooth >= beside[:, :-2]) & (smooth >= beside[:, 2:])).sum(dim=1)


def _counted(values: torch.Tensor) -> torch.Tensor:
    """Return histograms (B, 12) over [-1, 1] of rows (B, N), values beyond left out."""
    if values.device.type == "cpu":  # five times as fast as counting all rows at once
        return torch.stack([torch.histc(row, _BINS, -1, 1) for row in values.float()])
    bins = ((values + 1) * (_BINS / 2)).long().clamp_(0, _BINS - 1)
    bins = torch.where(values.abs() <= 1, bins, _BINS)  # one more bin for what lies outside
    bins += torch.arange(len(values), device=values.device)[:, None] * (_BINS + 1)
    counts = torch.bincount(bins.flatten(), minlength=len(values) * (_BINS + 1)).view(-1, _BINS + 1)
    return counts[:, :_BINS].float()


def multimodal(images: torch.Tensor) -> torch.Tensor:
    """Return (B,) bool: the histogram has at least two peaks, as a thing on a ground of another shade has."""
    return histogram_peaks(images) >= 2
