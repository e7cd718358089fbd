"""Differentiable augmentation (Zhao et al. 2020, 2006.10738): colour, translation and cutout of real and fake alike."""

from typing import Any

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

NUM_UNIFORMS = 7  # random numbers used per image


def augmented(images: torch.Tensor, uniforms: torch.Tensor, strength: float = 1.0) -> torch.Tensor:
    """Return images (B, 3, H, W) changed by uniforms (B, NUM_UNIFORMS) in (0, 1); gradients pass through.

    Brightness is shifted by up to 0.5, saturation scaled by 0 to 2, contrast by 0.5 to 1.5; the picture moves by up
    to an eighth of its side, and a square of half its side is blanked (section 3.2 of the paper). A `strength` below 1
    brings all of these nearer to no change.
    """
    uniforms = uniforms.to(images)
    # Written so that full strength leaves the numbers as they are, to the last bit.
    images = _coloured(images, strength * uniforms[:, :3] + (1 - strength) * 0.5)
    return _cutout(_translated(images, uniforms[:, 3:5], strength), uniforms[:, 5:7], strength)


def _coloured(images: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
    """Return images with their brightness b shifted, then saturation s and contrast c scaled.

    That is c (s (x - g) + g - m) + m of x + b, g being the pixel's mean and m the picture's: one pass over x.
    """
    brightness, saturation, contrast = (uniforms[:, i, None, None, None] for i in range(3))
    saturation, contrast = saturation * 2, contrast + 0.5
    gray = images.mean(dim=1, keepdim=True)
    level = (1 - contrast) * gray.mean(dim=(2, 3), keepdim=True) + (brightness - 0.5)
    return torch.addcmul(torch.addcmul(level, gray, contrast * (1 - saturation)), images, contrast * saturation)


def _translated(images: torch.Tensor, uniforms: torch.Tensor, strength: float) -> torch.Tensor:
    reach = int(strength * images.shape[-1] / 8)
    # Rounded to float32 a uniform number can be 1, hence the maximum.
    offsets = (uniforms * (2 * reach + 1)).floor().long().clamp_max(2 * reach)
    return _Moved.apply(images, offsets, reach)


class _Moved(torch.autograd.Function):
    """(images, offsets, reach) -> images moved; their gradients are moved back."""

    @staticmethod
    def forward(ctx: Any, images: torch.Tensor, offsets: torch.Tensor, reach: int) -> torch.Tensor:
        ctx.save_for_backward(offsets)
        ctx.reach = reach
        return _windows(images, offsets, reach)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (offsets,) = ctx.saved_tensors
        return _windows(grad, 2 * ctx.reach - offsets, ctx.reach), None, None


def _windows(images: torch.Tensor, offsets: torch.Tensor, reach: int) -> torch.Tensor:
    """Return of each image with a border of `reach` zeros the window that starts at its offsets (B, 2), row, column."""
    side = images.shape[-1]
    every = F.pad(images, (reach,) * 4).unfold(2, side, 1).unfold(3, side, 1)
    return every[torch.arange(len(images), device=images.device), :, offsets[:, 0], offsets[:, 1]]


def _cutout(images: torch.Tensor, uniforms: torch.Tensor, strength: float) -> torch.Tensor:
    side = images.shape[-1]
    half = int(strength * side / 4)
    centres = (uniforms * (side + 1)).floor().clamp_max(side)
    steps = torch.arange(side, device=images.device)
    inside = ((steps - centres[:, :, None]) >= -half) & ((steps - centres[:, :, None]) < half)
    hole = inside[:, 0, :, None] & inside[:, 1, None, :]
    return images * ~hole[:, None]
