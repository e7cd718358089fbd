"""The plain way of doing what this toolkit does faster: written from the papers' specification, kept to compare with.

Weights are divided by their spectral norm at every call, the class embedding and its projections are computed again,
shortcuts run at the doubled size, an image and its shifted twin are rendered one after the other, and components are
looked at one by one.
"""

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import nn

from generators.published.biggan.network import BigGANShape, spectral_sigma
from segmentation.unet.network import UNet
from toolkit.masks.rules import MASK_RULES

_OUTPUT_NORM_EPS = 1e-5


class PlainBigGAN:
    """A published BigGAN state (see generators.published.biggan.layout) rendered layer by layer as it stands."""

    def __init__(self, state: Mapping[str, torch.Tensor], shape: BigGANShape) -> None:
        self.state = state
        self.shape = shape

    def __call__(self, z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return images (B, 3, S, S) of z (B, D) and classes y (B,)."""
        first, *chunks = z.split(self.shape.chunk, dim=1)
        embedded = self.state["shared.weight"][y]
        h = F.linear(first, self._weight("linear"), self.state["linear.bias"]).view(len(z), -1, 4, 4)
        for i, chunk in enumerate(chunks):
            h = self._block(f"blocks.{i}.0", h, torch.cat([embedded, chunk], dim=1))
            if i == self.shape.attention_block:
                h = self._attention(f"blocks.{i}.1", h)
        out = {part: self.state[f"output_layer.0.{part}"] for part in ("stored_mean", "stored_var", "gain", "bias")}
        h = F.batch_norm(h, out["stored_mean"], out["stored_var"], out["gain"], out["bias"], eps=_OUTPUT_NORM_EPS)
        return torch.tanh(self._conv("output_layer.2", F.relu(h)))

    def _weight(self, name: str) -> torch.Tensor:
        weight = self.state[f"{name}.weight"]
        return weight / spectral_sigma(weight, self.state[f"{name}.u0"], self.shape.sn_eps)

    def _conv(self, name: str, features: torch.Tensor) -> torch.Tensor:
        weight = self._weight(name)
        return F.conv2d(features, weight, self.state.get(f"{name}.bias"), padding=weight.shape[-1] // 2)

    def _normed(self, name: str, features: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        mean, var = self.state[f"{name}.stored_mean"], self.state[f"{name}.stored_var"]
        gain = 1 + F.linear(condition, self._weight(f"{name}.gain"))
        bias = F.linear(condition, self._weight(f"{name}.bias"))
        normed = F.batch_norm(features, mean, var, eps=self.shape.bn_eps)
        return normed * gain[:, :, None, None] + bias[:, :, None, None]

    def _block(self, name: str, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        h = F.interpolate(F.relu(self._normed(f"{name}.bn1", x, condition)), scale_factor=2.0)
        h = self._conv(f"{name}.conv1", h)
        h = self._conv(f"{name}.conv2", F.relu(self._normed(f"{name}.bn2", h, condition)))
        return h + self._conv(f"{name}.conv_sc", F.interpolate(x, scale_factor=2.0))

    def _attention(self, name: str, x: torch.Tensor) -> torch.Tensor:
        theta = self._conv(f"{name}.theta", x).flatten(2)
        phi, g = (F.max_pool2d(self._conv(f"{name}.{part}", x), 2).flatten(2) for part in ("phi", "g"))
        attended = g @ F.softmax(theta.mT @ phi, dim=-1).mT
        return self.state[f"{name}.gamma"] * self._conv(f"{name}.o", attended.view(len(x), -1, *x.shape[2:])) + x


def plain_components(masks: torch.Tensor, ratio: float = 0.2) -> torch.Tensor:
    """Return masks (B, H, W) without components of at most `ratio` times the largest one's area, one by one.

    As in the original every component is compared with its whole mask twice, for its area and for its fate; SciPy
    labels where the original has scikit-image, and takes as long.
    """
    found = masks.cpu().numpy()
    kept = np.zeros_like(found)
    for mask, out in zip(found, kept, strict=True):
        labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
        areas = [(labels == label).sum() for label in range(1, count + 1)]
        largest = max(areas, default=0)
        for label, area in enumerate(areas, start=1):
            out[labels == label] = area / largest > ratio
    return torch.from_numpy(kept).to(masks.device)


def plain_peaks(images: torch.Tensor) -> torch.Tensor:
    """Return (B,) the maxima of each image's smoothed 12-bin histogram, image by image as in the original."""
    found = []
    for image in images:
        histogram = torch.histc(image.cpu(), bins=12, min=-1, max=1).numpy()
        smooth = np.convolve(histogram, np.ones(3), mode="same")
        left = [i == 0 or smooth[i] >= smooth[i - 1] for i in range(12)]
        right = [i == 11 or smooth[i] >= smooth[i + 1] for i in range(12)]
        found.append(sum(a and b for a, b in zip(left, right, strict=True)))
    return torch.tensor(found)


def plain_pairs(generator: PlainBigGAN, z: torch.Tensor, shift: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the images and masks of z (B, D) that pass all filters, by the rule lighting."""
    y = torch.zeros(len(z), dtype=torch.long, device=z.device)
    before, after = generator(z, y), generator(z + shift, y)
    masks = plain_components(MASK_RULES["lighting"](before, after))
    passed = torch.tensor([float(mask.float().mean()) < 0.5 for mask in masks]) & (plain_peaks(after) >= 2)
    passed = passed.to(z.device)
    return before[passed], masks[passed]


def plain_unet(width: int) -> UNet:
    """Return an untrained U-Net with PyTorch's own bilinear doubling, in its own memory format."""
    network = UNet(width=width)
    for up in (network.up1, network.up2, network.up3, network.up4):
        up.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
    return network


def plain_max_f(probabilities: torch.Tensor, truths: torch.Tensor) -> float:
    """Return the maximum over k / 255 of the mean F of float32 maps (B, H, W) in bool truths, a pass each threshold."""
    curves = []
    for probability, truth in zip(probabilities, truths, strict=True):
        curve, wanted = [], truth.sum().item()
        for threshold in np.arange(0, 1, 1 / 255):
            predicted = probability > threshold
            hits, found = (predicted & truth).sum().item(), predicted.sum().item()
            precision = hits / found if found else 1.0
            recall = hits / wanted if wanted else 1.0
            below = 0.3 * precision + recall
            curve.append(1.3 * precision * recall / below if below else 0.0)
        curves.append(curve)
    return float(np.mean(curves, axis=0).max())
