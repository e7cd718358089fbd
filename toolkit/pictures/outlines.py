"""Masks over pictures as outlines that show on any colour."""

import numpy as np

from toolkit.pictures.colour import GREEN, WHITE

_OUTLINE_COLOURS = np.array([WHITE, (255, 0, 255), (0, 255, 255), (255, 255, 0), GREEN])
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
