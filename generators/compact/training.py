"""Training a compact generator on photos: hinge loss, spectral norm, differentiable augmentation, weight average.

The loop is a Python generator that yields a small value a step; logging, checkpoints and pictures belong to the caller.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from generators.compact.adversarial import STREAMS, adam, average_weights, averaged, joined, set_rates, shown
from generators.compact.discriminator import Discriminator
from generators.compact.network import CompactNetwork, CompactShape
from generators.compact.settings import GROUP, GeneratorSettings
from generators.photo_training import photo_batch, placed
from toolkit.compute.engine import Engine
from toolkit.state import ResumableState, Stateful
from toolkit.streams import Stream


@dataclass
class GeneratorState(ResumableState):
    """Everything a run needs to resume: networks, optimisers, step and the positions of the random streams."""

    network: CompactNetwork
    average: CompactNetwork
    critic: Discriminator
    network_optimiser: torch.optim.Optimizer
    critic_optimiser: torch.optim.Optimizer
    streams: dict[str, Stream]
    step: int = 0

    @classmethod
    def start(cls, settings: GeneratorSettings, engine: Engine) -> "GeneratorState":
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


@dataclass(frozen=True)
class GeneratorStep:
    """Figures of one training step: hinge losses, and the critic's mean score of photos and of fakes."""

    step: int
    critic_loss: torch.Tensor
    generator_loss: torch.Tensor
    real_score: torch.Tensor
    fake_score: torch.Tensor


def train(
    state: GeneratorState, photos: torch.Tensor, settings: GeneratorSettings, engine: Engine
) -> Iterator[GeneratorStep]:
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
        yield GeneratorStep(state.step, critic_loss, generator_loss, real_score, fake_score)


def _critic_update(
    state: GeneratorState, real: torch.Tensor, fake: torch.Tensor, settings: GeneratorSettings, engine: Engine
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    images = shown(state.streams["augment-critic"], settings, engine, real, fake)
    with engine.autocast():
        scores = state.critic(images)
    real_scores, fake_scores = (joined(own, settings, engine) for own in scores.chunk(2))
    loss = F.relu(1 - real_scores).mean() + F.relu(1 + fake_scores).mean()
    state.critic_optimiser.zero_grad()
    with engine.team.summing(state.critic.parameters()):
        loss.backward()
    state.critic_optimiser.step()
    return loss.detach(), real_scores.detach().mean(), fake_scores.detach().mean()


def _generator_update(
    state: GeneratorState, fake: torch.Tensor, settings: GeneratorSettings, engine: Engine
) -> torch.Tensor:
    state.critic.requires_grad_(False)
    with engine.autocast():
        scores = state.critic(shown(state.streams["augment-generator"], settings, engine, fake))
    loss = -joined(scores, settings, engine).mean()
    state.network_optimiser.zero_grad()
    with engine.team.summing(state.network.parameters()):
        loss.backward()
    state.network_optimiser.step()
    state.critic.requires_grad_(True)
    return loss.detach()
