"""The segmentation network: a U-Net (Ronneberger et al. 2015) with batch norm and bilinear upsampling.

Module names follow the weights published with "Object Segmentation Without Labels with Large-Scale Generative
Models" (2021).
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from toolkit.errors import UserError

SMALLEST_SIDE = 16  # four halvings


class DoubleConv(nn.Module):
    """Twice a 3x3 convolution, batch norm and ReLU: (B, inputs, H, W) -> (B, outputs, H, W)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.double_conv = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, padding=1),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return features (B, outputs, H, W) of features (B, inputs, H, W)."""
        return self.double_conv(features)


class Down(nn.Module):
    """Half the side (rounded down), then a double convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), DoubleConv(inputs, outputs))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return features (B, outputs, H // 2, W // 2)."""
        return self.maxpool_conv(features)


class _BilinearDoubling(torch.autograd.Function):
    """Bilinear doubling whose backward pass is two matrix products; PyTorch's own is not for channels last on CPUs."""

    @staticmethod
    def forward(ctx: Any, features: torch.Tensor) -> torch.Tensor:
        """Return features (B, C, 2H, 2W), corners aligned."""
        return F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=True)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        """Return the gradient (B, C, H, W) of one (B, C, 2H, 2W)."""
        with torch.autocast(gradient.device.type, enabled=False):  # a backward pass inside one would round
            rows = gradient.permute(0, 2, 3, 1).to(torch.promote_types(gradient.dtype, torch.float32))
            narrow = _undoubling(rows, 2) @ rows
            small = _undoubling(rows, 1) @ narrow.flatten(2)
            return small.unflatten(2, narrow.shape[2:]).permute(0, 3, 1, 2).to(gradient.dtype)


def _undoubling(gradient: torch.Tensor, axis: int) -> torch.Tensor:
    """Return the matrix (L, 2L) that takes gradients of an axis doubled to 2L back, in their precision."""
    unit = torch.eye(gradient.shape[axis] // 2, dtype=gradient.dtype, device=gradient.device)
    return F.interpolate(unit[None], scale_factor=2, mode="linear", align_corners=True)[0]


class BilinearDoubling(nn.Module):
    """Twice the side by bilinear interpolation with aligned corners: (B, C, H, W) -> (B, C, 2H, 2W)."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return features (B, C, 2H, 2W)."""
        if not (torch.is_grad_enabled() and features.requires_grad):  # nor do tracing and forward mode know the other
            return F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=True)
        return _BilinearDoubling.apply(features)


class Up(nn.Module):
    """Twice the side, zero-padded to the skip's size, joined with the skip, then a double convolution.

    `inputs` counts the channels of both together, half of them from below.
    """

    def __init__(self, inputs: int, outputs: int, bilinear: bool) -> None:
        super().__init__()
        half = inputs // 2
        self.up: nn.Module = BilinearDoubling() if bilinear else nn.ConvTranspose2d(half, half, 2, stride=2)
        self.conv = DoubleConv(inputs, outputs)

    def forward(self, below: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        """Return features (B, outputs, H, W) of the skip's size."""
        grown = self.up(below)
        tall, wide = skip.shape[2] - grown.shape[2], skip.shape[3] - grown.shape[3]
        if tall or wide:
            grown = F.pad(grown, (wide // 2, wide - wide // 2, tall // 2, tall - tall // 2))
        return self.conv(torch.cat([skip, grown], dim=1))


class OutConv(nn.Module):
    """One 1x1 convolution to class logits."""

    def __init__(self, inputs: int, num_classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, num_classes, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return logits (B, num_classes, H, W)."""
        return self.conv(features)


class UNet(nn.Module):
    """Images (B, 3, H, W) in [-1, 1], sides at least 16, -> logits (B, num_classes, H, W); 1 is foreground.

    `width` is the number of channels of the first stage; 64 is the published size (13,395,394 parameters).
    """

    def __init__(self, in_channels: int = 3, num_classes: int = 2, width: int = 64, bilinear: bool = True) -> None:
        super().__init__()
        self.width = width
        self.inc = DoubleConv(in_channels, width)
        self.down1 = Down(width, 2 * width)
        self.down2 = Down(2 * width, 4 * width)
        self.down3 = Down(4 * width, 8 * width)
        self.down4 = Down(8 * width, 8 * width)
        self.up1 = Up(16 * width, 4 * width, bilinear)
        self.up2 = Up(8 * width, 2 * width, bilinear)
        self.up3 = Up(4 * width, width, bilinear)
        self.up4 = Up(2 * width, width, bilinear)
        self.outc = OutConv(width, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits (B, num_classes, H, W); UserError for a side below 16."""
        return self.outc(self.decoded(images)[-1])

    def decoded(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the features of the four stages of the decoder, coarse to fine; the last are of the images' size."""
        height, width = images.shape[2:]
        if min(height, width) < SMALLEST_SIDE:
            raise UserError(
                f"the U-Net got images of {height} x {width} pixels, but needs at least {SMALLEST_SIDE} a side; "
                "enlarge them"
            )
        first = self.inc(images)
        second = self.down1(first)
        third = self.down2(second)
        fourth = self.down3(third)
        eighths = self.up1(self.down4(fourth), fourth)
        quarters = self.up2(eighths, third)
        halves = self.up3(quarters, second)
        return eighths, quarters, halves, self.up4(halves, first)
