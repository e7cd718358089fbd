"""StyleGAN3 (Karras et al. 2021, 2106.12423) step by step: weights for each sample, zeros inserted, full 2-D filters.

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
_FIRST_CUTOFF, _FIRST_STOPBAND, _LAST_STOPBAND = 2.0, 2**2.1, 2**0.3


def rates(config: Mapping[str, Any]) -> tuple[list[float], list[int]]:
    """Return cutoff and sampling rate of every layer's output, 0 to N."""
    layers, critical = config.get("num_layers", 14), config.get("num_critical", 2)
    side = config["img_resolution"]
    exponents = [min(i / (layers - critical), 1) for i in range(layers + 1)]
    cutoffs = [_FIRST_CUTOFF * (side / 2 / _FIRST_CUTOFF) ** e for e in exponents]
    stopbands = [_FIRST_STOPBAND * (side / 2 * _LAST_STOPBAND / _FIRST_STOPBAND) ** e for e in exponents]
    return cutoffs, [2 ** math.ceil(math.log2(min(2 * stopband, side))) for stopband in stopbands]


def _affine(state: State, name: str, w: torch.Tensor) -> torch.Tensor:
    weight = state[f"{name}.affine.weight"]
    return w @ weight.T / math.sqrt(weight.shape[1]) + state[f"{name}.affine.bias"]


def fourier_features(state: State, w: torch.Tensor, size: int, rate: int, cutoff: float) -> torch.Tensor:
    """Return the features (B, C, size, size) that the first w turns and moves."""
    name = "synthesis.input"
    t = _affine(state, name, w)
    t = t / t[:, :2].norm(dim=1, keepdim=True)
    turn, move = torch.eye(3).repeat(len(w), 1, 1), torch.eye(3).repeat(len(w), 1, 1)
    turn[:, 0, 0] = turn[:, 1, 1] = t[:, 0]
    turn[:, 0, 1], turn[:, 1, 0] = -t[:, 1], t[:, 1]
    move[:, 0, 2], move[:, 1, 2] = -t[:, 2], -t[:, 3]
    whole = turn @ move @ state[f"{name}.transform"]
    freqs = state[f"{name}.freqs"] @ whole[:, :2, :2]  # (B, C, 2)
    phases = state[f"{name}.phases"] + (state[f"{name}.freqs"] @ whole[:, :2, 2:])[:, :, 0]
    gains = (1 - (freqs.norm(dim=2) - cutoff) / (rate / 2 - cutoff)).clamp(0, 1)
    axis = (torch.arange(size) + 0.5 - size / 2) / rate
    points = torch.stack([axis[None].expand(size, -1), axis[:, None].expand(-1, size)], dim=2)  # (H, W, xy)
    waves = torch.sin(2 * math.pi * (points.flatten(0, 1) @ freqs.mT + phases[:, None])) * gains[:, None]
    weight = state[f"{name}.weight"]
    return (waves @ weight.T / math.sqrt(len(weight))).mT.unflatten(2, (size, size))


def modulated_conv(x: torch.Tensor, weight: torch.Tensor, styles: torch.Tensor, gain: torch.Tensor, demodulate: bool):
    """Return features (B, O, H + k - 1, W + k - 1), by a kernel for each sample."""
    if demodulate:
        weight = weight * weight.square().mean(dim=(1, 2, 3), keepdim=True).rsqrt()
        styles = styles * styles.square().mean().rsqrt()  # over the whole batch
    kernels = weight * styles[:, None, :, None, None]
    if demodulate:
        kernels = kernels * (kernels.square().sum(dim=(2, 3, 4), keepdim=True) + _EPS).rsqrt()
    kernels = kernels * gain
    batch, side = len(x), weight.shape[-1]
    h = F.conv2d(x.flatten(0, 1)[None], kernels.flatten(0, 1), padding=side - 1, groups=batch)
    return h[0].unflatten(0, (batch, -1))


def _filtered(x: torch.Tensor, taps: torch.Tensor, separable: bool) -> torch.Tensor:
    """Return x convolved with a filter: a 2-D one, or an outer product, which `separable` applies by its factors."""
    channels = x.shape[1]

    def by(kernel: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x, kernel.flip(0, 1).expand(channels, 1, -1, -1), groups=channels)

    if taps.dim() == 2:
        return by(taps, x)
    return by(taps[None], by(taps[:, None], x)) if separable else by(taps.outer(taps), x)


def filtered_leaky_relu(
    x: torch.Tensor, state: State, name: str, factors: tuple[int, int], size: int, clamp: float, separable: bool
) -> torch.Tensor:
    """Return x (B, C, H, W) doubled or more, activated, clamped and sampled down to (B, C, size, size)."""
    up, down = factors
    up_filter = state.get(f"{name}.up_filter", torch.ones(1))
    down_filter = state.get(f"{name}.down_filter", torch.ones(1))
    total = (size - 1) * down + 1 - x.shape[-1] * up + len(up_filter) + len(down_filter) - 2
    low = (total + up) // 2
    spread = x.new_zeros(*x.shape[:2], x.shape[2], up, x.shape[3], up)
    spread[:, :, :, 0, :, 0] = x
    h = F.pad(spread.flatten(4, 5).flatten(2, 3), (low, total - low, low, total - low))
    h = _filtered(h, up_filter * up, separable)
    h = (F.leaky_relu(h, 0.2) * math.sqrt(2)).clamp(-clamp, clamp)
    return _filtered(h, down_filter, separable)[:, :, ::down, ::down]


def plain(state: State, config: Mapping[str, Any], separable: bool = False) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the network of a published state as a function from ws (B, L, D) to images (B, C, S, S)."""
    found = {int(m[1]): (m[0], int(m[2])) for name in state if (m := re.match(r"synthesis\.L(\d+)_(\d+)_\d+", name))}
    names, sizes = zip(*(found[i] for i in sorted(found)), strict=True)
    cutoffs, sampling = rates(config)
    clamp, last = config.get("conv_clamp", 256), len(names) - 1

    def images(ws: torch.Tensor) -> torch.Tensor:
        h = fourier_features(state, ws[:, 0], sizes[0], sampling[0], cutoffs[0])
        for i, name in enumerate(names):
            weight, is_colour = state[f"{name}.weight"], i == last
            styles = _affine(state, name, ws[:, i + 1]) / (math.sqrt(weight.shape[1]) if is_colour else 1)
            h = modulated_conv(h, weight, styles, state[f"{name}.magnitude_ema"].rsqrt(), not is_colour)
            h = h + state[f"{name}.bias"][:, None, None]
            if is_colour:
                h = h.clamp(-clamp, clamp)
                continue
            top = 2 * max(sampling[max(i - 1, 0)], sampling[i])
            factors = (top // sampling[max(i - 1, 0)], top // sampling[i])
            h = filtered_leaky_relu(h, state, name, factors, sizes[i], clamp, separable)
        return h * config.get("output_scale", 0.25)

    return images
