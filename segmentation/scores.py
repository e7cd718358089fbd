"""All measures of one map at once, and their sums over a data set."""

from dataclasses import dataclass, field

import numpy as np

from segmentation import measures
from segmentation.counts import THRESHOLDS, curve_counts, mask_counts, require_probability
from segmentation.structure import s_measure, weighted_f


@dataclass(frozen=True)
class ImageScores:
    """The measures of one image: figures by name, and curves over thresholds (255) and levels (256)."""

    figures: dict[str, float]
    f: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    f_levels: np.ndarray
    e_levels: np.ndarray


def score_image(
    probability: np.ndarray, truth: np.ndarray, threshold: float = 0.5, stretch: bool = False
) -> ImageScores:
    """Return every measure of `probability` (H, W) in [0, 1] against `truth` (H, W) bool.

    The mask is `probability >= threshold`. With `stretch` the map's range is first stretched to [0, 1], for
    all measures, as PySODMetrics does. ValueError for other ranges, types or shapes.
    """
    require_probability(probability)
    values = measures.stretched(probability) if stretch else np.asarray(probability, np.float64)
    counts = mask_counts(values >= threshold, truth)
    adaptive = mask_counts(values >= measures.adaptive_threshold(values), truth)
    curve, levels = curve_counts(values, truth)
    error = measures.absolute_error(values, truth)
    figures = {
        "iou": float(measures.iou(counts)),
        "accuracy": float(measures.accuracy(counts)),
        "precision": float(measures.precision(counts)),
        "recall": float(measures.recall(counts)),
        "adaptive_f": float(measures.f_beta(adaptive, both_empty=0)),
        "mae": float(error.mean()),
        "s_measure": s_measure(values, truth),
        "adaptive_e": float(measures.e_measure(adaptive)),
        "weighted_f": weighted_f(values, truth, error),
    }
    return ImageScores(
        figures,
        measures.f_beta(curve),
        measures.precision(curve),
        measures.recall(curve),
        measures.f_beta(levels, both_empty=0),
        measures.e_measure(levels),
    )


@dataclass
class Tally:
    """Scores added up image by image; what it keeps of an image is its figures and one curve (2 KB)."""

    figures: list[dict[str, float]] = field(default_factory=list)
    f: list[np.ndarray] = field(default_factory=list)
    _sums: list[np.ndarray] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.figures)

    def add(self, scores: ImageScores) -> None:
        """Count one more image."""
        self.figures.append(scores.figures)
        self.f.append(scores.f)
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
        sums = [share._sums for share in shares if share._sums]
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
