"""The fill rule of the golden files of SNGAN and ProgGAN, and their layouts; version 1, as in golden_fill."""

import json
import re

import numpy as np
import torch
from conftest import GOLDEN
from golden_fill import fill_value, normal


def layout(name):
    """Return name -> shape of the entries of the original's state dict."""
    sizes = json.loads((GOLDEN / f"{name}_state_dict.json").read_text())
    return {key: tuple(size) for key, size in sizes.items()}


def filled(sizes, value=fill_value):
    """Return a state dict of these sizes with the values of a rule, seed 0."""
    return {key: torch.from_numpy(np.array(value(0, key, size))) for key, size in sizes.items()}


def sngan_value(seed, key, shape):
    """Value of one entry; the last convolution is weakened, or tanh would saturate."""
    canonical = re.sub(r"\.model\.3\.(\w+)$", r".conv1.\1", key)
    canonical = re.sub(r"\.model\.6\.(\w+)$", r".conv2.\1", canonical)
    last = len(shape) == 4 and shape[0] in (1, 3)
    return fill_value(seed, canonical, shape, {canonical: 0.3} if last else None)


def proggan_value(seed, key, shape):
    """Value of one entry."""
    kind = key.split(".")[-1]
    if kind == "scale":
        value = (0.3 if key.startswith("output") else 1) * (1.2 + 0.1 * normal(seed, key, shape))
    elif kind == "b":
        value = 0.1 * normal(seed, key, shape)
    else:
        return fill_value(seed, key, shape)
    return value.astype(np.float32)


def layer_statistics(features):
    """Return mean, population standard deviation and the first six values, as in the golden files."""
    return [float(features.mean()), float(features.std(correction=0)), *features.flatten()[:6].tolist()]
