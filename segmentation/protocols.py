"""How a photo of any size goes through the network, and its probability comes back at the photo's size.

`float` is the toolkit's own way. `original` repeats the published evaluation, which passes through 8-bit
pictures twice ("Object Segmentation Without Labels with Large-Scale Generative Models", ICML 2021, and its
code).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from toolkit.pixels import from_bytes, resize, shorter_side

Network = Callable[[torch.Tensor], torch.Tensor]

Predict = Callable[[Network, np.ndarray, int, torch.device], np.ndarray]


def predict_float(network: Network, photo: np.ndarray, size: int, device: torch.device) -> np.ndarray:
    """Return the foreground probability (H, W), float32 in [0, 1], of a photo uint8 (H, W, 3).

    The photo's shorter side is resized to `size` pixels, the probability resized back, both bilinearly
    (anti-aliased where they shrink) and in float. `network`: images (1, 3, h, w) in [-1, 1] -> logits (1, 2,
    h, w), in eval mode.
    """
    height, width = photo.shape[:2]
    # Photos come read-only from their file, which torch warns about, hence the copy.
    images = resize(from_bytes(photo.copy())[None].to(device), shorter_side(height, width, size))
    foreground = _class_probabilities(network, images)[:, 1:]
    return resize(foreground, (height, width))[0, 0].clamp(0, 1).cpu().numpy()


def predict_original(network: Network, photo: np.ndarray, size: int, device: torch.device) -> np.ndarray:
    """Return the foreground probability (H, W), float32 in [0, 1], of a photo uint8 (H, W, 3) as published.

    Unless the photo has the network's input size already, the values are multiples of 1 / 255.
    """
    images = original_input(photo, size).to(device)
    # Not class 1's own softmax: its last bit differs, and truncation to 8 bits would show it.
    foreground = 1 - _class_probabilities(network, images)[0, 0].cpu().numpy()
    return original_probability(foreground, (photo.shape[0], photo.shape[1]))


def original_input(photo: np.ndarray, size: int) -> torch.Tensor:
    """Return a photo uint8 (H, W, 3) as network input (1, 3, h, w) in [-1, 1], its shorter side `size`.

    Resized by Pillow, bilinearly. The way to [-1, 1] and back to 8 bits truncates, so 63 of the 256 levels
    come out one lower.
    """
    images = torch.from_numpy(photo.copy()).float().div(255) * 2 - 1
    levels = ((images + 1) / 2 * 255).to(torch.uint8).numpy()
    resized = torch.from_numpy(_resized(levels, shorter_side(photo.shape[0], photo.shape[1], size)))
    return resized.permute(2, 0, 1)[None].float().div(255) * 2 - 1


def original_probability(probability: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return a float32 probability (h, w) resized to `size` = (height, width) through 8 bits.

    It is truncated to levels of 1 / 255 before and rounded by Pillow after; a map of that size stays as is.
    """
    if probability.shape == tuple(size):
        return probability
    levels = (probability * np.float32(255)).astype(np.uint8)
    return _resized(levels, size).astype(np.float32) / np.float32(255)


def centre_crop_pair(photo: np.ndarray, mask: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the centre squares, `size` a side, of a photo uint8 (H, W, 3) and its mask uint8 (H, W).

    The photo stays uint8, the mask becomes bool. This is how the original reads pairs where a square is
    wanted: Pillow's bilinear for both, then the mask at one half of full white.
    """
    height, width = mask.shape
    side = min(height, width)
    top, left = round((height - side) / 2), round((width - side) / 2)
    square = (slice(top, top + side), slice(left, left + side))
    return _resized(photo[square], (size, size)), _resized(mask[square], (size, size)) >= 127.5


def _class_probabilities(network: Network, images: torch.Tensor) -> torch.Tensor:
    """Return probabilities (B, 2, h, w) float32 of background and foreground."""
    with torch.inference_mode():
        return network(images).float().softmax(dim=1)


def _resized(levels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if levels.shape[:2] == tuple(size):
        return levels
    return np.array(Image.fromarray(levels).resize((size[1], size[0]), Image.Resampling.BILINEAR))


@dataclass(frozen=True)
class Protocol:
    """A way of predicting, and the sentence that result files carry about it."""

    predict: Predict
    meaning: str


PROTOCOLS = {
    "float": Protocol(
        predict_float,
        "whole photo, shorter side resized to the network's size, probability resized back, in float",
    ),
    "original": Protocol(
        predict_original,
        "whole photo, shorter side resized to the network's size, probability resized back, "
        "both through 8-bit pictures (BigGANsAreWatching)",
    ),
}
