"""Masks of real photos from a segmenter and each photo's own colours, without anybody's label.

A segmenter trained on synthetic pairs finds most of a thing, and some of its ground with it. Graph cuts on the colours
inside and outside (GrabCut, Rother et al., SIGGRAPH 2004) move the outline to the photo's own edges; where the two
disagree too much the photo is left out. Teaching a network on its own best answers is self-training (Lee 2013; Xie et
al. 2020, 1911.04252).
"""

from collections import Counter
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from scipy.ndimage import binary_fill_holes

from segmentation.evaluate.counts import mask_counts
from segmentation.evaluate.measures import iou
from segmentation.predict.segmenter import Segmenter
from segmentation.self_training.settings import SelfTrainingSettings
from toolkit.compute.engine import Engine
from toolkit.pictures.pixels import from_bytes


@dataclass(frozen=True)
class PseudoMasks:
    """Masks (N, S, S) bool of photos, which of them (N,) are fit to train on, and why the others are not."""

    masks: np.ndarray
    kept: np.ndarray
    rejected: dict[str, int]

    def describe(self) -> str:
        """Return a line such as `kept 61 of 95; left out: agreement 30, border 4`."""
        parts = ", ".join(f"{name} {count}" for name, count in self.rejected.items())
        return f"kept {int(self.kept.sum())} of {len(self.kept)}; left out: {parts}"


def probabilities(segmenter: Segmenter, photos: np.ndarray, engine: Engine) -> np.ndarray:
    """Return foreground probabilities (B, S, S) float32 of photos uint8 (B, S, S, 3): means over photo and mirror."""
    images = from_bytes(photos).to(engine.device)
    with engine.autocast():
        straight = segmenter.probabilities(images)
        mirrored = segmenter.probabilities(images.flip(-1))
    return ((straight + mirrored.flip(-1)) / 2).cpu().numpy()


def cut_mask(photo: np.ndarray, probability: np.ndarray, core: float, settings: SelfTrainingSettings) -> np.ndarray:
    """Return the mask (S, S) bool that GrabCut makes of a photo uint8 (S, S, 3) and its probability (S, S).

    Pixels above `certain` stay foreground and those below `ground` background; of the others those of at least `core`
    start as foreground. Without both kinds of pixels there is nothing to cut, and the result is empty.
    """
    labels = np.where(probability >= core, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[probability > settings.certain] = cv2.GC_FGD
    labels[probability < settings.ground] = cv2.GC_BGD
    inside = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
    if not inside.any() or inside.all():
        return np.zeros(labels.shape, bool)
    cv2.setRNGSeed(settings.seed % 2**31)  # GrabCut starts its colour clusters at random
    colours = np.ascontiguousarray(photo[..., ::-1])
    outer, inner, unused = np.zeros((1, 65)), np.zeros((1, 65)), (0, 0, 1, 1)
    cv2.grabCut(colours, labels, unused, outer, inner, settings.cuts, cv2.GC_INIT_WITH_MASK)
    return np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))


def pseudo_masks(
    photos: np.ndarray, soft: np.ndarray, settings: SelfTrainingSettings, first: bool = True
) -> PseudoMasks:
    """Return the masks of photos uint8 (N, S, S, 3) with probabilities `soft` (N, S, S), and which of them are fit.

    A mask is left out when the IoU of the cut with the segmenter's own is below `agreement`, when its share of the
    photo is not within `min_area` and `max_area`, or when it covers more than `max_border` of the photo's outermost
    pixels. In the `first` round the cut may add to the segmenter's mask. Later it may not: a student of cut masks
    is sure of too much, so that foreground is what both the cut and the student, with probability `bar`, take for
    it, and holes in that.
    """
    core = settings.first_core if first else settings.core
    masks = np.stack([cut_mask(photo, map_, core, settings) for photo, map_ in zip(photos, soft, strict=True)])
    edges = np.concatenate([masks[:, 0], masks[:, -1], masks[:, 1:-1, 0], masks[:, 1:-1, -1]], axis=1)
    verdicts = {
        "agreement": iou(mask_counts(soft >= 0.5, masks)) >= settings.agreement,
        "area": masks.mean(axis=(1, 2)) <= settings.max_area,
        "border": edges.mean(axis=1) <= settings.max_border,
    }
    if not first:
        masks = np.stack([binary_fill_holes(mask) for mask in masks & (soft >= settings.bar)])
    # A mask of which little is left would teach that its thing is ground.
    verdicts["area"] &= masks.mean(axis=(1, 2)) >= settings.min_area
    kept = np.ones(len(masks), bool)
    rejected: Counter[str] = Counter()
    for name, passes in verdicts.items():
        rejected[name] = int((kept & ~passes).sum())
        kept &= passes
    return PseudoMasks(masks, kept, dict(rejected))


def join(parts: list[PseudoMasks]) -> PseudoMasks:
    """Return all parts as one, in order."""
    return PseudoMasks(
        np.concatenate([part.masks for part in parts]),
        np.concatenate([part.kept for part in parts]),
        {name: sum(part.rejected[name] for part in parts) for name in parts[0].rejected},
    )


def training_set(photos: np.ndarray, made: PseudoMasks) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the photos fit to train on, uint8 (M, 3, S, S), and their masks (M, S, S) bool."""
    chosen = torch.from_numpy(np.ascontiguousarray(photos[made.kept])).permute(0, 3, 1, 2).contiguous()
    return chosen, torch.from_numpy(made.masks[made.kept])
