"""The one place where pixel ranges change, and where pictures are put together.

Inside the toolkit images are float (B, 3, H, W) in [-1, 1]; on disk and on screen they are uint8 (H, W, 3).
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from toolkit.pictures.colour import GREEN as GREEN  # beside all else that is drawn with
from toolkit.pictures.colour import RED as RED
from toolkit.pictures.colour import WHITE as WHITE

_STRIP_PIXELS = 2**16  # of a photo that are floats at a time
_LUMA = (0.2989, 0.5870, 0.1140)


def gray(images: torch.Tensor) -> torch.Tensor:
    """Return brightness (B, H, W) of images (B, 3, H, W), same range, ITU-R 601 weights as the original's."""
    red, green, blue = images.unbind(dim=1)
    return _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue


def from_bytes(pixels: np.ndarray) -> torch.Tensor:
    """Return float32 (..., 3, H, W) in [-1, 1] from uint8 (..., H, W, 3); 0 maps to -1 and 255 to 1."""
    writable = np.require(pixels, requirements=["C", "W"])  # Pillow's arrays are not, which torch warns of
    return torch.from_numpy(writable).movedim(-1, -3).float() / 127.5 - 1


def to_bytes(images: torch.Tensor) -> np.ndarray:
    """Return uint8 (..., H, W, 3) from float (..., 3, H, W); values outside [-1, 1] are clamped, then rounded."""
    scaled = (images.detach().float().clamp(-1, 1) + 1) * 127.5
    return scaled.round().to(torch.uint8).movedim(-3, -1).cpu().numpy()


def resize(images: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Return (B, C, h, w) images resized bilinearly, with anti-aliasing when they shrink."""
    if tuple(images.shape[-2:]) == tuple(size):
        return images
    return F.interpolate(images, size=size, mode="bilinear", align_corners=False, antialias=True)


def resized_photo(photo: np.ndarray, size: tuple[int, int]) -> torch.Tensor:
    """Return a photo uint8 (H, W, 3) as float32 (1, 3, h, w) in [-1, 1] of `size`, on the CPU.

    To the bit what `resize` makes of `from_bytes`, which takes rows and columns one after the other too; but strip by
    strip, so that a large photo is never held as floats.
    """
    height, width = photo.shape[:2]
    if (height, width) == tuple(size):
        return from_bytes(photo)[None]
    rows = max(1, _STRIP_PIXELS // width)
    narrow = torch.empty(1, 3, height, size[1])  # at once: between strips, its parts would scatter the memory
    for top in range(0, height, rows):
        strip = from_bytes(photo[top : top + rows])[None]
        narrow[:, :, top : top + rows] = resize(strip, (strip.shape[2], size[1]))
    return resize(narrow, size)


def with_longer_side(height: int, width: int, side: int) -> tuple[int, int]:
    """Return (height, width) with the longer side `side` and the shorter one scaled alike, of at least a pixel."""
    longer = max(height, width)
    return max(1, round(side * height / longer)), max(1, round(side * width / longer))


def resized_to(images: torch.Tensor, side: int) -> torch.Tensor:
    """Return images (B, C, H, W) resized as by `resize` so that their longer side is `side` pixels."""
    return resize(images, with_longer_side(images.shape[-2], images.shape[-1], side))


LEAST_TILE = 128  # pixels of a picture's side below which it is shown enlarged


def enlargement(side: int, least: int = LEAST_TILE) -> int:
    """Return the smallest whole factor that brings pictures of this side to `least` pixels or more."""
    return max(1, math.ceil(least / side))


def enlarged(pictures: np.ndarray, factor: int) -> np.ndarray:
    """Return pictures (..., H, W, 3) with every pixel repeated `factor` times across and down."""
    return pictures.repeat(factor, axis=-3).repeat(factor, axis=-2)


def grid(pictures: np.ndarray, columns: int | None = None, gap: int = 2, ground: int = 255) -> np.ndarray:
    """Return one (H', W', 3) uint8 picture holding pictures (N, H, W, 3) row by row with `gap` pixels between."""
    count, height, width, _ = pictures.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), ground, np.uint8)
    for index, picture in enumerate(pictures):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        sheet[top : top + height, left : left + width] = picture
    return sheet


def grid_size(count: int, height: int, width: int, columns: int | None = None, gap: int = 2) -> tuple[int, int]:
    """Return the width and height in pixels of what `grid` makes of so many pictures of that height and width."""
    columns = columns or math.ceil(math.sqrt(count))
    return columns * (width + gap) - gap, math.ceil(count / columns) * (height + gap) - gap


def stack_rows(rows: Sequence[np.ndarray], gap: int = 6, ground: int = 255) -> np.ndarray:
    """Return pictures (H, W, 3) set below one another on a ground as wide as the widest."""
    width = max(row.shape[1] for row in rows)
    parts: list[np.ndarray] = []
    for row in rows:
        padded = np.full((row.shape[0], width, 3), ground, np.uint8)
        padded[:, : row.shape[1]] = row
        parts += [padded, np.full((gap, width, 3), ground, np.uint8)]
    return np.concatenate(parts[:-1])


def mask_picture(masks: np.ndarray) -> np.ndarray:
    """Return masks (..., H, W) as black and white uint8 pictures (..., H, W, 3)."""
    return np.repeat((np.asarray(masks, bool) * np.uint8(255))[..., None], 3, axis=-1)
