"""The low-pass filters of StyleGAN3, designed by Kaiser windows (Karras et al. 2021, appendix C)."""

import math

import numpy as np
from scipy.special import j1

from generators.published.stylegan3.geometry import LayerGeometry


def up_filter(layer: LayerGeometry) -> np.ndarray | None:
    """Return the taps (n,) float32 before the activation, of sum 1; None where there is no filter."""
    return _designed(layer.up_taps, layer.cutoff_in, layer.half_width_in, layer.rate, radial=False)


def down_filter(layer: LayerGeometry) -> np.ndarray | None:
    """Return the taps behind the activation, (n,) or (n, n) where they are round, of sum 1; None without a filter."""
    return _designed(layer.down_taps, layer.cutoff_out, layer.half_width_out, layer.rate, layer.radial)


def _designed(taps: int, cutoff: float, half_width: float, rate: int, radial: bool) -> np.ndarray | None:
    if taps == 1:
        return None
    window = np.kaiser(taps, _beta(taps, 2 * half_width, rate))
    at = (np.arange(taps) - (taps - 1) / 2) / rate
    if radial:
        distance = np.hypot(*np.meshgrid(at, at))
        response = np.full_like(distance, math.pi * cutoff**2)  # of the centre, which odd filters have
        away = distance > 0
        response[away] = j1(2 * math.pi * cutoff * distance[away]) / (math.pi * distance[away])
        kernel = response * np.outer(window, window)
    else:
        kernel = np.sinc(2 * cutoff * at) * window
    return (kernel / kernel.sum()).astype(np.float32)


def _beta(taps: int, width: float, rate: int) -> float:
    """Return the window's parameter for a transition `width` wide, by Kaiser's estimate of the attenuation in dB."""
    attenuation = 2.285 * (taps - 1) * math.pi * width / (rate / 2) + 7.95
    if attenuation > 50:
        return 0.1102 * (attenuation - 8.7)
    if attenuation > 21:
        return 0.5842 * (attenuation - 21) ** 0.4 + 0.07886 * (attenuation - 21)
    return 0.0
