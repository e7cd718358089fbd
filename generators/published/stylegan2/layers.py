"""The layers of StyleGAN2 (Karras et al. 2020, 1912.04958), exact to the published weights.

A convolution whose weights are scaled by each sample's style (section 2.2) is computed as scaled input, shared weights
and scaled output, which is the same but needs no weights a sample. Where one sample has more features than weights and
no gradient is asked for, the weights are scaled instead: features are then passed over less often. Every constant
(equalised learning rates, gain and activation) is multiplied into the weights when the network is built.
"""

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import nn

from generators.frozen import FrozenLayer
from generators.layers import winograd
from generators.mapping import equalised, in_float32

State = Mapping[str, torch.Tensor]
_EPS = 1e-8
_SLOPE = 0.2
_TAPS = torch.tensor([1.0, 3.0, 3.0, 1.0])
FILTER = torch.outer(_TAPS, _TAPS) / 16  # of all up-sampling; its sum is 4, since three of four pixels come in as 0
_STRIP = 2**18  # numbers: with their results they stay in a core's cache


def _spatial(values: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """Return values (B, C) as (B, C, 1, 1) in the precision of `features`."""
    return values[:, :, None, None].to(features.dtype)


class StyledConv(FrozenLayer):
    """Modulated and demodulated 3x3 convolution, noise, bias, activation and clamp (figure 2d of the paper).

    `gain` is that of the activation and what the block multiplies its output by; `clamp` bounds the output, if at all.
    """

    weight: torch.Tensor
    energy: torch.Tensor
    bias: torch.Tensor
    strength: torch.Tensor
    noise: torch.Tensor | None

    def __init__(self, state: State, name: str, gain: float, clamp: float | None) -> None:
        super().__init__()
        weight = state[f"{name}.weight"].float()
        self.gain, self.clamp = gain, clamp
        self.modulation = equalised(state, f"{name}.affine")
        self._register_weight(weight)
        self.register_buffer("energy", weight.square().sum(dim=(2, 3)).T.contiguous())
        self.register_buffer("bias", gain * state[f"{name}.bias"].float())
        self.register_buffer("strength", gain * state[f"{name}.noise_strength"].float())
        noise = self.strength * state[f"{name}.noise_const"].float()
        self.register_buffer("noise", noise if noise.is_meta or bool(noise.any()) else None)

    def forward(self, features: torch.Tensor, w: torch.Tensor, noise: torch.Tensor | bool = True) -> torch.Tensor:
        """Return features (B, C', H', W') in style w (B, D); `noise` (B or 1, 1, H', W'), or whether the stored one."""
        with in_float32(w):
            scale = self.modulation(w)
            gain = self.gain * (scale.square() @ self.energy + _EPS).rsqrt()
            added = self._noise(noise)
        trains = scale.requires_grad or features.requires_grad or (added is not None and added.requires_grad)
        alone = not trains and len(features) == 1 and features.numel() > self.weight.numel()
        if alone and not self._transforms(features):
            h = self._own(features, scale, gain)
        else:
            h = self._shared(features * _spatial(scale, features))
            h = torch.addcmul(self.bias[:, None, None].to(h.dtype), h, _spatial(gain, h))
        added = None if added is None else added.to(h.dtype)
        return activated(h, added, self.clamp) if trains else activated_(h, added, self.clamp)

    def _noise(self, noise: torch.Tensor | bool) -> torch.Tensor | None:
        if isinstance(noise, torch.Tensor):
            return self.strength * noise
        return self.noise if noise else None

    def _register_weight(self, weight: torch.Tensor) -> None:
        self.register_buffer("weight", weight.contiguous(memory_format=torch.channels_last))

    def _transforms(self, features: torch.Tensor) -> bool:
        """Return whether the weights of all samples are those of tiles, which are quicker than a sample's own."""
        return winograd.is_wide(self.weight, features.shape[2]) and winograd.pays(features, self.weight)

    def _shared(self, features: torch.Tensor) -> torch.Tensor:
        """Return features convolved with the weights of all samples."""
        if self._transforms(features):
            return winograd.convolved(features, self.derived("weight", winograd.transformed))
        return F.conv2d(features, self.cast("weight"), padding=1)

    def _own(self, features: torch.Tensor, scale: torch.Tensor, gain: torch.Tensor) -> torch.Tensor:
        """Return the features of one sample convolved with its own weights, bias included."""
        weight = self.weight * gain.T[:, :, None, None] * scale[:, :, None, None]
        return F.conv2d(features, weight, self.bias, padding=1)


class UpsampledStyledConv(StyledConv):
    """A styled convolution to twice the side: transposed, of stride 2, then the filter 1, 3, 3, 1.

    One merged convolution would take four times the products; with 512 channels the filter takes 3 % of the time.
    """

    filter: torch.Tensor

    def _register_weight(self, weight: torch.Tensor) -> None:
        self.register_buffer("weight", weight.transpose(0, 1).contiguous(memory_format=torch.channels_last))
        self.register_buffer("filter", FILTER.repeat(len(weight), 1, 1, 1))

    def _transforms(self, features: torch.Tensor) -> bool:
        return False

    def _shared(self, features: torch.Tensor) -> torch.Tensor:
        return self._filtered(F.conv_transpose2d(features, self.cast("weight"), stride=2))

    def _own(self, features: torch.Tensor, scale: torch.Tensor, gain: torch.Tensor) -> torch.Tensor:
        weight = self.weight * scale.T[:, :, None, None] * gain[:, :, None, None]
        return self._filtered(F.conv_transpose2d(features, weight, stride=2), self.bias)

    def _filtered(self, features: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        return F.conv2d(features, self.cast("filter"), bias, padding=1, groups=len(self.filter))


def activated(h: torch.Tensor, noise: torch.Tensor | None, clamp: float | None) -> torch.Tensor:
    """Return leaky ReLU of h + noise within +-clamp, where gradients may pass; h is written to."""
    h = F.leaky_relu_(h if noise is None else h.add_(noise), _SLOPE)
    return h if clamp is None else h.clamp(-clamp, clamp)


def activated_(h: torch.Tensor, noise: torch.Tensor | None, clamp: float | None) -> torch.Tensor:
    """Return the same in place, strip by strip: on a CPU three passes over large features wait for memory once."""
    height = h.shape[2]
    rows = height if h.device.type != "cpu" else max(1, _STRIP * height // max(h.numel(), 1))
    for start in range(0, height, rows):
        strip = h[:, :, start : start + rows]
        if noise is not None:
            strip.add_(noise[..., start : start + rows, :])
        F.leaky_relu_(strip, _SLOPE)
        if clamp is not None:
            strip.clamp_(-clamp, clamp)
    return h


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to colours, clamped, added to the doubled image so far; images are float32."""

    weight: torch.Tensor
    bias: torch.Tensor

    def __init__(self, state: State, name: str, clamp: float | None) -> None:
        super().__init__()
        weight = state[f"{name}.weight"].float()[:, :, 0, 0]
        self.clamp = clamp
        self.modulation = equalised(state, f"{name}.affine")
        self.register_buffer("weight", weight / math.sqrt(weight.shape[1]))
        self.register_buffer("bias", state[f"{name}.bias"].float()[:, None, None])

    def forward(self, features: torch.Tensor, w: torch.Tensor, image: torch.Tensor | None = None) -> torch.Tensor:
        """Return the image (B, 3 or 1, H, W) of features in style w (B, D) and of `image` (.., H / 2, W / 2)."""
        with in_float32(w):
            weight = self.weight * self.modulation(w)[:, None]
        # Three rows a sample are cheaper to scale than the features.
        colours = (weight.to(features.dtype) @ features.flatten(2)).float().unflatten(2, features.shape[2:]) + self.bias
        if self.clamp is not None:
            colours = colours.clamp(-self.clamp, self.clamp)
        return colours if image is None else colours + doubled(image)


class ByPass(FrozenLayer):
    """What goes around a block of a residual network: a 1x1 convolution, then doubled; times the root of a half."""

    weight: torch.Tensor

    def __init__(self, state: State, name: str) -> None:
        super().__init__()
        weight = state[f"{name}.weight"].float()
        self.register_buffer("weight", weight * math.sqrt(0.5 / weight.shape[1]))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return features (B, C', 2H, 2W)."""
        return doubled(F.conv2d(features, self.cast("weight")))


def doubled(image: torch.Tensor) -> torch.Tensor:
    """Return an image (B, C, H, W) at twice its side by the filter 1, 3, 3, 1, with zeros around it.

    Inside, this is bilinear interpolation; at the border that would repeat the last pixels instead.
    """
    padded = F.pad(image, (1, 1, 1, 1))
    return F.interpolate(padded, scale_factor=2.0, mode="bilinear", align_corners=False)[:, :, 2:-2, 2:-2]
