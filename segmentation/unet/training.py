"""Training a U-Net on synthetic images with masks.

The loop is a Python generator that yields a small value a step; logging, checkpoints and pictures belong to
the caller.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F

from generators.protocol import Generator
from segmentation.synthesis.prefetch import Prefetched
from segmentation.synthesis.synthesizer import LatentSource, MaskSynthesizer, Share
from segmentation.unet.augmentation import NUM_UNIFORMS, augmented
from segmentation.unet.network import UNet
from segmentation.unet.settings import SegmentationSettings
from segmentation.unet.validation import HeldOut, Validation, validate
from toolkit.compute.batch_norm import synchronised
from toolkit.compute.batches import even_slices, with_last
from toolkit.compute.engine import Engine
from toolkit.compute.memory import training_bytes
from toolkit.moves import AnyShift
from toolkit.streams import Stream


@dataclass
class SegmentationState:
    """Everything a run needs to go on: network, optimiser, step, synthesizer and the streams' positions."""

    network: UNet
    optimiser: torch.optim.Optimizer
    synthesizer: MaskSynthesizer
    held_out: HeldOut
    views: Stream
    step: int = 0

    @classmethod
    def start(
        cls,
        generator: Generator,
        shift: AnyShift,
        settings: SegmentationSettings,
        engine: Engine,
        source: LatentSource,
    ) -> "SegmentationState":
        """Return the state before the first step, weights drawn from the settings' seed; shift (D,).

        UserError where a batch is too small for the processes.
        """
        for rows in even_slices(settings.batch, settings.micro_batch):
            engine.team.rows(rows.stop - rows.start)
        network = fresh_network(settings.width, settings.seed, engine)
        generator, shift = generator.to(engine.device), shift.to(engine.device)
        held_out = MaskSynthesizer(generator, shift, settings, source, "validation", replace(engine, compile=False))
        return cls(
            network,
            torch.optim.Adam(network.parameters(), settings.rate, fused=True),
            MaskSynthesizer(generator, shift, settings, source, "training", engine),
            HeldOut(held_out, settings.validation_samples, settings.batch),
            Stream(settings.seed, "views"),
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain values and tensors; the held-out samples are made again from the seed."""
        return {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "synthesizer": self.synthesizer.state_dict(),
            "views": self.views.position,
            "step": self.step,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.synthesizer.load_state_dict(state["synthesizer"])
        self.views.position = state["views"]
        self.step = state["step"]


@dataclass(frozen=True)
class SegmentationStep:
    """Figures of one training step; `validation` is there at the steps that validate."""

    step: int
    loss: torch.Tensor
    rate: float
    validation: Validation | None


def train(
    state: SegmentationState, settings: SegmentationSettings, engine: Engine, ahead: int | None = None
) -> Iterator[SegmentationStep]:
    """Train until `settings.steps`, yielding after each step.

    `ahead` batches are rendered beside the training: unless given one on a GPU, which does both at once, and none on a
    CPU, whose cores are busy anyway, or by several processes, which would have to exchange samples and gradients in the
    same order. UserError when the filters leave too few samples to fill a batch.
    """
    ahead = int(engine.device.type == "cuda") if ahead is None else ahead
    ahead = ahead if engine.team.size == 1 else 0
    state.network.train()
    forward = engine.fast(state.network)
    with contextlib.ExitStack() as stack:
        next_share: Callable[[], Share] = partial(state.synthesizer.share, settings.batch, settings.micro_batch)
        if ahead:
            rendered = stack.enter_context(Prefetched(state.synthesizer, settings.batch, ahead))
            next_share = rendered.share
        while state.step < settings.steps:
            share = next_share()
            if settings.augment:
                uniforms = state.views.uniform(settings.batch, NUM_UNIFORMS)[share.places]
                share = replace(share, samples=augmented(share.samples, uniforms))
            rate = rate_at(state.step, settings)
            loss = update(state.network, state.optimiser, share, rate, engine, settings.micro_batch, forward)
            state.step += 1
            due = state.step % settings.validate_every == 0 or state.step == settings.steps
            validation = validate(state.network, state.held_out, engine) if due and state.held_out.count else None
            yield SegmentationStep(state.step, loss, rate, validation)


def fresh_network(width: int, seed: int, engine: Engine) -> UNet:
    """Return an untrained U-Net on the engine's device, its weights drawn from `seed`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = UNet(width=width)
    # Channels last halves the time of a bf16 forward pass on CPUs; a first convolution passes it on.
    return synchronised(network.to(engine.device).to(memory_format=torch.channels_last), engine.team)


def bytes_needed(settings: SegmentationSettings, image_shape: tuple[int, int], bf16: bool) -> Callable[[int], int]:
    """Return a function from the samples at a time to the bytes that a step on them needs (toolkit.compute.memory)."""
    engine = Engine(torch.device("cpu"), bf16)
    network = fresh_network(settings.width, settings.seed, engine)

    def step(count: int) -> torch.Tensor:
        images = torch.zeros(count, 3, *image_shape)
        with engine.autocast():
            logits = network(images)
        return F.cross_entropy(logits.float(), torch.zeros_like(images[:, 0]).long())

    return training_bytes(step, network.parameters())


def rate_at(step: int, settings: SegmentationSettings) -> float:
    """Return the learning rate of the update after `step` updates: a staircase, a drop every `decay_every`."""
    return settings.rate * settings.rate_decay ** (step // settings.decay_every)


def update(
    network: UNet,
    optimiser: torch.optim.Optimizer,
    batch: Share,
    rate: float,
    engine: Engine,
    micro_batch: int | None = None,
    forward: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> torch.Tensor:
    """Do one Adam step on the mean cross entropy of a batch's pixels; return the loss from before the step.

    With `micro_batch` the gradients of so many samples at a time add up to that of the whole mean. `forward` is another
    way to call the network.
    """
    forward = forward or network
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.zero_grad()
    losses = torch.zeros((), device=engine.device)
    for own, last in with_last(batch.parts(micro_batch)):
        with engine.autocast():
            logits = forward(own.images)
        loss = F.cross_entropy(logits.float(), own.masks.long()) * (len(own) / batch.count)
        with engine.team.summing(network.parameters(), last):
            loss.backward()
        losses += loss.detach()
    optimiser.step()
    return engine.team.total(losses)
