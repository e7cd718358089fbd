"""Random views of an image and its mask: mirrored, cropped, recoloured, and things lit otherwise than their ground."""

import itertools

import torch
import torch.nn.functional as F

from segmentation.synthesis.synthesizer import SyntheticBatch
from toolkit.pictures.pixels import gray

NUM_UNIFORMS = 10  # random numbers used per sample
LIGHT_UNIFORMS = 14  # random numbers that `relit` uses per sample
_THING = 0.6  # how much things are relit, of how much grounds are: colours are part of what they are
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
    return _changed(images, contrast, saturation, brightness, tint)


def _changed(
    images: torch.Tensor,
    contrast: torch.Tensor,
    saturation: torch.Tensor,
    brightness: torch.Tensor,
    tint: torch.Tensor,
) -> torch.Tensor:
    shades = gray(images)[:, None]
    images = shades + (images - shades) * saturation
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return ((images - mean) * contrast + mean + brightness + tint).clamp(-1, 1)


def relit(batch: SyntheticBatch, uniforms: torch.Tensor) -> SyntheticBatch:
    """Return the batch, things and grounds of half of its samples recoloured apart, by uniforms (B, LIGHT_UNIFORMS).

    A generator's directions show things by their brightness, and photos on which that works are those of bright things
    on dark grounds. A network that sees the same outline on a ground of any brightness and tint has to know the thing
    itself. The ground's contrast and saturation are scaled by 0.5 to 1.5, its brightness moves by up to 0.6, each
    colour channel by up to 0.2; the thing's by 0.6 as much. In a third of these samples the ground's channels change
    places.
    """
    uniforms = uniforms.to(batch.images)
    chosen = (uniforms[:, 12] < 0.5)[:, None, None, None]
    shares = F.avg_pool2d(batch.masks[:, None].to(batch.images), 3, 1, 1)  # no seam: the outline is two pixels wide
    things = _lit(batch.images, _THING * (2 * uniforms[:, :6] - 1))
    grounds = _lit(_swapped(batch.images, uniforms[:, 13]), 2 * uniforms[:, 6:12] - 1)
    images = torch.where(chosen, things * shares + grounds * (1 - shares), batch.images)
    return SyntheticBatch(images, batch.masks)


def _lit(images: torch.Tensor, amounts: torch.Tensor) -> torch.Tensor:
    """Return images with contrast, saturation, brightness and tint (three) changed by amounts (B, 6) in [-1, 1]."""
    contrast, saturation = (1 + 0.5 * amounts[:, i, None, None, None] for i in range(2))
    brightness, tint = 0.6 * amounts[:, 2, None, None, None], 0.2 * amounts[:, 3:6, None, None]
    return _changed(images, contrast, saturation, brightness, tint)


def _swapped(images: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
    """Return images of which a third have their colour channels in another of the five orders; uniforms (B,)."""
    orders = torch.tensor(list(itertools.permutations(range(3)))[1:], device=images.device)
    which = (uniforms * 3 * len(orders)).long()
    own = torch.arange(3, device=images.device).expand(len(images), 3)
    order = torch.where((which < len(orders))[:, None], orders[which.clamp_max(len(orders) - 1)], own)
    return images.gather(1, order[:, :, None, None].expand_as(images))
