"""What both adversarial trainings share: optimisers, rates, what the discriminator is shown, the average of weights."""

import copy
from collections.abc import Mapping

import torch
from torch import nn

from generators.compact.augmentation import NUM_UNIFORMS, augmented
from generators.compact.settings import GROUP, GeneratorSettings
from generators.photo_training import NetworkT
from toolkit.compute.engine import Engine
from toolkit.compute.torch_private import move_each
from toolkit.streams import Stream

STREAMS = ("photos", "mirror", "latents", "augment-critic", "augment-generator")
_BETAS = (0.0, 0.99)


def averaged(network: NetworkT) -> NetworkT:
    """Return the copy that follows the network's weights: frozen and in evaluation mode."""
    return copy.deepcopy(network).requires_grad_(False).eval()


def adam(network: nn.Module, rate: float) -> torch.optim.Optimizer:
    """Return an optimiser without momentum, which would carry a step on after the opponent has answered it."""
    return torch.optim.Adam(network.parameters(), rate, betas=_BETAS, fused=True)


def set_rates(rates: Mapping[torch.optim.Optimizer, float], step: int, settings: GeneratorSettings) -> None:
    """Set the optimisers' learning rates, given for the start, to what they are at a step."""
    left = (settings.steps - step) / settings.steps
    factor = 1.0 if left >= settings.decay_share else 0.1 + 0.9 * left / settings.decay_share
    for optimiser, rate in rates.items():
        for group in optimiser.param_groups:
            group["lr"] = rate * factor


def shown(stream: Stream, settings: GeneratorSettings, engine: Engine, *kinds: torch.Tensor) -> torch.Tensor:
    """Return images of all `kinds`, one after another, as the discriminator sees them.

    They are augmented, if the settings say so, by the stream's next rows. Each kind is the own rows of a batch that all
    processes share.
    """
    images = torch.cat(kinds)
    if not settings.augment:
        return images
    rows = engine.team.rows(settings.batch, GROUP)
    return augmented(images, torch.cat([stream.uniform(settings.batch, NUM_UNIFORMS)[rows] for _ in kinds]))


def joined(scores: torch.Tensor, settings: GeneratorSettings, engine: Engine) -> torch.Tensor:
    """Return the scores, or other rows, of the whole batch, of which this process has its own (see Team.joined)."""
    return engine.team.joined(scores, settings.batch, GROUP)


@torch.no_grad()
def average_weights(average: nn.Module, network: nn.Module, step: int, settings: GeneratorSettings) -> None:
    """Move the average towards the network's weights and statistics as they are after step number `step` (from 0)."""
    seen = (step + 1) * settings.batch
    # Early on the half-life is a twentieth of what was seen, so that the first noise is forgotten (EDM2, appendix).
    half_life = min(settings.ema_images, 0.05 * seen)
    weight = 1 - 0.5 ** (settings.batch / half_life)
    move_each(list(average.parameters()), list(network.parameters()), weight)
    for kept, new in zip(average.buffers(), network.buffers(), strict=True):
        if kept.is_floating_point():
            kept.lerp_(new, weight)
        else:
            kept.copy_(new)
