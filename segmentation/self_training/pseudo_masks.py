"""Masks of real photos from a segmenter and a second opinion on each photo, without anybody's label.

A segmenter trained on synthetic pairs finds most of a thing, and with it ground of the thing's brightness. Graph cuts
on a photo's own colours (GrabCut, Rother et al., SIGGRAPH 2004) that start from nothing but the photo's frame know
neither generator nor segmenter, and err elsewhere. What they have in common is right more often than either, and where
they have too little, the photo is left out. Teaching a network on its own best answers is self-training (Lee 2013; Xie
et al. 2020, 1911.04252).
"""

import itertools
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from segmentation.evaluate.counts import mask_counts
from segmentation.evaluate.measures import iou
from segmentation.predict.segmenter import Segmenter
from segmentation.self_training.settings import SelfTrainingSettings
from toolkit.compute.engine import Engine
from toolkit.pictures.pixels import from_bytes

VIEWS = 3  # cuts of a photo
_DETAIL, _AROUND, _SHARPEST = 0.012, 0.024, 12  # blurs of the sharpness in sides of the photo, and its contrast


@dataclass(frozen=True)
class PseudoMasks:
    """Masks (N, S, S) bool of photos, which of them (N,) are fit to train on, and why the others are not."""

    masks: np.ndarray
    kept: np.ndarray
    rejected: dict[str, int]

    def describe(self) -> str:
        """Return a line such as `kept 61 of 95; left out: agreement 30, area 4`."""
        parts = ", ".join(f"{name} {count}" for name, count in self.rejected.items())
        return f"kept {int(self.kept.sum())} of {len(self.kept)}; left out: {parts}"


def probabilities(segmenter: Segmenter, photos: np.ndarray, engine: Engine) -> np.ndarray:
    """Return foreground probabilities (B, S, S) float32 of photos uint8 (B, S, S, 3): means over photo and mirror."""
    images = from_bytes(photos).to(engine.device)
    with engine.autocast():
        straight = segmenter.probabilities(images)
        mirrored = segmenter.probabilities(images.flip(-1))
    return ((straight + mirrored.flip(-1)) / 2).cpu().numpy()


def frame_cuts(photo: np.ndarray, settings: SelfTrainingSettings) -> np.ndarray:
    """Return the masks (VIEWS, S, S) bool that GrabCut makes of a photo uint8 (S, S, 3) whose frame is ground.

    One is of the photo's colours, one of them as lightness and chroma, one of chroma and sharpness: where ground is as
    bright as a thing it is often blurred. The frame is the outermost `frame` of each side. The masks of a photo of one
    colour are empty.
    """
    edge = max(1, round(settings.frame * photo.shape[0]))
    within = np.zeros(photo.shape[:2], bool)
    within[edge:-edge, edge:-edge] = True
    if not within.any():
        return np.stack([within] * VIEWS)
    return np.stack([grab_cut(view, within, settings.cuts, settings.seed) for view in _views(photo)])


def _views(photo: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return what a photo (S, S, 3) is cut by, each uint8 (S, S, 3)."""
    shades = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY).astype(np.float32)
    detail = np.abs(shades - cv2.GaussianBlur(shades, (0, 0), _DETAIL * len(photo)))
    sharpness = cv2.GaussianBlur(detail, (0, 0), _AROUND * len(photo)) * _SHARPEST
    colours = cv2.cvtColor(photo, cv2.COLOR_RGB2LAB)
    chroma = colours[..., 1:]
    return photo, colours, np.dstack([chroma, sharpness.clip(0, 255).astype(np.uint8)])


def grab_cut(photo: np.ndarray, within: np.ndarray, rounds: int, seed: int = 0) -> np.ndarray:
    """Return the mask (H, W) bool that GrabCut makes of a photo uint8 (H, W, 3) in a region (H, W) bool.

    Beyond the region is ground; it has pixels of both kinds. `rounds` times colours are fitted and the graph is cut.
    """
    labels = np.where(within, cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
    cv2.setRNGSeed(seed % 2**31)  # its colour clusters start at random; OpenCV has a generator for each thread
    colours = np.ascontiguousarray(photo[..., ::-1])
    cv2.grabCut(colours, labels, (0, 0, 1, 1), np.zeros((1, 65)), np.zeros((1, 65)), rounds, cv2.GC_INIT_WITH_MASK)
    return labels == cv2.GC_PR_FGD


def cuts_of(photos: np.ndarray, settings: SelfTrainingSettings, threads: int = 1) -> np.ndarray:
    """Return the masks (N, VIEWS, S, S) bool of photos uint8 (N, S, S, 3) by `frame_cuts`, made by so many threads."""
    with ThreadPoolExecutor(threads) as pool:
        return np.stack(list(pool.map(lambda photo: frame_cuts(photo, settings), photos)))


def pseudo_masks(cuts: np.ndarray, soft: np.ndarray, settings: SelfTrainingSettings) -> PseudoMasks:
    """Return the masks of photos with cuts (N, VIEWS, S, S) bool and probabilities `soft` (N, S, S), and which are fit.

    The cut is what most of the cuts take for foreground. The segmenter (a probability of at least a half) agrees by an
    IoU with it of `agreement`, or by taking `covered` of it for foreground too; the mask is then where the mean of the
    probability and the share of cuts is at least a half: the segmenter decides what the cuts do not. Where it does not
    agree, the mask is the cut alone, if the cuts agree among each other, by a mean IoU of `consensus`; else the photo
    is left out, as it is when the mask's share of it is not within `min_area` and `max_area`.
    """
    own, votes = soft >= 0.5, cuts.mean(axis=1, dtype=np.float32)
    cut = votes > 0.5
    covered = (cut & own).mean(axis=(1, 2)) >= settings.covered * cut.mean(axis=(1, 2))
    agreed = covered | (iou(mask_counts(own, cut)) >= settings.agreement)
    pairs = [iou(mask_counts(cuts[:, i], cuts[:, j])) for i, j in itertools.combinations(range(cuts.shape[1]), 2)]
    masks = np.where(agreed[:, None, None], soft + votes >= 1, cut)
    areas = masks.mean(axis=(1, 2))
    verdicts = {
        "agreement": agreed | (np.mean(pairs, axis=0) >= settings.consensus),
        "area": (areas >= settings.min_area) & (areas <= settings.max_area),
    }
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


def training_set(photos: np.ndarray, made: PseudoMasks, side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the photos fit to train on, uint8 (M, 3, s, s) of `side` s, and their masks (M, s, s) bool.

    Photos are uint8 (N, S, S, 3); where s is smaller than S a pixel is the mean of those it covers.
    """
    chosen = _smaller(photos[made.kept], side)
    masks = _smaller(made.masks[made.kept].astype(np.uint8) * 255, side) >= 128
    return torch.from_numpy(chosen).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(masks)


def _smaller(pictures: np.ndarray, side: int) -> np.ndarray:
    if not len(pictures) or pictures.shape[1] == side:
        return pictures
    return np.stack([cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA) for picture in pictures])
