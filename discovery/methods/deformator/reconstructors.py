"""Reconstructors: which shift, and how far, lies between two images (Voynov & Babenko 2020, section 3).

State-dict keys are those of the published shift predictors.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import resnet18

from discovery.methods.deformator.kinds import RECONSTRUCTORS
from toolkit.errors import UserError


def paired(before: torch.Tensor, after: torch.Tensor, size: int | None) -> torch.Tensor:
    """Return both images (B, C, H, W) as one (B, 2C, H, W), at `size` x `size` pixels (nearest) if given."""
    pairs = torch.cat([before, after], dim=1)
    return pairs if size is None else F.interpolate(pairs, size=(size, size), mode="nearest")


class ResNetReconstructor(nn.Module):
    """ResNet-18 over the six channels of a pair: images (B, 3, H, W) twice -> logits (B, K), shift (B,)."""

    def __init__(self, num_directions: int, size: int | None = None, channels: int = 3) -> None:
        super().__init__()
        self.size = size
        self.features_extractor = resnet18(weights=None)
        first = nn.Conv2d(2 * channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(first.weight, mode="fan_out", nonlinearity="relu")
        self.features_extractor.conv1 = first
        # Never run: published files hold its weights, so ours do too.
        self.features_extractor.fc.requires_grad_(False)
        self.type_estimator = nn.Linear(512, num_directions)
        self.shift_estimator = nn.Linear(512, 1)

    def forward(self, before: torch.Tensor, after: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits (B, K) and predicted shifts (B,), float32."""
        features = paired(before, after, self.size)
        for name, stage in self.features_extractor.named_children():
            if name != "fc":
                features = stage(features)
        features = features.flatten(1)
        return self.type_estimator(features).float(), self.shift_estimator(features).squeeze(1).float()


class LeNetReconstructor(nn.Module):
    """LeNet over a pair of images of 32 pixels or more: (B, C, H, W) twice -> logits (B, K), shift (B,)."""

    def __init__(self, num_directions: int, size: int | None = None, channels: int = 3, width: int = 2) -> None:
        super().__init__()
        self.size = size
        self.convnet = nn.Sequential(
            *_convolved(2 * channels, 3 * width),
            nn.MaxPool2d(2),
            *_convolved(3 * width, 8 * width),
            nn.MaxPool2d(2),
            *_convolved(8 * width, 60 * width),
        )
        self.fc_logits = _head(60 * width, 42 * width, num_directions)
        self.fc_shift = _head(60 * width, 42 * width, 1)

    def forward(self, before: torch.Tensor, after: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits (B, K) and predicted shifts (B,), float32."""
        features = self.convnet(paired(before, after, self.size)).mean(dim=(2, 3))
        return self.fc_logits(features).float(), self.fc_shift(features).squeeze(1).float()


def _convolved(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inputs, outputs, kernel_size=5), nn.BatchNorm2d(outputs), nn.ReLU()


def _head(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, outputs))


def make_reconstructor(
    name: str, num_directions: int, *, size: int | None = None, channels: int = 3, seed: int = 0
) -> nn.Module:
    """Return a new reconstructor of a kind in RECONSTRUCTORS, weights drawn from `seed`; else UserError.

    `size` shrinks both images to that many pixels a side; `channels` is 1 for grey images.
    """
    if name not in RECONSTRUCTORS:
        raise UserError(f"reconstructor {name!r} is unknown; choose one of {', '.join(RECONSTRUCTORS)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return RECONSTRUCTORS[name](num_directions, size, channels)
