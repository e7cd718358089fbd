"""Things that touch, parted at the necks between them.

Two parts of a thing are two things where the neck between them is narrow beside both. How wide it is says the distance
transform: half the width of the narrowest place on the best way from one part's middle to the other's. So parts are
looked for by flooding the distance transform (Vincent and Soille 1991) with a bound on each basin's dynamics that is
relative to its depth, and the rest of the thing falls to the part that the flood reaches it from.
"""

import numpy as np

from segmentation.objects.runs import Runs
from toolkit.errors import UserError, named

_SIDE = 192  # pixels, the most of a thing's longer side while it is parted
_LEVELS = 48  # of the distance that are looked at
_HIGHEST = np.uint16(2**16 - 1)
_SQUARE = np.ones((3, 3), np.uint8)


def parted(labels: np.ndarray, count: int, neck: float, least: int) -> tuple[np.ndarray, int]:
    """Return labels (H, W) uint16 whose things are parted at necks, and how many things there are then.

    A neck is at most the share `neck` as wide as both its sides, each of which has `least` pixels at least. UserError
    where OpenCV is missing, which predicting without torch does without.
    """
    found = np.zeros(labels.shape, np.int32)
    total = 0
    for label, (x, y, width, height) in enumerate(Runs.of(labels).boxes(count).tolist(), start=1):
        place = slice(y, y + height), slice(x, x + width)
        mask = labels[place] == label
        edges = [(int(y > 0), int(y + height < labels.shape[0])), (int(x > 0), int(x + width < labels.shape[1]))]
        parts = _parts(mask, edges, neck, least)
        found[place][mask] = parts[mask] + total
        total += int(parts.max())
    areas = np.bincount(found.ravel(), minlength=total + 1)[1:]
    rank = np.zeros(total + 1, np.uint16)
    rank[np.argsort(-areas, kind="stable") + 1] = np.arange(1, total + 1)
    return rank[found], total


def _parts(mask: np.ndarray, edges: list[tuple[int, int]], neck: float, least: int) -> np.ndarray:
    """Return the parts of a thing (h, w), numbered from 1; ground lies beyond those sides that `edges` names."""
    try:
        import cv2
    except ImportError as error:
        raise UserError(f"{named('neck')} needs OpenCV: pip install opencv-python-headless; or omit it") from error
    scale = min(1.0, _SIDE / max(mask.shape))
    size = tuple(max(1, round(side * scale)) for side in mask.shape[::-1])
    small = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) >= 0.5
    padded = np.pad(small, edges).view(np.uint8)
    inner = tuple(slice(before, before + side) for (before, _), side in zip(edges, small.shape, strict=True))
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[inner]
    middles = _middles(distance, neck)
    while middles.max() > 1:
        parts = _flooded(mask, distance, middles)
        areas = np.bincount(parts[mask], minlength=middles.max() + 1)[1:]
        if areas.min() >= least:
            return parts
        middles = _without(middles, int(areas.argmin()) + 1)
    return mask.astype(np.int32)


def _without(middles: np.ndarray, label: int) -> np.ndarray:
    """Return the middles less one, those above it numbered down."""
    return np.where(middles == label, 0, middles - (middles > label))


def _middles(distance: np.ndarray, neck: float) -> np.ndarray:
    """Return the middles of things (h, w) int32, numbered from 1, within the distance from the ground.

    Going up the levels, what falls apart there into several parts that are each deep enough becomes so many middles.
    """
    import cv2

    middles = (distance > 0).astype(np.int32)
    highest = float(distance.max()) if distance.min() == 0 or distance.max() < max(distance.shape) else 0.0
    rising = np.argsort(distance, axis=None)[np.count_nonzero(distance == 0) :]
    depths = distance.ravel()[rising]
    for level in np.linspace(0, neck * highest, _LEVELS):
        count, components = cv2.connectedComponents((distance > level).view(np.uint8), connectivity=8)
        if count == 2:
            continue  # the ground and one part
        peaks, owners = np.zeros(count), np.zeros(count, np.int32)
        part = components.ravel()[rising]
        peaks[part] = depths  # the deepest one comes last
        owners[part] = middles.ravel()[rising]  # parts lie in one middle, whole, or beside all of them
        alive = (neck * peaks >= level) & (np.arange(count) > 0) & (owners > 0)
        for owner in np.flatnonzero(np.bincount(owners[alive]) > 1):
            heirs = np.flatnonzero(alive & (owners == owner))
            new = range(middles.max() + 1, middles.max() + len(heirs))
            middles[middles == owner] = 0
            for heir, label in zip(heirs, [owner, *new], strict=True):
                middles[components == heir] = label
    return middles


def _flooded(mask: np.ndarray, distance: np.ndarray, middles: np.ndarray) -> np.ndarray:
    """Return labels (H, W) int32 of all pixels of a mask, by a flood from the middles down the distance (h, w)."""
    import cv2

    labels = middles.astype(np.uint16)
    for turn, level in enumerate(np.linspace(distance.max(), 0, _LEVELS)):
        labels = _grown(labels, (distance > level) | (labels > 0), turn)
    whole = cv2.resize(labels, mask.shape[::-1], interpolation=cv2.INTER_NEAREST)
    return _grown(np.where(mask, whole, 0).astype(np.uint16), mask).astype(np.int32)


def _grown(labels: np.ndarray, within: np.ndarray, turn: int = 0) -> np.ndarray:
    """Return labels (h, w) uint16 grown, pixel by pixel, over all of `within` that they can reach.

    A pixel that two reach at once falls to the higher and the lower one by turns, or one would creep into the other.
    """
    import cv2

    while True:
        near = cv2.dilate(labels, _SQUARE)
        if turn % 2:
            near = np.where(near > 0, _HIGHEST - cv2.dilate(np.where(labels > 0, _HIGHEST - labels, 0), _SQUARE), 0)
        grown = np.where(within & (labels == 0), near, labels).astype(np.uint16)
        if np.array_equal(grown, labels):
            return grown
        labels, turn = grown, turn + 1
