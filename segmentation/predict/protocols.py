"""How a photo of any size goes through the network, and its probability comes back at the photo's size.

`float` is the toolkit's own way. `original` repeats the published evaluation, which passes through 8-bit
pictures twice ("Object Segmentation Without Labels with Large-Scale Generative Models", ICML 2021, and its
code).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from segmentation.predict.windows import CPU_PIXELS, alike
from toolkit.pictures.pixels import from_bytes, resize, resized_photo
from toolkit.pictures.scaling import shorter_side

Network = Callable[[torch.Tensor], torch.Tensor]

_DEVICE_PIXELS = 2_000_000  # of network input that a GPU takes at once


def float_input(photo: np.ndarray, size: int, device: torch.device) -> torch.Tensor:
    """Return a photo uint8 (H, W, 3) as network input (1, 3, h, w) in [-1, 1], its shorter side `size`, in float."""
    wanted = shorter_side(photo.shape[0], photo.shape[1], size)
    if device.type == "cpu":
        return resized_photo(photo, wanted)
    return resize(from_bytes(photo)[None].to(device), wanted)


def float_probability(classes: torch.Tensor, size: tuple[int, int]) -> np.ndarray:
    """Return the foreground of probabilities (2, h, w) of background and foreground at `size` = (H, W), in float."""
    return resize(classes[None, 1:], size)[0, 0].clamp_(0, 1).cpu().numpy()


def original_input(photo: np.ndarray, size: int, device: torch.device) -> torch.Tensor:
    """Return a photo uint8 (H, W, 3) as network input (1, 3, h, w) in [-1, 1], its shorter side `size`, as published.

    Resized by Pillow, bilinearly. The way to [-1, 1] and back to 8 bits truncates, so 63 of the 256 levels
    come out one lower.
    """
    images = torch.from_numpy(photo.copy()).float().div(255) * 2 - 1
    levels = ((images + 1) / 2 * 255).to(torch.uint8).numpy()
    resized = torch.from_numpy(_resized(levels, shorter_side(photo.shape[0], photo.shape[1], size)))
    return (resized.permute(2, 0, 1)[None].float().div(255) * 2 - 1).to(device)


def original_probability(classes: torch.Tensor, size: tuple[int, int]) -> np.ndarray:
    """Return the foreground of probabilities (2, h, w) of background and foreground at `size` = (H, W), as published.

    It is truncated to levels of 1 / 255 before and rounded by Pillow after; a map of that size stays as is.
    """
    # Not class 1's own softmax: its last bit differs, and truncation to 8 bits would show it.
    foreground = 1 - classes[0].cpu().numpy()
    if foreground.shape == tuple(size):
        return foreground
    levels = (foreground * np.float32(255)).astype(np.uint8)
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


def _resized(levels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if levels.shape[:2] == tuple(size):
        return levels
    return np.array(Image.fromarray(levels).resize((size[1], size[0]), Image.Resampling.BILINEAR))


@dataclass(frozen=True)
class Protocol:
    """A photo's way into the network, the probability's way back, and the sentence that result files carry on them."""

    enter: Callable[[np.ndarray, int, torch.device], torch.Tensor]
    leave: Callable[[torch.Tensor, tuple[int, int]], np.ndarray]
    meaning: str

    def predict(
        self,
        network: Network,
        photos: Sequence[np.ndarray],
        size: int,
        device: torch.device,
        through: Callable[[list[int]], None] = lambda batch: None,
    ) -> list[np.ndarray]:
        """Return the foreground probability (H, W), float32 in [0, 1], of each photo uint8 (H, W, 3).

        `network`: images (B, 3, h, w) in [-1, 1] -> logits (B, 2, h, w), in eval mode. Photos that reach it in one
        shape go together, which changes no more than float rounding; `through` hears which have just gone through it.
        """
        results: list[np.ndarray] = [np.empty(0)] * len(photos)
        shapes = [shorter_side(photo.shape[0], photo.shape[1], size) for photo in photos]
        for batch in alike(shapes, CPU_PIXELS if device.type == "cpu" else _DEVICE_PIXELS):
            with torch.inference_mode():
                images = torch.cat([self.enter(photos[index], size, device) for index in batch])
                logits = network(images)
                through(batch)
                for index, classes in zip(batch, logits.float().softmax(dim=1), strict=True):
                    results[index] = self.leave(classes, (photos[index].shape[0], photos[index].shape[1]))
        return results


PROTOCOLS = {
    "float": Protocol(
        float_input,
        float_probability,
        "whole photo, shorter side resized to the network's size, probability resized back, in float",
    ),
    "original": Protocol(
        original_input,
        original_probability,
        "whole photo, shorter side resized to the network's size, probability resized back, "
        "both through 8-bit pictures (BigGANsAreWatching)",
    ),
}
