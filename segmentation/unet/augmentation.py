"""Random views of a synthetic pair: mirrored, cropped and recoloured alike for the image and its mask."""

import torch
import torch.nn.functional as F

from segmentation.synthesis.synthesizer import SyntheticBatch
from toolkit.pictures.pixels import gray

NUM_UNIFORMS = 10  # random numbers used per sample
_ZOOM = 1.6  # largest factor by which things grow or shrink


def augmented(batch: SyntheticBatch, uniforms: torch.Tensor) -> SyntheticBatch:
    """Return the batch changed by uniforms (B, NUM_UNIFORMS) in (0, 1), images still in [-1, 1].

    Half of the samples are mirrored; things grow or shrink by up to 1.6, log-uniformly, and what a shrunken picture
    leaves open is filled by its reflection. Contrast and saturation are scaled by 0.6 to 1.4, brightness moves by up
    to 0.3, each colour channel by up to 0.1. Masks follow the geometry, nearest pixel.
    """
    uniforms = uniforms.to(batch.images)
    grid = _views(uniforms[:, :4], batch.images.shape)
    images = F.grid_sample(batch.images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    masks = F.grid_sample(
        batch.masks[:, None].to(grid), grid, mode="nearest", padding_mode="reflection", align_corners=False
    )
    return SyntheticBatch(_recoloured(images, uniforms[:, 4:]), masks[:, 0] > 0.5)


def _views(uniforms: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    mirror = torch.where(uniforms[:, 0] < 0.5, -1.0, 1.0)
    # Photos show their things smaller than generators do; shrinking teaches the network that they may be.
    scale = _ZOOM ** (2 * uniforms[:, 1] - 1)
    offset = (1 - scale).abs()[:, None] * (2 * uniforms[:, 2:4] - 1)
    matrices = uniforms.new_zeros(len(uniforms), 2, 3)
    matrices[:, 0, 0] = mirror * scale
    matrices[:, 1, 1] = scale
    matrices[:, :, 2] = offset
    return F.affine_grid(matrices, list(shape), align_corners=False)


def _recoloured(images: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
    contrast, saturation = (0.6 + 0.8 * uniforms[:, i, None, None, None] for i in range(2))
    brightness = 0.6 * uniforms[:, 2, None, None, None] - 0.3
    tint = 0.2 * uniforms[:, 3:6, None, None] - 0.1
    shades = gray(images)[:, None]
    images = shades + (images - shades) * saturation
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return ((images - mean) * contrast + mean + brightness + tint).clamp(-1, 1)
