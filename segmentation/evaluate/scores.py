"""All measures of one map at once, and their sums over a data set."""

import math
from dataclasses import dataclass, field

import numpy as np

from segmentation.evaluate import measures
from segmentation.evaluate.boundary import boundary_f
from segmentation.evaluate.counts import THRESHOLDS, Counts, curve_counts, mask_counts, require_probability
from segmentation.evaluate.structure import s_measure, weighted_f
from toolkit.errors import Line, named

_CLEARLY = 0.1  # by how much the complement has to fit better for a line on it


@dataclass(frozen=True)
class ImageScores:
    """The measures of one image: figures by name, and curves over thresholds (255) and levels (256)."""

    figures: dict[str, float]
    f: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    f_levels: np.ndarray
    e_levels: np.ndarray
    counts: Counts  # at the threshold


def score_image(
    probability: np.ndarray,
    truth: np.ndarray,
    threshold: float = 0.5,
    stretch: bool = False,
    ignored: np.ndarray | None = None,
    boundary_tolerance: float = 2.0,
) -> ImageScores:
    """Return every measure of `probability` (H, W) in [0, 1] against `truth` (H, W) bool.

    The mask is `probability >= threshold`. With `stretch` the map's range is first stretched to [0, 1], for
    all measures, as PySODMetrics does. Pixels in `ignored` (H, W) bool, not all of them, are left out of everything
    that is counted or averaged; where the shape counts (S-measure, weighted F) they are background that is predicted
    rightly, and for the boundary the truth there is what is predicted. `boundary_tolerance` is in pixels of a picture
    whose shorter side is 256. ValueError for other ranges, types or shapes.
    """
    require_probability(probability)
    kept, its_truth = (probability, truth) if ignored is None else (probability[~ignored], truth[~ignored])
    values = measures.stretched(probability, kept) if stretch else np.asarray(probability, np.float64)
    predicted, outlined = values >= threshold, truth
    whole, its_mask = values, its_truth
    if ignored is not None:
        outlined = np.where(ignored, predicted, truth)
        whole, its_mask = np.where(ignored, 0, values), truth & ~ignored
        values, its_truth = values[~ignored][None], its_truth[None]  # counted as pictures of one row
    counts = mask_counts(values >= threshold, its_truth)
    adaptive = mask_counts(values >= measures.adaptive_threshold(values), its_truth)
    curve, levels = curve_counts(values, its_truth)
    error = measures.absolute_error(whole, its_mask)
    figures = {
        "iou": float(measures.iou(counts)),
        "accuracy": float(measures.accuracy(counts)),
        "precision": float(measures.precision(counts)),
        "recall": float(measures.recall(counts)),
        "adaptive_f": float(measures.f_beta(adaptive, both_empty=0)),
        "mae": float(error.mean() if ignored is None else error[~ignored].mean()),
        "s_measure": s_measure(whole, its_mask),
        "adaptive_e": float(measures.e_measure(adaptive)),
        "weighted_f": weighted_f(whole, its_mask, error),
        "boundary_f": boundary_f(predicted, outlined, boundary_tolerance),
    }
    return ImageScores(
        figures,
        measures.f_beta(curve),
        measures.precision(curve),
        measures.recall(curve),
        measures.f_beta(levels, both_empty=0),
        measures.e_measure(levels),
        counts,
    )


@dataclass
class Tally:
    """Scores added up image by image; what it keeps of an image is its figures and one curve (2 KB)."""

    figures: list[dict[str, float]] = field(default_factory=list)
    f: list[np.ndarray] = field(default_factory=list)
    complement_ious: list[float] = field(default_factory=list)  # as if every mask were its complement
    pooled: np.ndarray = field(default_factory=lambda: np.zeros(4, np.int64))  # tp, fp, fn, tn of all images
    _sums: list[np.ndarray] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.figures)

    def add(self, scores: ImageScores) -> None:
        """Count one more image."""
        self.figures.append(scores.figures)
        self.f.append(scores.f)
        counts = scores.counts
        self.complement_ious.append(float(measures.iou(Counts(counts.fp, counts.tp, counts.tn, counts.fn))))
        self.pooled = self.pooled + [counts.tp, counts.fp, counts.fn, counts.tn]
        curves = [scores.precision, scores.recall, scores.f_levels, scores.e_levels]
        totals = self._sums or [np.zeros_like(curve) for curve in curves]
        self._sums = [total + curve for total, curve in zip(totals, curves, strict=True)]

    @classmethod
    def dealt(cls, shares: "list[Tally]") -> "Tally":
        """Return the tally of images that were dealt out to `shares` in turn, in the images' order."""
        found, count = cls(), sum(map(len, shares))
        for index in range(count):
            share, place = shares[index % len(shares)], index // len(shares)
            found.figures.append(share.figures[place])
            found.f.append(share.f[place])
            found.complement_ious.append(share.complement_ious[place])
        sums = [share._sums for share in shares if share._sums]
        found.pooled = np.sum([share.pooled for share in shares], axis=0)
        found._sums = [np.sum(curves, axis=0) for curves in zip(*sums, strict=True)]
        return found

    @property
    def best(self) -> int:
        """Return the index k of the threshold k / 255 at which the mean of F over images is greatest."""
        return int(np.mean(self.f, axis=0).argmax())

    @property
    def best_threshold(self) -> float:
        """Return that threshold."""
        return float(THRESHOLDS[self.best])

    def best_f(self) -> list[float]:
        """Return every image's F at that one threshold."""
        return [float(curve[self.best]) for curve in self.f]

    def summary(self) -> dict[str, float]:
        """Return every measure of measures.DEFINITIONS over the images so far; at least one is needed."""
        precision, recall, f_levels, e_levels = (total / len(self) for total in self._sums)
        f = np.array(self.f)
        single = {name: float(np.mean([row[name] for row in self.figures])) for name in self.figures[0]}
        curves = {
            "max_f": f.mean(axis=0).max(),
            "max_f_mean_pr": measures.f_of(precision, recall).max(),
            "max_f_per_image": f.max(axis=1).mean(),
            "max_f_levels": f_levels.max(),
            "mean_f": f_levels.mean(),
            "max_e": e_levels.max(),
            "mean_e": e_levels.mean(),
        }
        found = {**single, **{name: float(value) for name, value in curves.items()}}
        return {name: found[name] for name in measures.DEFINITIONS}


def odd_readings(tally: Tally, words: Line) -> list[str]:
    """Return a line for each reason to doubt that masks, read as `words` says, or maps were read as they were meant."""
    tp, fp, fn, tn = (int(count) for count in tally.pooled)
    lines = []
    if tp + fn == 0:
        lines.append(
            f"warning: every mask is empty as it was read ({words.marked}); if they hold an object, "
            f"see {named('object')}"
        )
    if fp + tn == 0:
        lines.append(
            f"warning: every mask is full as it was read ({words.marked}); if they hold background, "
            f"see {named('object')}"
        )
    if tp + fp == 0:
        lines.append(
            f"warning: nothing at all is predicted at the threshold; look at the pictures, or see {named('threshold')}"
        )
    iou, other = (float(np.mean(values)) for values in ([row["iou"] for row in tally.figures], tally.complement_ious))
    if other > iou + _CLEARLY and _correlation(tp, fp, fn, tn) < -_CLEARLY:
        lines.append(
            f"warning: the complement of the masks fits far better, IoU {other:.3f} against {iou:.3f}; if black is the "
            f"object in them, give {named('invert')}"
        )
    return [Line(line) for line in lines]


def _correlation(tp: int, fp: int, fn: int, tn: int) -> float:
    """Return Matthews' correlation of predicted and true pixels; 0 where one of both is constant."""
    sides = math.sqrt(tp + fp) * math.sqrt(tp + fn) * math.sqrt(tn + fp) * math.sqrt(tn + fn)
    return (tp * tn - fp * fn) / sides if sides else 0.0
