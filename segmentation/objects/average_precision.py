"""Predicted things measured against true ones, as COCO measures them (Lin et al. 2014), whatever they are of.

AP is the area under precision over recall of all predictions, the surest first: a prediction is right that covers a
true thing, not yet covered by a surer one, with an IoU of the masks of at least .5; or the mean over ten such bounds
from .5 to .95. CorLoc, by which single things are measured (LOST, TokenCut), is the share of photos in which the box
of the largest prediction meets that of a true thing with an IoU of at least .5.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from segmentation.objects.finding import FoundObjects

Box = tuple[float, float, float, float]
BOUNDS = np.linspace(0.5, 0.95, 10)
_RECALLS = np.linspace(0, 1, 101)
_MOST = 100  # predictions of a photo that count, the surest
_SURE = 1 - 1e-10
OBJECT_DEFINITIONS = {
    "ap": "mean over IoU bounds .5, .55 ... .95 of AP: COCO's mask AP of at most 100 things a photo, of one category",
    "ap50": "AP at an IoU of .5",
    "ap75": "AP at an IoU of .75",
    "ar100": "mean over the same bounds of the share of true things that are found",
    "corloc": "share of photos with true things in which the box of the largest predicted thing has an IoU of at least "
    ".5 with that of a true one",
}


@dataclass(frozen=True, eq=False)
class TrueObjects:
    """The true things in a photo: spans (N, 2) of their pixels, column by column, and which of them are crowds.

    A crowd is many things that nobody told apart: predictions on it are neither right nor wrong.
    """

    spans: Sequence[np.ndarray]
    crowds: np.ndarray

    def ious(self, labels: np.ndarray, areas: np.ndarray) -> np.ndarray:
        """Return the IoU (D, G) of things by their labels 1..D in (H, W) and areas (D,) with each true one.

        Of a crowd, it is the share of the predicted thing that lies on it.
        """
        flat = labels.T.ravel()
        found = np.zeros((len(areas), len(self.spans)))
        for index, (spans, crowd) in enumerate(zip(self.spans, self.crowds, strict=True)):
            common = np.bincount(flat[_pixels(spans)], minlength=len(areas) + 1)[1:]
            own = int((spans[:, 1] - spans[:, 0]).sum())
            found[:, index] = common / (areas if crowd else np.maximum(areas + own - common, 1))
        return found

    def boxes(self, height: int) -> list[Box]:
        """Return the box x, y, width, height of each thing in a picture of that height; crowds have none."""
        return [
            _box(spans, height)
            for spans, crowd in zip(self.spans, self.crowds, strict=True)
            if not crowd and len(spans)
        ]


def _pixels(spans: np.ndarray) -> np.ndarray:
    """Return the numbers of all pixels of spans."""
    lengths = spans[:, 1] - spans[:, 0]
    return np.arange(lengths.sum()) + np.repeat(spans[:, 0] - np.cumsum(lengths) + lengths, lengths)


def _box(spans: np.ndarray, height: int) -> Box:
    first, last = spans[:, 0], spans[:, 1] - 1
    left, right = int(first.min()) // height, int(last.max()) // height
    over = (first // height != last // height).any()  # one goes on at the top of the next column
    top, bottom = (0, height - 1) if over else (int((first % height).min()), int((last % height).max()))
    return left, top, right - left + 1, bottom - top + 1


def box_iou(one: Box, other: Box) -> float:
    """Return the IoU of two boxes x, y, width, height."""
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    common = max(0, width) * max(0, height)
    return common / (one[2] * one[3] + other[2] * other[3] - common)


@dataclass
class ObjectTally:
    """What is known of the things of photo after photo."""

    scores: list[np.ndarray] = field(default_factory=list)  # (D,) of each photo, the surest first
    right: list[np.ndarray] = field(default_factory=list)  # (10, D) whether each is, at each bound
    counted: list[np.ndarray] = field(default_factory=list)  # (10, D) whether it is neither right nor wrong
    true: int = 0
    predicted: int = 0
    photos: int = 0  # with true things
    located: int = 0

    def add(self, found: FoundObjects, true: TrueObjects) -> None:
        """Count a photo of these predicted and true things."""
        items, scores, crowds = found.items, found.confidences, true.crowds
        ious, boxes = true.ious(found.labels, np.array([one.area for one in items])), true.boxes(len(found.labels))
        order = np.argsort(-scores, kind="stable")[:_MOST]
        right, counted = _matched(ious[order], crowds)
        self.scores.append(scores[order])
        self.right.append(right)
        self.counted.append(counted)
        self.true += int((~crowds).sum())
        self.predicted += len(scores)
        self.photos += bool(boxes)
        self.located += bool(items) and any(box_iou(items[0].box, box) >= BOUNDS[0] for box in boxes)

    @classmethod
    def dealt(cls, shares: "Sequence[ObjectTally]") -> "ObjectTally":
        """Return the tally of photos that were dealt out to `shares` in turn, in the photos' order."""
        found = cls()
        for index in range(sum(len(share.scores) for share in shares)):
            share, place = shares[index % len(shares)], index // len(shares)
            found.scores.append(share.scores[place])
            found.right.append(share.right[place])
            found.counted.append(share.counted[place])
        for name in ("true", "predicted", "photos", "located"):
            setattr(found, name, sum(getattr(share, name) for share in shares))
        return found

    def figures(self) -> dict[str, float | None]:
        """Return the measures of OBJECT_DEFINITIONS; None where there are no true things."""
        if not self.true:
            return dict.fromkeys(OBJECT_DEFINITIONS)
        order = np.argsort(-np.concatenate(self.scores), kind="stable")
        right, counted = (np.concatenate(each, axis=1)[:, order] for each in (self.right, self.counted))
        found = [_precision(one, both, self.true) for one, both in zip(right, counted, strict=True)]
        ap, recall = np.array(found).T
        values = (ap.mean(), ap[0], ap[5], recall.mean(), self.located / self.photos)
        return {name: float(value) for name, value in zip(OBJECT_DEFINITIONS, values, strict=True)}


def _matched(ious: np.ndarray, crowds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (10, D) which predictions are right, and which count: those left for a crowd do not."""
    order = np.argsort(crowds, kind="stable")
    ious, crowds = ious[:, order], crowds[order]
    right, counted = np.zeros((2, len(BOUNDS), len(ious)), bool)
    counted[:] = True
    for place, bound in enumerate(BOUNDS):
        free = np.ones(len(crowds), bool)
        for index, row in enumerate(ious):
            match = _best(np.where(free, row, -1), crowds, min(bound, _SURE))
            if match is None:
                continue
            free[match] = crowds[match]
            right[place, index] = counted[place, index] = not crowds[match]
    return right, counted


def _best(row: np.ndarray, crowds: np.ndarray, bound: float) -> int | None:
    """Return the true thing of the highest IoU (G,) from a bound on, the last of equal ones; crowds only for want."""
    for group in (~crowds, crowds):
        enough = np.flatnonzero(group & (row >= bound))
        if len(enough):
            best = row[enough].max()
            return int(enough[row[enough] == best][-1])
    return None


def _precision(right: np.ndarray, counted: np.ndarray, true: int) -> tuple[float, float]:
    """Return AP and recall of predictions (D,), the surest first, of so many true things."""
    hits, misses = np.cumsum(right), np.cumsum(~right & counted)
    if not len(hits):
        return 0.0, 0.0
    recall, precision = hits / true, hits / (hits + misses + np.spacing(1))
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(recall, _RECALLS, side="left")
    return float(np.append(envelope, 0)[places].mean()), float(recall[-1])
