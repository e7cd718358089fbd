"""How well a network does on held-out synthetic samples."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F

from segmentation.evaluate.counts import NUM_THRESHOLDS, mask_counts, threshold_counts
from segmentation.evaluate.measures import accuracy, f_beta, iou
from segmentation.synthesis.synthesizer import MaskSynthesizer, SyntheticBatch
from segmentation.unet.network import UNet
from toolkit.compute.engine import Engine
from toolkit.pictures.pixels import from_bytes, to_bytes

_BINS = 15


class HeldOut:
    """Synthetic samples that training never sees: image bytes and masks on the CPU, made at first use.

    Eight bits a value, as in a photo file, so that a thousand samples of 128 pixels fit in 66 MB. Each process has its
    share of them.
    """

    def __init__(self, synthesizer: MaskSynthesizer, count: int, batch: int) -> None:
        self.synthesizer = synthesizer
        self.count = count
        self.batch = batch

    @cached_property
    def _samples(self) -> tuple[np.ndarray, torch.Tensor]:
        sizes = [min(self.batch, self.count - start) for start in range(0, self.count, self.batch)]
        parts = [(to_bytes(made.images), made.masks.cpu()) for made in map(self._made, sizes)]
        return np.concatenate([pixels for pixels, _ in parts]), torch.cat([masks for _, masks in parts])

    def _made(self, count: int) -> SyntheticBatch:
        return self.synthesizer.share(count).samples

    def __iter__(self) -> Iterator[SyntheticBatch]:
        pixels, masks = self._samples
        for start in range(0, len(masks), self.batch):
            rows = slice(start, start + self.batch)
            yield SyntheticBatch(from_bytes(pixels[rows]), masks[rows])


@dataclass(frozen=True)
class Validation:
    """Figures on held-out synthetic samples in evaluation mode.

    Mean cross entropy; IoU and accuracy at 0.5 and maximal F, as segmentation.evaluate.measures defines them; and the
    expected calibration error of the foreground probability over all pixels, 15 bins (Guo et al. 2017): 0 means that of
    the pixels given probability p, a share p is foreground.
    """

    loss: float
    iou: float
    accuracy: float
    max_f: float
    calibration_error: float


class Samples(Protocol):
    """Samples with masks, batch by batch; of several processes each has its share."""

    @property
    def count(self) -> int:
        """Return the number of samples that all processes have."""
        ...

    def __iter__(self) -> Iterator[SyntheticBatch]: ...


@torch.no_grad()
def validate(network: UNet, held_out: Samples, engine: Engine) -> Validation:
    """Return the figures of `network` on the held-out samples; it is left in training mode."""
    network.eval()
    sums, curve = np.zeros(3), np.zeros(NUM_THRESHOLDS)
    pixels, certainty, hits = (np.zeros(_BINS) for _ in range(3))
    for batch in held_out:
        with engine.autocast():
            logits = network(batch.images.to(engine.device)).float()
        losses = F.cross_entropy(logits, batch.masks.long().to(engine.device), reduction="none").mean(dim=(1, 2))
        probability, truth = logits.softmax(dim=1)[:, 1].cpu().numpy(), batch.masks.numpy()
        counts = mask_counts(probability >= 0.5, truth)
        sums += [losses.sum().item(), np.sum(iou(counts)), np.sum(accuracy(counts))]
        curve += f_beta(threshold_counts(probability, truth)).sum(axis=0)
        bins = np.minimum((probability * _BINS).astype(int), _BINS - 1).ravel()
        pixels += np.bincount(bins, minlength=_BINS)
        certainty += np.bincount(bins, probability.ravel(), _BINS)
        hits += np.bincount(bins, truth.ravel(), _BINS)
    network.train()
    sums, curve, pixels, certainty, hits = (
        engine.team.total(torch.from_numpy(values)).numpy() for values in (sums, curve, pixels, certainty, hits)
    )
    loss, mean_iou, mean_accuracy = (float(value) for value in sums / held_out.count)
    error = np.abs(certainty - hits).sum() / pixels.sum()
    return Validation(loss, mean_iou, mean_accuracy, float(curve.max() / held_out.count), float(error))
