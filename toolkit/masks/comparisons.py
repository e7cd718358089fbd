"""What mask rules compare (Voynov et al. 2021 and their code).

Each function turns (reference, after), both (B, 3, H, W) in [-1, 1], into masks (B, H, W) bool and changes neither.
"""

import torch

from toolkit.pictures.pixels import gray


def lighting(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """Return masks (B, H, W) of the pixels that the shift makes brighter."""
    return gray(before) < gray(after)


def mean_thr(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """Return masks (B, H, W) of the pixels brighter than their image's mean after the shift."""
    brightness = gray(after)
    return brightness > brightness.mean(dim=(1, 2), keepdim=True)
