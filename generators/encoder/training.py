"""Training an encoder: the latent's likelihood on fresh samples, the image's reconstruction on photos.

The loop is a Python generator that yields a small value a step; logging, checkpoints and pictures belong to the caller.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from generators.compact.augmentation import NUM_UNIFORMS, augmented
from generators.encoder.network import EncoderNetwork, EncoderShape
from generators.encoder.reconstruction import LatentMoments, pyramid_error, rendered
from generators.encoder.settings import EncoderSettings
from generators.photo_training import photo_batch, placed
from generators.protocol import Generator
from toolkit.compute.engine import Engine
from toolkit.errors import UserError
from toolkit.state import ResumableState, Stateful
from toolkit.streams import Stream

_STREAMS = ("latents", "disturbance", "photos", "mirror")
_STRENGTH = 0.3  # of the augmentation of samples: colours, place and a hole, all mild enough to leave the latent true
_NOISE = 0.1  # largest half-width of the uniform noise of disturbed samples


def encoder_shape(generator: Generator, settings: EncoderSettings) -> EncoderShape:
    """Return the sizes of an encoder for `generator`: the largest power of two its side and the settings allow.

    UserError for a generator of classes or of fresh noise: an encoder estimates z and nothing else.
    """
    if generator.sample(1, Stream(0, "encoder-shape")).y is not None:
        raise UserError(
            f"{generator.name} draws a class or the noise's number beside each latent, which an encoder does not "
            "estimate; choose a generator without"
        )
    side = min(generator.image_size, settings.image_size)
    return EncoderShape(2 ** int(math.log2(side)), generator.latent_dim, settings.width)


@dataclass
class EncoderState(ResumableState):
    """Everything a run needs to resume: network, optimiser, step and the positions of the random streams."""

    network: EncoderNetwork
    optimiser: torch.optim.Optimizer
    streams: dict[str, Stream]
    step: int = 0

    @classmethod
    def start(cls, generator: Generator, settings: EncoderSettings, engine: Engine) -> "EncoderState":
        """Return the state before the first step, weights drawn from the settings' seed."""
        shape = encoder_shape(generator, settings)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            network = placed(EncoderNetwork(shape), engine)
        optimiser = torch.optim.Adam(network.parameters(), settings.rate, betas=(0.9, 0.99), foreach=True)
        return cls(network, optimiser, {name: Stream(settings.seed, name) for name in _STREAMS})

    def parts(self) -> dict[str, Stateful]:
        """Return network and optimiser by the name they are saved under."""
        return {"network": self.network, "optimiser": self.optimiser}


@dataclass(frozen=True)
class EncoderStep:
    """Figures of one training step; those of photos are None where there are none.

    latent_loss: negative log likelihood of a latent number, less its constant (0.5 for an encoder that knows nothing).
    photo_loss: pyramid error of the photos' reconstructions. prior_loss: divergence of the photos' latents.
    """

    step: int
    latent_loss: torch.Tensor
    photo_loss: torch.Tensor | None
    prior_loss: torch.Tensor | None


def train(
    state: EncoderState,
    generator: Generator,
    photos: torch.Tensor | None,
    settings: EncoderSettings,
    engine: Engine,
) -> Iterator[EncoderStep]:
    """Train until `settings.steps`, yielding after each step; photos are uint8 (N, 3, S, S) of the encoder's side.

    Samples and photos pass the network in one batch, so that batch norm sees in training the mixture that its running
    figures describe afterwards.
    """
    moments = LatentMoments.of(generator, engine.device)
    while state.step < settings.steps:
        for group in state.optimiser.param_groups:
            group["lr"] = learning_rate(state.step, settings)
        state.network.train()
        z, images = _samples(state, generator, settings, engine)
        real = images[:0]
        if photos is not None:
            rows = engine.team.rows(settings.photo_batch)
            real = photo_batch(photos, settings.photo_batch, settings.mirror, state.streams, engine, rows)
        with engine.autocast():
            estimates = torch.cat(state.network(torch.cat([images, real])), dim=1)
        mean, log_spread = engine.team.joined(estimates[: len(images)], settings.batch).chunk(2, dim=1)
        losses = negative_log_likelihood(z, mean, log_spread)
        # Weighted by the spread it estimates (2203.09168, beta 0.5): else a number it is sure of outweighs what it has
        # yet to learn, and means run away (worst R^2 of a number after 100 steps: -21 instead of 0.14).
        loss, photo_loss, prior_loss = (losses * log_spread.detach().exp()).mean(), None, None
        if photos is not None:
            own = estimates[len(images) :]
            with engine.autocast():
                errors = pyramid_error(rendered(generator, own.chunk(2, dim=1)[0], real.shape[-1]), real)
            photo_loss = engine.team.joined(errors, settings.photo_batch).mean()
            # The samples say how sure it may be; the photos' means have to fill what that leaves of the prior.
            mean, log_spread = engine.team.joined(own, settings.photo_batch).chunk(2, dim=1)
            prior_loss = moments.divergence(mean, log_spread.detach().exp())
            loss = loss + settings.photo_weight * photo_loss + settings.prior_weight * prior_loss
        state.optimiser.zero_grad()
        with engine.team.summing(state.network.parameters()):
            loss.backward()
        state.optimiser.step()
        state.step += 1
        yield EncoderStep(state.step, losses.detach().mean(), _detached(photo_loss), _detached(prior_loss))


@torch.no_grad()
def _samples(
    state: EncoderState, generator: Generator, settings: EncoderSettings, engine: Engine
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return fresh latents (B, D) and, of this process's rows, their images (b, 3, S, S), a share of them disturbed."""
    z = generator.sample(settings.batch, state.streams["latents"]).z.to(engine.device)
    rows = engine.team.rows(settings.batch)
    with engine.autocast():
        images = rendered(generator, z[rows], state.network.shape.image_size)
    count, stream = round(settings.disturbed * settings.batch), state.streams["disturbance"]
    own = max(0, min(rows.stop, count) - rows.start)  # the batch's first ones are disturbed
    end = stream.position + count
    stream.position += min(rows.start, count)
    if own:
        images = torch.cat([disturbed(images[:own], stream), images[own:]])
    stream.position = end
    return z, images


def negative_log_likelihood(z: torch.Tensor, mean: torch.Tensor, log_spread: torch.Tensor) -> torch.Tensor:
    """Return -log N(z; mean, exp(log_spread)) of each number, all (B, D), less log(2 pi) / 2."""
    return 0.5 * ((z - mean) * torch.exp(-log_spread)) ** 2 + log_spread


def learning_rate(step: int, settings: EncoderSettings) -> float:
    """Return the rate before `step`: along cosines up from a 25th of its peak and down to 0 (1803.09820)."""
    warm = settings.warm_up * settings.steps
    if step < warm:
        return settings.rate * (1 - 0.96 * 0.5 * (1 + math.cos(math.pi * step / warm)))
    return settings.rate * 0.5 * (1 + math.cos(math.pi * (step - warm) / (settings.steps - warm)))


def disturbed(images: torch.Tensor, stream: Stream) -> torch.Tensor:
    """Return images (B, 3, S, S) mildly recoloured, moved, covered, blurred and noised by the stream's next rows.

    An encoder for photos has to look past what no generator draws.
    """
    numbers = stream.uniform(len(images), NUM_UNIFORMS + 2 + images[0].numel()).to(images)
    chosen, levels, noise = numbers.split([NUM_UNIFORMS, 2, images[0].numel()], dim=1)
    images = augmented(images, chosen, _STRENGTH)
    blur, grain = levels[:, 0, None, None, None], levels[:, 1, None, None, None]
    images = images.lerp(F.avg_pool2d(F.pad(images, (1,) * 4, mode="replicate"), 3, stride=1), blur)
    return images + _NOISE * grain * (2 * noise.view_as(images) - 1)


def _detached(value: torch.Tensor | None) -> torch.Tensor | None:
    return None if value is None else value.detach()
