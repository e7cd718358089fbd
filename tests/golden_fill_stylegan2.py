"""The deterministic fill of StyleGAN2 states behind the golden file (rule version 1, see golden_fill)."""

import re

import numpy as np
from golden_fill import normal

_RULES = (
    # The first pattern that a name matches -> (mean, standard deviation).
    (r"style\.\d+\.weight$", (0.0, 100.0)),
    (r"style\.\d+\.bias$", (0.0, 10.0)),
    (r"input\.input$|noises\.noise_\d+$|latent_avg$", (0.0, 1.0)),
    (r".*noise\.weight$", (0.2, 0.1)),
    (r".*modulation\.weight$", (0.0, 0.5)),
    (r".*modulation\.bias$", (1.0, 0.1)),
    (r"to_rgb.*conv\.weight$", (0.0, 0.2)),
    (r".*conv\.weight$", (0.0, 1.0)),
    (r".*bias$", (0.0, 0.1)),
)


def fill_stylegan2(seed, key, shape):
    """Value (numpy array) for one state-dict entry; FIR buffers keep their true value."""
    if key.endswith("kernel"):
        return (np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 16).astype(np.float32)
    mean, deviation = next(rule for pattern, rule in _RULES if re.match(pattern, key))
    return (mean + deviation * normal(seed, key, shape)).astype(np.float32)
