"""The things in a foreground probability: connected parts of its mask, small ones dropped, touching ones parted."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from segmentation.objects.components import components
from segmentation.objects.runs import Runs, compressed, mask_of
from segmentation.objects.settings import ObjectSettings
from toolkit.pictures.cutouts import strips

MOST_OBJECTS = 65_535  # of a photo, the largest ones: what a labelled picture of 16 bits tells apart
_USUAL = ObjectSettings()


@dataclass(frozen=True, eq=False, repr=False)
class FoundObject:
    """One thing in a photo: its box x, y, width, height and its area in pixels, and its own mask.

    `confidence` is the mean probability within it. `counts` are COCO's run-lengths of its mask, and `size` is the
    photo's height and width.
    """

    box: tuple[int, int, int, int]
    area: int
    confidence: float
    counts: np.ndarray
    size: tuple[int, int]

    def __repr__(self) -> str:
        x, y, width, height = self.box
        return f"<Object of {self.area} pixels, {width} x {height} at ({x}, {y}), confidence {self.confidence:.2f}>"

    @property
    def mask(self) -> np.ndarray:
        """Return its mask (H, W) bool at the photo's full size."""
        return mask_of(self.counts, self.size)

    def rle(self) -> dict[str, Any]:
        """Return its mask as COCO's compressed run-lengths."""
        return {"size": list(self.size), "counts": compressed(self.counts)}


@dataclass(frozen=True, eq=False)
class FoundObjects:
    """The things in one photo: `labels` (H, W), 0 for the ground and i for `items[i - 1]`, the largest first.

    Labels are uint8, or uint16 where there are more than 255.
    """

    labels: np.ndarray
    confidences: np.ndarray  # one of each thing

    def __len__(self) -> int:
        return len(self.confidences)

    @cached_property
    def items(self) -> list[FoundObject]:
        """Return the things, each with its box and mask."""
        runs = Runs.of(self.labels)
        order = np.argsort(runs.labels, kind="stable")
        bounds = np.searchsorted(runs.labels[order], np.arange(1, len(self) + 2))
        found = []
        for index, box in enumerate(runs.boxes(len(self)).tolist()):
            part = order[bounds[index] : bounds[index + 1]]
            own = Runs(runs.starts[part], runs.stops[part], runs.labels[part], runs.shape)
            area = int((own.stops - own.starts).sum())
            found.append(FoundObject(tuple(box), area, float(self.confidences[index]), own.counts(), runs.shape))
        return found


def find_objects(probability: np.ndarray, threshold: float = 0.5, settings: ObjectSettings = _USUAL) -> FoundObjects:
    """Return the things in a probability (H, W) in [0, 1], which is foreground where it is at least `threshold`."""
    labels, count = _connected(probability >= threshold, settings.min_object)
    if settings.neck and count:
        from segmentation.objects.necks import parted

        labels, count = parted(labels, count, settings.neck, _least(labels, settings.min_object))
    labels = labels.astype(np.uint8 if count < 256 else np.uint16, copy=False)
    return FoundObjects(labels, _means(probability, labels, count))


def _least(labels: np.ndarray, share: float) -> int:
    """Return the pixels that a thing has at least."""
    return max(1, int(np.ceil(share * labels.size)))


def _connected(mask: np.ndarray, share: float) -> tuple[np.ndarray, int]:
    """Return labels (H, W) of the components that cover a share of the mask's picture, and how many they are."""
    runs = Runs.of(mask)
    component, count = components(runs)
    areas = np.bincount(component, runs.stops - runs.starts, count)
    order = np.argsort(-areas, kind="stable")
    kept = order[areas[order] >= _least(mask, share)][:MOST_OBJECTS]
    label_of = np.zeros(count, np.uint16)
    label_of[kept] = np.arange(1, len(kept) + 1)
    return runs.painted(label_of[component]), len(kept)


def _means(values: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """Return the mean (N,) of values (H, W) within each of `count` labels."""
    sums, areas = np.zeros(count + 1), np.zeros(count + 1)
    for rows in strips(labels.shape):
        part = labels[rows].ravel()
        sums += np.bincount(part, values[rows].ravel(), count + 1)
        areas += np.bincount(part, minlength=count + 1)
    return sums[1:] / areas[1:]
