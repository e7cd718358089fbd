"""Direction discovery: a deformator and a reconstructor trained together over a frozen generator.

Voynov & Babenko, "Unsupervised Discovery of Interpretable Directions in the GAN Latent Space" (ICML 2020),
section 3. The loop is a Python generator that yields a small value a step; logging, charts and checkpoints
belong to the caller.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from discovery.methods.deformator.deformators import Deformator, make_deformator
from discovery.methods.deformator.reconstructors import make_reconstructor
from discovery.settings import DiscoverySettings
from generators.protocol import Generator, Inspectable, Latents, image_shape
from toolkit.compute.batch_norm import synchronised
from toolkit.compute.batches import even_slices, with_last
from toolkit.compute.engine import Engine
from toolkit.compute.memory import training_bytes
from toolkit.directions import DirectionSet
from toolkit.errors import UserError, named
from toolkit.state import ResumableState, Stateful
from toolkit.streams import Stream

STREAMS = ("latents", "directions", "shifts")
_LENET_SIDE = 32
Calls = tuple[Callable[[Latents], torch.Tensor], Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, ...]]]


@dataclass
class DiscoveryState(ResumableState):
    """Everything a run needs to resume: networks, optimisers, step and the positions of the random streams.

    `deformator_optimiser` is None for the kinds that learn nothing (id, random).
    """

    deformator: Deformator
    reconstructor: nn.Module
    deformator_optimiser: torch.optim.Optimizer | None
    reconstructor_optimiser: torch.optim.Optimizer
    streams: dict[str, Stream]
    step: int = 0

    @classmethod
    def start(cls, generator: Generator, settings: DiscoverySettings, engine: Engine) -> "DiscoveryState":
        """Return the state before the first step, weights drawn from the seed; UserError if it cannot be."""
        side = settings.reconstructor_size or min(image_shape(generator))
        if settings.reconstructor == "lenet" and side < _LENET_SIDE:
            raise UserError(
                f"the lenet reconstructor needs images of at least {_LENET_SIDE} pixels, but these have "
                f"{side}; use {named('reconstructor', 'resnet')}"
            )
        num_directions = settings.directions or generator.latent_dim
        deformator = make_deformator(
            settings.deformator,
            num_directions,
            generator.latent_dim,
            random_init=settings.random_init,
            seed=settings.seed,
        ).to(engine.device)
        reconstructor = make_reconstructor(
            settings.reconstructor, num_directions, size=settings.reconstructor_size, seed=settings.seed
        ).to(memory_format=torch.channels_last)
        reconstructor = synchronised(reconstructor.to(engine.device), engine.team)
        learnt = list(deformator.parameters())
        return cls(
            deformator,
            reconstructor,
            torch.optim.Adam(learnt, settings.deformator_rate, fused=True) if learnt else None,
            torch.optim.Adam(_learnt(reconstructor), settings.reconstructor_rate, fused=True),
            {name: Stream(settings.seed, f"discover-{name}") for name in STREAMS},
        )

    def parts(self) -> dict[str, Stateful]:
        """Return networks and optimisers by the name they are saved under."""
        parts: dict[str, Stateful] = {
            "deformator": self.deformator,
            "reconstructor": self.reconstructor,
            "reconstructor_optimiser": self.reconstructor_optimiser,
        }
        if self.deformator_optimiser is not None:
            parts["deformator_optimiser"] = self.deformator_optimiser
        return parts


@dataclass(frozen=True)
class ShiftBatch:
    """What one step shows: B latents, direction numbers (B,) int64, shifts (B,) in latent units."""

    latents: Latents
    index: torch.Tensor
    alpha: torch.Tensor

    def basis(self, num_directions: int) -> torch.Tensor:
        """Return the shifts in the space of direction numbers, (B, K): alpha at the index, zero elsewhere."""
        return F.one_hot(self.index, num_directions) * self.alpha[:, None]

    def __len__(self) -> int:
        return len(self.latents)

    def parts(self, size: int | None) -> "Iterator[ShiftBatch]":
        """Yield the samples in order, at most `size` at a time, or all at once."""
        for rows in even_slices(len(self), size):
            yield ShiftBatch(self.latents[rows], self.index[rows], self.alpha[rows])


@dataclass(frozen=True)
class DiscoveryStep:
    """Figures of one training step, 0-d tensors, before its update.

    `shift_loss` is the mean absolute error in latent units (unweighted), `accuracy` the share of directions
    classified correctly.
    """

    step: int
    loss: torch.Tensor
    label_loss: torch.Tensor
    shift_loss: torch.Tensor
    accuracy: torch.Tensor


def discover(
    state: DiscoveryState, generator: Generator, settings: DiscoverySettings, engine: Engine
) -> Iterator[DiscoveryStep]:
    """Train until `settings.steps`, yielding after each step; the generator is never changed."""
    calls = engine.fast(generator.__call__), engine.fast(state.reconstructor)
    while state.step < settings.steps:
        batch = draw_batch(state.streams, generator, state.deformator.num_directions, settings, engine)
        yield update(state, generator, batch, settings, engine, calls)


def draw_batch(
    streams: dict[str, Stream],
    generator: Generator,
    num_directions: int,
    settings: DiscoverySettings,
    engine: Engine,
) -> ShiftBatch:
    """Return the next batch of latents, direction numbers and shifts on the engine's device."""
    latents = generator.sample(settings.batch, streams["latents"], settings.truncation)
    index = streams["directions"].integers(settings.batch, num_directions)
    if settings.alpha_distribution == "normal":
        alpha = streams["shifts"].normal(settings.batch, 1)[:, 0] * settings.max_alpha
    else:
        alpha = spread(streams["shifts"].uniform(settings.batch, 1)[:, 0], settings.max_alpha)
    alpha = clear_of_zero(alpha.float(), settings.min_alpha)
    return ShiftBatch(latents.to(engine.device), index.to(engine.device), alpha.to(engine.device))


def spread(uniform: torch.Tensor, scale: float) -> torch.Tensor:
    """Return numbers from (0, 1) stretched over (-scale, scale)."""
    return scale * (2 * uniform - 1)


def clear_of_zero(alpha: torch.Tensor, min_alpha: float) -> torch.Tensor:
    """Return shifts, those nearer to zero than `min_alpha` moved out to it, sign kept; an exact 0 stays."""
    return alpha.sign() * alpha.abs().clamp_min(min_alpha)


def update(
    state: DiscoveryState,
    generator: Generator,
    batch: ShiftBatch,
    settings: DiscoverySettings,
    engine: Engine,
    calls: Calls | None = None,
) -> DiscoveryStep:
    """Take one optimiser step on `batch` and return its figures.

    With `settings.micro_batch` the gradients of so many samples at a time add up to those of the batch's mean loss.
    `calls` are other ways to call generator and reconstructor.
    """
    state.deformator.train()
    state.reconstructor.train()
    optimisers = [o for o in (state.deformator_optimiser, state.reconstructor_optimiser) if o is not None]
    for optimiser in optimisers:
        optimiser.zero_grad()
    learnt = [*state.deformator.parameters(), *_learnt(state.reconstructor)]
    figures = torch.zeros(4, device=engine.device)
    for part, last in with_last(batch.parts(settings.micro_batch)):
        share = len(part) / len(batch)
        loss, *others = _losses(state, calls or (generator, state.reconstructor), part, settings, engine)
        # Naming the inputs keeps the generator's weights out of it, even when they ask for gradients.
        with engine.team.summing(learnt, last):
            (share * loss).backward(inputs=learnt)
        figures += share * torch.stack([loss.detach(), *others])
    for optimiser in optimisers:
        optimiser.step()
    state.step += 1
    return DiscoveryStep(state.step, *figures)


def _losses(
    state: DiscoveryState, calls: Calls, batch: ShiftBatch, settings: DiscoverySettings, engine: Engine
) -> tuple[torch.Tensor, ...]:
    """Return the mean loss of a batch shared by all processes and, detached, its two terms and the accuracy."""
    # Every process computes all shifts, which cost nothing beside images, and renders its own rows.
    shift = state.deformator(batch.basis(state.deformator.num_directions))
    rows = engine.team.rows(len(batch))
    latents, (generate, reconstruct) = batch.latents[rows], calls
    # Two calls, not one batch of both: G(z) needs no gradient, and a shared batch would compute one for it too
    # (0.56 s against 0.82 s forward and back, 32 images of 64 pixels on one core).
    with engine.autocast():
        with torch.no_grad():
            before = generate(latents)
        after = generate(latents.shifted(shift[rows]))
        answers = reconstruct(before, after)
    logits, predicted = (engine.team.joined(values, len(batch)) for values in answers)
    label_loss = F.cross_entropy(logits, batch.index)
    shift_loss = (predicted - batch.alpha).abs().mean()
    loss = settings.label_weight * label_loss + settings.shift_weight * shift_loss
    accuracy = (logits.detach().argmax(dim=1) == batch.index).float().mean()
    return loss, label_loss.detach(), shift_loss.detach(), accuracy


def bytes_needed(generator: Generator, settings: DiscoverySettings, bf16: bool) -> Callable[[int], int]:
    """Return a function from the samples at a time to the bytes that a step on them needs (see toolkit.compute.memory).

    The generator has to be on the CPU, where this is found out.
    """
    engine = Engine(torch.device("cpu"), bf16)
    state = DiscoveryState.start(generator, settings, engine)
    learnt = [*state.deformator.parameters(), *state.reconstructor.parameters()]
    network = generator.network if isinstance(generator, Inspectable) else nn.Module()

    def step(count: int) -> torch.Tensor:
        some = replace(settings, batch=count)
        batch = draw_batch(state.streams, generator, state.deformator.num_directions, some, engine)
        return _losses(state, (generator, state.reconstructor), batch, some, engine)[0]

    return training_bytes(step, learnt, [*network.parameters(), *network.buffers()], least=2)


def _learnt(network: nn.Module) -> list[nn.Parameter]:
    return [weight for weight in network.parameters() if weight.requires_grad]


def direction_set(
    state: DiscoveryState, generator: Generator, settings: DiscoverySettings, card: Mapping[str, Any]
) -> DirectionSet:
    """Return the deformator's K directions as unit vectors, with `card` and the settings in its card.

    The score column `length` holds the latent length of a unit shift, which the unit vectors no longer show.
    """
    vectors = state.deformator.directions(settings.max_alpha).cpu()
    return DirectionSet(
        vectors,
        generator.name,
        f"discover ({settings.deformator})",
        scores={"length": vectors.norm(dim=1).tolist()},
        card={**card, "step": state.step, "settings": settings.defining()},
    )
