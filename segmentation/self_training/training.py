"""Training a U-Net on real photos and masks made without labels (see segmentation.self_training.pseudo_masks).

The loop is a Python generator that yields a small value a step; logging, checkpoints and pictures belong to the caller.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch.optim.swa_utils import AveragedModel

from segmentation.self_training.settings import SelfTrainingSettings
from segmentation.synthesis.synthesizer import Share, SyntheticBatch
from segmentation.unet.augmentation import LIGHT_UNIFORMS, NUM_UNIFORMS, augmented, relit
from segmentation.unet.network import UNet
from segmentation.unet.training import SegmentationStep, fresh_network, update
from segmentation.unet.validation import validate
from toolkit.compute.engine import Engine
from toolkit.errors import UserError, named
from toolkit.state import ResumableState, Stateful
from toolkit.streams import Stream

_LEAST = 8  # photos to train on
_YOUTH = 10  # steps after which the average is of more than the last few weights


@dataclass(frozen=True)
class MaskedPhotos:
    """Photos uint8 (N, 3, S, S) with masks (N, S, S) bool, on the CPU, given out as batches of at most `batch`."""

    photos: torch.Tensor
    masks: torch.Tensor
    batch: int

    @property
    def count(self) -> int:
        """Return how many photos there are."""
        return len(self.photos)

    def __getitem__(self, rows: slice | torch.Tensor) -> SyntheticBatch:
        return SyntheticBatch(self.photos[rows].float() / 127.5 - 1, self.masks[rows])

    def __iter__(self) -> Iterator[SyntheticBatch]:
        for start in range(0, self.count, self.batch):
            yield self[start : start + self.batch]

    def split(self, share: float) -> "tuple[MaskedPhotos, MaskedPhotos]":
        """Return (photos to train on, photos held out), the latter `share` of all, spread evenly over their order.

        UserError when fewer than 8 remain to train on.
        """
        count = int(share * self.count)
        held = torch.zeros(self.count, dtype=torch.bool)
        held[torch.arange(count) * self.count // max(count, 1)] = True
        if self.count - count < _LEAST:
            raise UserError(
                f"only {self.count - count} photos have masks fit to train on, and {_LEAST} are needed; give more "
                f"photos of the kind the segmenter knows, or ease {named('agreement')}, {named('min_area')} "
                f"or {named('max_area')} with another {named('out')}"
            )
        parts = (MaskedPhotos(self.photos[rows], self.masks[rows], self.batch) for rows in (~held, held))
        return next(parts), next(parts)


@dataclass
class SelfTrainingState(ResumableState):
    """Everything a round needs to resume: networks, optimiser, step and the positions of the random streams.

    `average` holds the mean of the weights over the last steps, exponentially weighted (mean teacher, Tarvainen and
    Valpola 2017, 1703.01780): masks without a label are wrong at random, and the mean follows single batches less.
    """

    network: UNet
    average: AveragedModel
    optimiser: torch.optim.Optimizer
    streams: dict[str, Stream]
    step: int = 0

    @classmethod
    def start(cls, settings: SelfTrainingSettings, engine: Engine) -> "SelfTrainingState":
        """Return the state before the first step, weights drawn from the settings' seed: a new network a round.

        One that starts from its teacher's weights keeps more of its errors.
        """
        network = fresh_network(settings.width, settings.seed, engine)
        optimiser = torch.optim.Adam(network.parameters(), settings.rate, fused=True)
        average = AveragedModel(network, avg_fn=_mean_of(settings.memory), use_buffers=True)
        streams = {name: Stream(settings.seed, name) for name in ("photos", "views", "lights")}
        return cls(network, average, optimiser, streams)

    def parts(self) -> dict[str, Stateful]:
        """Return networks and optimiser by the name they are saved under."""
        return {"network": self.network, "average": self.average, "optimiser": self.optimiser}

    @property
    def learnt(self) -> UNet:
        """Return the network with averaged weights: what the round is for."""
        return cast(UNet, self.average.module)


def _mean_of(memory: float) -> Callable[[torch.Tensor, torch.Tensor, torch.Tensor | int], torch.Tensor]:
    """Return how a weight and its average become the next average; it forgets faster while it is young."""

    def mean(average: torch.Tensor, weight: torch.Tensor, count: torch.Tensor | int) -> torch.Tensor:
        if not weight.is_floating_point():
            return weight  # a count of batches
        keep = min(memory, int(count) / (int(count) + _YOUTH))
        return average + (weight - average) * (1 - keep)

    return mean


def train(
    state: SelfTrainingState, masked: MaskedPhotos, settings: SelfTrainingSettings, engine: Engine
) -> Iterator[SegmentationStep]:
    """Train until `settings.steps`, yielding after each step; a share of the photos is held out for validation.

    UserError when too few photos are fit to train on.
    """
    training, held_out = masked.split(settings.held_out_share)
    state.network.train()
    while state.step < settings.steps:
        rows = state.streams["photos"].integers(settings.batch, training.count)
        views = state.streams["views"].uniform(settings.batch, NUM_UNIFORMS)
        lights = state.streams["lights"].uniform(settings.batch, LIGHT_UNIFORMS)
        batch = relit(augmented(training[rows].to(engine.device), views), lights)
        rate = settings.rate * (1 if state.step < (1 - settings.decay_share) * settings.steps else 0.2)
        loss = update(state.network, state.optimiser, Share.whole(batch), rate, engine)
        state.average.update_parameters(state.network)
        state.step += 1
        due = state.step % settings.validate_every == 0 or state.step == settings.steps
        validation = validate(state.learnt, held_out, engine) if due and held_out.count else None
        yield SegmentationStep(state.step, loss, rate, validation)
