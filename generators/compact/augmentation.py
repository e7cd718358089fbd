"""Differentiable augmentation (Zhao et al. 2020, 2006.10738): colour, translation and cutout of real and fake alike."""

import torch
import torch.nn.functional as F

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
    brightness, saturation, contrast = (uniforms[:, i, None, None, None] for i in range(3))
    images = images + (brightness - 0.5)
    mean = images.mean(dim=1, keepdim=True)
    images = (images - mean) * (saturation * 2) + mean
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return (images - mean) * (contrast + 0.5) + mean


def _translated(images: torch.Tensor, uniforms: torch.Tensor, strength: float) -> torch.Tensor:
    side = images.shape[-1]
    reach = int(strength * side / 8)
    # Rounded to float32 a uniform number can be 1, hence the maximum.
    offsets = (uniforms * (2 * reach + 1)).floor().long().clamp_max(2 * reach)
    padded = F.pad(images, (reach,) * 4)
    steps = torch.arange(side, device=images.device)
    rows, columns = offsets[:, 0, None] + steps, offsets[:, 1, None] + steps
    batch = torch.arange(len(images), device=images.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _cutout(images: torch.Tensor, uniforms: torch.Tensor, strength: float) -> torch.Tensor:
    side = images.shape[-1]
    half = int(strength * side / 4)
    centres = (uniforms * (side + 1)).floor().clamp_max(side)
    steps = torch.arange(side, device=images.device)
    inside = ((steps - centres[:, :, None]) >= -half) & ((steps - centres[:, :, None]) < half)
    hole = inside[:, 0, :, None] & inside[:, 1, None, :]
    return images * ~hole[:, None]
