"""Masks over pictures as outlines that show on any colour."""

from collections.abc import Sequence

import numpy as np

from toolkit.pictures.colour import GREEN, WHITE

_OUTLINE_COLOURS = np.array([WHITE, (255, 0, 255), (0, 255, 255), (255, 255, 0), GREEN])
# Of things side by side, those most unlike each other first.
_THING_COLOURS = (
    *((230, 25, 75), (0, 130, 255), (60, 220, 60), (255, 215, 0), (240, 50, 230), (0, 240, 240)),
    *((255, 130, 0), (150, 60, 255), (190, 255, 0), (255, 170, 200), (0, 150, 120), (160, 100, 40)),
)
_PIXELS_A_WIDTH = 200  # of a picture's shorter side for each pixel of the line
_DIMMED = 0.4  # brightness that is left of the background
_THINNEST = 2  # pixels of either line where the background is dimmed
_SIDE_A_PIXEL = 120  # pixels of the picture for each pixel of such a line that is thicker


def outlined(pictures: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Return uint8 pictures (..., H, W, 3) whose masks (..., H, W) have a white line within and a black one around.

    Whatever the colours, one of the two lines stands out. The background is dimmed, so that foreground and background,
    or a mask of everything and one of nothing, are not mistaken for each other; the foreground keeps its colours. No
    line is drawn along the picture's own edge.
    """
    masks = np.asarray(masks, bool)
    reach = max(_THINNEST, round(min(masks.shape[-2:]) / _SIDE_A_PIXEL))
    drawn = np.where(masks[..., None], pictures, (pictures * _DIMMED).astype(np.uint8))
    for place in np.ndindex(masks.shape[:-2]):
        _outline(drawn[place], masks[place], reach, WHITE)
    return drawn


def overlay(pictures: np.ndarray, masks: np.ndarray, colour: tuple[int, int, int] | None = None) -> np.ndarray:
    """Return uint8 pictures (..., H, W, 3) with outlines of masks (..., H, W): `colour` inside, black just outside.

    Without a colour, each picture gets the one of five that lies farthest from what it is drawn over.
    """
    drawn = pictures.copy()
    for place in np.ndindex(pictures.shape[:-3]):
        mask = np.asarray(masks[place], bool)
        _outline(drawn[place], mask, max(1, round(min(mask.shape) / _PIXELS_A_WIDTH)), colour)
    return drawn


def overlay_of_things(photo: np.ndarray, labels: np.ndarray, boxes: Sequence[tuple[int, int, int, int]]) -> np.ndarray:
    """Return a photo uint8 (H, W, 3) with each thing tinted and outlined in a colour of its own, in its box.

    Thing i is where the labels (H, W) are i + 1, and its box is x, y, width, height. Twelve colours are told apart;
    from the thirteenth thing on they come again.
    """
    drawn = photo.copy()
    reach = max(1, round(min(labels.shape) / _PIXELS_A_WIDTH))
    for index in reversed(range(len(boxes))):  # the largest last, so that none hides its box
        x, y, width, height = boxes[index]
        colour = _THING_COLOURS[index % len(_THING_COLOURS)]
        near = slice(max(0, y - reach), y + height + reach), slice(max(0, x - reach), x + width + reach)
        part, mask = drawn[near], labels[near] == index + 1
        part[mask] = part[mask] // 4 * 3 + np.array(colour, np.uint8) // 4
        _outline(part, mask, reach, colour)
        for edge in (slice(y, y + reach), slice(y + height - reach, y + height)):
            drawn[edge, x : x + width] = colour
        for edge in (slice(x, x + reach), slice(x + width - reach, x + width)):
            drawn[y : y + height, edge] = colour
    return drawn


def _outline(picture: np.ndarray, mask: np.ndarray, reach: int, colour: tuple[int, int, int] | None) -> None:
    """Draw the outline of a mask (H, W), two lines `reach` wide, into a picture (H, W, 3); its own border is none."""
    outside = _dilated(mask, reach) & ~mask
    inside = _dilated(~mask, reach) & mask
    if not inside.any():
        return
    chosen = _farthest(picture[inside]) if colour is None else colour
    picture[outside], picture[inside] = 0, chosen


def _dilated(mask: np.ndarray, reach: int) -> np.ndarray:
    """Return where a mask (H, W) has a pixel within `reach` along both axes.

    In numpy, since OpenCV would take a tenth of a second to import for it.
    """
    for _ in range(2):  # along the rows, then, turned, along the columns
        window, covered = np.pad(mask, ((0, 0), (reach, reach))), 1
        while covered <= 2 * reach:
            step = min(covered, 2 * reach + 1 - covered)
            window, covered = window[:, :-step] | window[:, step:], covered + step
        mask = window.T
    return mask


def _farthest(pixels: np.ndarray) -> np.ndarray:
    """Return the colour of the outlines' that is farthest, in the mean, from pixels (N, 3)."""
    distances = np.abs(pixels[:, None].astype(np.int16) - _OUTLINE_COLOURS).sum(axis=2).mean(axis=0)
    return _OUTLINE_COLOURS[distances.argmax()]
