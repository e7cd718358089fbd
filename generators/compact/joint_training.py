"""Training generator, encoder and joint discriminator together on photos: BigBiGAN (1907.02544, section 2).

The discriminator sees photos with the latents the encoder finds in them, and samples with the latents they were drawn
from. Where it cannot distinguish the two kinds of pairs, the encoder inverts the generator.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from generators.compact.adversarial import STREAMS, adam, average_weights, averaged, joined, set_rates, shown
from generators.compact.joint_critic import JointDiscriminator
from generators.compact.network import CompactNetwork, CompactShape
from generators.compact.settings import GROUP, GeneratorSettings
from generators.encoder.network import EncoderNetwork, EncoderShape
from generators.encoder.training import negative_log_likelihood
from generators.photo_training import photo_batch, placed
from toolkit.compute.engine import Engine
from toolkit.pictures.pixels import resize
from toolkit.state import ResumableState, Stateful
from toolkit.streams import Stream


@dataclass
class JointState(ResumableState):
    """Everything a run needs to resume: three networks, two averages, optimisers, step and random streams."""

    network: CompactNetwork
    average: CompactNetwork
    encoder: EncoderNetwork
    encoder_average: EncoderNetwork
    critic: JointDiscriminator
    network_optimiser: torch.optim.Optimizer
    encoder_optimiser: torch.optim.Optimizer
    critic_optimiser: torch.optim.Optimizer
    streams: dict[str, Stream]
    step: int = 0

    @classmethod
    def start(cls, settings: GeneratorSettings, engine: Engine) -> "JointState":
        """Return the state before the first step, weights drawn from the settings' seed."""
        size, latent_dim = settings.image_size, settings.latent_dim
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            network = placed(CompactNetwork(CompactShape(size, latent_dim, settings.width)), engine)
            shape = EncoderShape(settings.photo_size, latent_dim, settings.encoder_width)
            encoder = placed(EncoderNetwork(shape), engine)
            critic = placed(JointDiscriminator(size, settings.critic_width, latent_dim, settings.joint_width), engine)
        return cls(
            network,
            averaged(network),
            encoder,
            averaged(encoder),
            critic,
            adam(network, settings.generator_rate),
            adam(encoder, settings.encoder_rate),
            adam(critic, settings.critic_rate),
            {name: Stream(settings.seed, name) for name in (*STREAMS, "encoder-noise")},
        )

    def parts(self) -> dict[str, Stateful]:
        """Return networks and optimisers by the name they are saved under."""
        return {
            "network": self.network,
            "average": self.average,
            "encoder": self.encoder,
            "encoder_average": self.encoder_average,
            "critic": self.critic,
            "network_optimiser": self.network_optimiser,
            "encoder_optimiser": self.encoder_optimiser,
            "critic_optimiser": self.critic_optimiser,
        }


@dataclass(frozen=True)
class JointStep:
    """Figures of one training step: losses, mean scores of photos and of samples, and what the encoder knows.

    `latent_loss` is the Gaussian negative log-likelihood, a latent number and without its constant, of z given G(z):
    0.5 for an encoder that knows nothing.
    """

    step: int
    critic_loss: torch.Tensor
    generator_loss: torch.Tensor
    encoder_loss: torch.Tensor
    latent_loss: torch.Tensor
    real_score: torch.Tensor
    fake_score: torch.Tensor
    real_pair_score: torch.Tensor
    fake_pair_score: torch.Tensor


def train_jointly(
    state: JointState, photos: torch.Tensor, settings: GeneratorSettings, engine: Engine
) -> Iterator[JointStep]:
    """Train until `settings.steps`, yielding after each step; photos are uint8 (N, 3, P, P), P `photo_size`.

    One batch of samples and of encoded photos serves both updates of a step, which saves a pass of each network.
    """
    size = (settings.image_size, settings.image_size)
    while state.step < settings.steps:
        set_rates(_rates(state, settings), state.step, settings)
        rows = engine.team.rows(settings.batch, GROUP)
        real = photo_batch(photos, settings.batch, settings.mirror, state.streams, engine, rows)
        z = state.streams["latents"].normal(settings.batch, settings.latent_dim)[rows].to(engine.device)
        with engine.autocast():
            fake = state.network(z)
        codes, latent_loss = _encoded(state, real, fake, z, settings, engine)
        pairs = _Pairs(resize(real, size), codes, fake, z)
        figures = _critic_update(state, pairs, settings, engine)
        losses = _players_update(state, pairs, latent_loss, settings, engine)
        average_weights(state.average, state.network, state.step, settings)
        average_weights(state.encoder_average, state.encoder, state.step, settings)
        state.step += 1
        yield JointStep(step=state.step, latent_loss=latent_loss.detach(), **losses, **figures)


@dataclass(frozen=True)
class _Pairs:
    """Photos (B, 3, S, S) with their codes (B, D), and samples with the latents they were drawn from."""

    real: torch.Tensor
    codes: torch.Tensor
    fake: torch.Tensor
    z: torch.Tensor


def _rates(state: JointState, settings: GeneratorSettings) -> dict[torch.optim.Optimizer, float]:
    return {
        state.network_optimiser: settings.generator_rate,
        state.encoder_optimiser: settings.encoder_rate,
        state.critic_optimiser: settings.critic_rate,
    }


def _encoded(
    state: JointState,
    real: torch.Tensor,
    fake: torch.Tensor,
    z: torch.Tensor,
    settings: GeneratorSettings,
    engine: Engine,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return latents (B, D) drawn from the encoder's answer to photos, and its loss on samples whose z is known.

    The encoder sees what nobody changed: augmentation belongs to the discriminator. Photos and samples pass together,
    so that batch norm sees both.
    """
    share = settings.latent_share
    offered = fake.detach() if share == 0 else share * fake + (1 - share) * fake.detach()
    images = torch.cat([real, resize(offered, (settings.photo_size, settings.photo_size))])
    with engine.autocast():
        means, log_spreads = state.encoder(images)
    (mean, fake_mean), (log_spread, fake_log_spread) = means.chunk(2), log_spreads.chunk(2)
    noise = state.streams["encoder-noise"].normal(settings.batch, mean.shape[1])
    codes = mean + log_spread.exp() * noise[engine.team.rows(settings.batch, GROUP)].to(mean)
    losses = negative_log_likelihood(z, fake_mean, fake_log_spread)
    return codes, joined(losses, settings, engine).mean()


def _critic_update(
    state: JointState, pairs: _Pairs, settings: GeneratorSettings, engine: Engine
) -> dict[str, torch.Tensor]:
    images = shown(state.streams["augment-critic"], settings, engine, pairs.real, pairs.fake.detach())
    with engine.autocast():
        scores = state.critic(images, torch.cat([pairs.codes.detach(), pairs.z]))
    real, fake = (own.over(lambda values: joined(values, settings, engine)) for own in scores.chunk())
    loss = real.hinge(+1) + fake.hinge(-1)
    state.critic_optimiser.zero_grad()
    with engine.team.summing(state.critic.parameters()):
        loss.backward()
    state.critic_optimiser.step()
    return {
        "critic_loss": loss.detach(),
        "real_score": real.image.detach().mean(),
        "fake_score": fake.image.detach().mean(),
        "real_pair_score": real.pair.detach().mean(),
        "fake_pair_score": fake.pair.detach().mean(),
    }


def _players_update(
    state: JointState, pairs: _Pairs, latent_loss: torch.Tensor, settings: GeneratorSettings, engine: Engine
) -> dict[str, torch.Tensor]:
    """Update generator and encoder: they lower the scores of encoded photos and raise those of samples."""
    state.critic.requires_grad_(False)
    stream = state.streams["augment-generator"]
    with engine.autocast():
        with torch.no_grad():
            features = state.critic.images.features(shown(stream, settings, engine, pairs.real))
        encoder_loss = joined(state.critic.judge(features, pairs.codes).total(), settings, engine).mean()
        judged = state.critic(shown(stream, settings, engine, pairs.fake), pairs.z)
        generator_loss = -joined(judged.total(), settings, engine).mean()
    state.network_optimiser.zero_grad()
    state.encoder_optimiser.zero_grad()
    with engine.team.summing([*state.network.parameters(), *state.encoder.parameters()]):
        (encoder_loss + generator_loss + settings.latent_weight * latent_loss).backward()
    state.network_optimiser.step()
    state.encoder_optimiser.step()
    state.critic.requires_grad_(True)
    return {"generator_loss": generator_loss.detach(), "encoder_loss": encoder_loss.detach()}
