"""StyleGAN2-ADA (Karras et al. 2020, 2006.06676) step by step: weights for each sample, zeros inserted, a 2-D filter.

Nothing of the library is used. `plain` renders w as the published network does on a CPU in float32.
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F

State = Mapping[str, torch.Tensor]
_EPS = 1e-8


def mapped(state: State, z: torch.Tensor) -> torch.Tensor:
    """Return w (B, D) of z (B, Z), without classes."""
    x = z * (z.square().mean(dim=1, keepdim=True) + _EPS).rsqrt()
    for i in range(len([name for name in state if re.fullmatch(r"mapping\.fc\d+\.bias", name)])):
        weight, bias = (state[f"mapping.fc{i}.{part}"] * 0.01 for part in ("weight", "bias"))
        x = F.leaky_relu(x @ (weight / math.sqrt(weight.shape[1])).T + bias, 0.2) * math.sqrt(2)
    return x


def _affine(state: State, name: str, w: torch.Tensor) -> torch.Tensor:
    weight = state[f"{name}.affine.weight"]
    return w @ weight.T / math.sqrt(weight.shape[1]) + state[f"{name}.affine.bias"]


def filtered(x: torch.Tensor, taps: torch.Tensor, up: int, before: int, after: int) -> torch.Tensor:
    """Return x with up - 1 zeros behind each pixel, padded, and filtered; its mean stays."""
    channels, (height, width) = x.shape[1], x.shape[2:]
    if up > 1:
        spread = x.new_zeros(*x.shape[:2], height, up, width, up)
        spread[:, :, :, 0, :, 0] = x
        x = spread.flatten(4, 5).flatten(2, 3)
    x = F.pad(x, (before, after, before, after))
    return F.conv2d(x, (taps * 4).flip(0, 1).expand(channels, 1, -1, -1), groups=channels)


def modulated_conv(x: torch.Tensor, weight: torch.Tensor, styles: torch.Tensor, up: bool, demodulate: bool):
    """Return features by a kernel for each sample, (B, O, H, W), or (B, O, 2H + 1, 2W + 1) before the filter."""
    kernels = weight * styles[:, None, :, None, None]
    if demodulate:
        kernels = kernels * (kernels.square().sum(dim=(2, 3, 4), keepdim=True) + _EPS).rsqrt()
    batch = len(x)
    whole = x.flatten(0, 1)[None]
    if up:
        h = F.conv_transpose2d(whole, kernels.transpose(1, 2).flatten(0, 1), stride=2, groups=batch)
    else:
        h = F.conv2d(whole, kernels.flatten(0, 1), padding=weight.shape[-1] // 2, groups=batch)
    return h[0].unflatten(0, (batch, -1))


def styled_conv(x: torch.Tensor, state: State, name: str, w: torch.Tensor, clamp: float) -> torch.Tensor:
    """Return features behind modulated convolution, stored noise, bias, activation and clamp."""
    up = name.endswith("conv0")
    h = modulated_conv(x, state[f"{name}.weight"], _affine(state, name, w), up, demodulate=True)
    if up:
        h = filtered(h, state[f"{name}.resample_filter"], 1, 1, 1)
    h = h + state[f"{name}.noise_strength"] * state[f"{name}.noise_const"]
    h = h + state[f"{name}.bias"][:, None, None]
    return (F.leaky_relu(h, 0.2) * math.sqrt(2)).clamp(-clamp, clamp)


def plain(state: State, config: Mapping[str, Any]) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the network (of skips) of a published state as a function from ws (B, L, D) to images (B, C, S, S)."""
    clamp = config.get("synthesis_kwargs", config).get("conv_clamp") or math.inf
    sides = sorted({int(m[1]) for name in state if (m := re.match(r"synthesis\.b(\d+)\.", name))})

    def images(ws: torch.Tensor) -> torch.Tensor:
        h, image, slot = state["synthesis.b4.const"].repeat(len(ws), 1, 1, 1), None, 0
        for side in sides:
            block = f"synthesis.b{side}"
            for conv in ("conv1",) if side == sides[0] else ("conv0", "conv1"):
                h = styled_conv(h, state, f"{block}.{conv}", ws[:, slot], clamp)
                slot += 1
            weight = state[f"{block}.torgb.weight"]
            styles = _affine(state, f"{block}.torgb", ws[:, slot]) / math.sqrt(weight.shape[1])
            colours = modulated_conv(h, weight, styles, up=False, demodulate=False)
            colours = (colours + state[f"{block}.torgb.bias"][:, None, None]).clamp(-clamp, clamp)
            if image is not None:
                colours = colours + filtered(image, state[f"{block}.resample_filter"], 2, 2, 1)
            image = colours
        assert image is not None
        return image

    return images
