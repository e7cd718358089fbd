"""Training a compact generator on photos: hinge loss, spectral norm, differentiable augmentation, weight average.

The loop is a Python generator that yields a small value a step; logging, checkpoints and pictures belong to the caller.
"""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import register_parametrization

from generators.compact.augmentation import NUM_UNIFORMS, augmented
from generators.compact.network import CompactNetwork, CompactShape
from generators.compact.settings import GROUP, GeneratorSettings
from toolkit.compute.batch_norm import synchronised
from toolkit.compute.engine import Engine
from toolkit.state import ResumableState, Stateful
from toolkit.streams import Stream

STREAMS = ("photos", "mirror", "latents", "augment-critic", "augment-generator")
_BETAS = (0.0, 0.99)
# SiLU and average pooling each fade small signals by about half. Without a gain that makes up for both the normalised
# critic stays at chance: with 2, photos and fakes scored alike (gap 0.00) after 3,000 steps; with 10, 0.4 apart.
_GAIN = 8.0
NetworkT = TypeVar("NetworkT", bound=nn.Module)


class Discriminator(nn.Module):
    """Images (B, 3, S, S) -> scores (B,). Spectrally normalised, pooled between stages.

    The first convolution sees the picture folded to half its side with four times the channels, and stages shrink by
    pooling: on CPUs the backward pass of strided and full-size convolutions is what costs most.
    """

    def __init__(self, image_size: int, width: int) -> None:
        super().__init__()
        stages: list[nn.Module] = [nn.PixelUnshuffle(2), _conv(12, width), nn.SiLU()]
        channels, side = width, image_size // 2
        while side > 4:
            wider = min(4 * width, channels * 2)
            stages += [nn.AvgPool2d(2), _conv(channels, wider), nn.SiLU()]
            channels, side = wider, side // 2
        self.stages = nn.Sequential(*stages)
        self.last = _conv(channels + 1, channels)
        self.num_features = channels * side * side
        self.score = spectral_norm(nn.Linear(self.num_features, 1))

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Return what the score is linear in, (B, num_features), of images (B, 3, S, S) as for `forward`."""
        features = self.stages(images.to(memory_format=torch.channels_last))
        return F.silu(self.last(_with_spread(features))).flatten(1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return scores (B,) of images (B, 3, S, S) in [-1, 1]; B above 8 is a multiple of 8."""
        return self.score(self.features(images)).squeeze(1).float()


class _Scaled(nn.Module):
    def __init__(self, gain: float) -> None:
        super().__init__()
        self.gain = gain

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return self.gain * weight


def normed(layer: nn.Module, gain: float) -> nn.Module:
    """Return the layer with its weight kept at spectral norm `gain` (Miyato et al. 2018)."""
    spectral_norm(layer)
    register_parametrization(layer, "weight", _Scaled(gain))
    return layer


def _conv(inputs: int, outputs: int) -> nn.Module:
    return normed(nn.Conv2d(inputs, outputs, 3, padding=1), _GAIN)


def _with_spread(features: torch.Tensor) -> torch.Tensor:
    """Append each group's standard deviation as a channel (Karras et al. 2018, section 3): it shows lost variety."""
    groups = features.float().unflatten(0, (-1, min(GROUP, len(features))))
    spread = (groups.var(dim=1, unbiased=False) + 1e-8).sqrt().mean(dim=(1, 2, 3))
    spread = spread.repeat_interleave(groups.shape[1])[:, None, None, None]
    return torch.cat([features, spread.expand(-1, 1, *features.shape[2:]).to(features.dtype)], dim=1)


@dataclass
class TrainingState(ResumableState):
    """Everything a run needs to go on: networks, optimisers, step and the positions of the random streams."""

    network: CompactNetwork
    average: CompactNetwork
    critic: Discriminator
    network_optimiser: torch.optim.Optimizer
    critic_optimiser: torch.optim.Optimizer
    streams: dict[str, Stream]
    step: int = 0

    @classmethod
    def start(cls, settings: GeneratorSettings, engine: Engine) -> "TrainingState":
        """Return the state before the first step, weights drawn from the settings' seed."""
        shape = CompactShape(settings.image_size, settings.latent_dim, settings.width)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            network = placed(CompactNetwork(shape), engine)
            critic = placed(Discriminator(settings.image_size, settings.critic_width), engine)
        return cls(
            network,
            averaged(network),
            critic,
            adam(network, settings.generator_rate),
            adam(critic, settings.critic_rate),
            {name: Stream(settings.seed, name) for name in STREAMS},
        )

    def parts(self) -> dict[str, Stateful]:
        """Return networks and optimisers by the name they are saved under."""
        return {
            "network": self.network,
            "average": self.average,
            "critic": self.critic,
            "network_optimiser": self.network_optimiser,
            "critic_optimiser": self.critic_optimiser,
        }


def placed(network: NetworkT, engine: Engine) -> NetworkT:
    """Return the network on the engine's device, laid out for its convolutions, its batch norms over all processes."""
    return synchronised(network.to(engine.device).to(memory_format=torch.channels_last), engine.team)


def averaged(network: NetworkT) -> NetworkT:
    """Return the copy that follows the network's weights: frozen and in evaluation mode."""
    return copy.deepcopy(network).requires_grad_(False).eval()


def adam(network: nn.Module, rate: float) -> torch.optim.Optimizer:
    """Return an optimiser without momentum, which would carry a step on after the opponent has answered it."""
    return torch.optim.Adam(network.parameters(), rate, betas=_BETAS, foreach=True)


@dataclass(frozen=True)
class Step:
    """Figures of one training step: hinge losses, and the critic's mean score of photos and of fakes."""

    step: int
    critic_loss: torch.Tensor
    generator_loss: torch.Tensor
    real_score: torch.Tensor
    fake_score: torch.Tensor


def train(state: TrainingState, photos: torch.Tensor, settings: GeneratorSettings, engine: Engine) -> Iterator[Step]:
    """Train until `settings.steps`, yielding after each step; photos are uint8 (N, 3, S, S) on the CPU.

    One batch of fakes serves both updates of a step, which saves a generator pass.
    """
    while state.step < settings.steps:
        set_rates(
            {state.network_optimiser: settings.generator_rate, state.critic_optimiser: settings.critic_rate},
            state.step,
            settings,
        )
        rows = engine.team.rows(settings.batch, GROUP)
        real = photo_batch(photos, settings.batch, settings.mirror, state.streams, engine, rows)
        z = state.streams["latents"].normal(settings.batch, settings.latent_dim)[rows].to(engine.device)
        with engine.autocast():
            fake = state.network(z)
        critic_loss, real_score, fake_score = _critic_update(state, real, fake.detach(), settings, engine)
        generator_loss = _generator_update(state, fake, settings, engine)
        average_weights(state.average, state.network, state.step, settings)
        state.step += 1
        yield Step(state.step, critic_loss, generator_loss, real_score, fake_score)


def set_rates(rates: Mapping[torch.optim.Optimizer, float], step: int, settings: GeneratorSettings) -> None:
    """Set the optimisers' learning rates, given for the start, to what they are at a step."""
    left = (settings.steps - step) / settings.steps
    factor = 1.0 if left >= settings.rate_decay else 0.1 + 0.9 * left / settings.rate_decay
    for optimiser, rate in rates.items():
        for group in optimiser.param_groups:
            group["lr"] = rate * factor


def photo_batch(
    photos: torch.Tensor, count: int, mirror: bool, streams: Mapping[str, Stream], engine: Engine, rows: slice
) -> torch.Tensor:
    """Return `rows` of the next `count` photos, (B, 3, S, S) in [-1, 1], drawn from uint8 (N, 3, S, S).

    With `mirror` half of them are mirrored; the streams "photos" and "mirror" say which.
    """
    chosen = photos[streams["photos"].integers(count, len(photos))[rows]].to(engine.device)
    images = chosen.float() / 127.5 - 1
    if mirror:
        flip = streams["mirror"].uniform(count, 1)[rows, :, None, None] < 0.5
        images = torch.where(flip.to(engine.device), images.flip(-1), images)
    return images


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


def _critic_update(
    state: TrainingState, real: torch.Tensor, fake: torch.Tensor, settings: GeneratorSettings, engine: Engine
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    images = shown(state.streams["augment-critic"], settings, engine, real, fake)
    with engine.autocast():
        scores = state.critic(images)
    real_scores, fake_scores = (joined(own, settings, engine) for own in scores.chunk(2))
    loss = F.relu(1 - real_scores).mean() + F.relu(1 + fake_scores).mean()
    state.critic_optimiser.zero_grad()
    loss.backward()
    engine.team.sum_gradients(state.critic.parameters())
    state.critic_optimiser.step()
    return loss.detach(), real_scores.detach().mean(), fake_scores.detach().mean()


def _generator_update(
    state: TrainingState, fake: torch.Tensor, settings: GeneratorSettings, engine: Engine
) -> torch.Tensor:
    state.critic.requires_grad_(False)
    with engine.autocast():
        scores = state.critic(shown(state.streams["augment-generator"], settings, engine, fake))
    loss = -joined(scores, settings, engine).mean()
    state.network_optimiser.zero_grad()
    loss.backward()
    engine.team.sum_gradients(state.network.parameters())
    state.network_optimiser.step()
    state.critic.requires_grad_(True)
    return loss.detach()


@torch.no_grad()
def average_weights(average: nn.Module, network: nn.Module, step: int, settings: GeneratorSettings) -> None:
    """Move the average towards the network's weights and statistics as they are after step number `step` (from 0)."""
    seen = (step + 1) * settings.batch
    # Early on the half-life is a twentieth of what was seen, so that the first noise is forgotten (EDM2, appendix).
    half_life = min(settings.ema_images, 0.05 * seen)
    weight = 1 - 0.5 ** (settings.batch / half_life)
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), weight)
    for kept, new in zip(average.buffers(), network.buffers(), strict=True):
        if kept.is_floating_point():
            kept.lerp_(new, weight)
        else:
            kept.copy_(new)
