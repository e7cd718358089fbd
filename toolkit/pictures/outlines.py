"""Masks over pictures as outlines that show on any colour."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from toolkit.pictures.colour import GREEN, MAGENTA, WHITE

_OUTLINE_COLOURS = np.array([WHITE, MAGENTA, (0, 255, 255), (255, 255, 0), GREEN], np.int16)
# Of things side by side, those most unlike each other first.
_THING_COLOURS = (
    *((230, 25, 75), (0, 130, 255), (60, 220, 60), (255, 215, 0), (240, 50, 230), (0, 240, 240)),
    *((255, 130, 0), (150, 60, 255), (190, 255, 0), (255, 170, 200), (0, 150, 120), (160, 100, 40)),
)
_PIXELS_A_WIDTH = 200  # of a picture's shorter side for each pixel of the line
_DIM = (np.arange(256) * 0.4).astype(np.uint8)  # what is left of the brightness of the background
_THINNEST = 2  # pixels of either line where the background is dimmed
_SIDE_A_PIXEL = 120  # pixels of the picture for each pixel of such a line that is thicker
_STRIP_PIXELS = 2**18  # worked on at a time, which a processor's cache holds
_REACHES = 4  # of the line, at least in a strip's rows


def outlined(pictures: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Return uint8 pictures (..., H, W, 3) whose masks (..., H, W) have a white line within and a black one around.

    Whatever the colours, one of the two lines stands out. The background is dimmed, so that foreground and background,
    or a mask of everything and one of nothing, are not mistaken for each other; the foreground keeps its colours. No
    line is drawn along the picture's own edge.
    """
    masks = np.asarray(masks, bool)
    reach = max(_THINNEST, round(min(masks.shape[-2:]) / _SIDE_A_PIXEL))
    drawn = np.where(masks[..., None], pictures, _DIM.take(pictures))
    for place in np.ndindex(masks.shape[:-2]):
        _draw(drawn[place].reshape(-1, 3), _Lines.of(drawn[place], masks[place], reach, WHITE))
    return drawn


def overlay(pictures: np.ndarray, masks: np.ndarray, colour: tuple[int, int, int] | None = None) -> np.ndarray:
    """Return uint8 pictures (..., H, W, 3) with outlines of masks (..., H, W): `colour` inside, black just outside.

    Without a colour, each picture gets the one of five that lies farthest from what it is drawn over.
    """
    drawn = np.array(pictures, order="C")
    for place in np.ndindex(pictures.shape[:-3]):
        mask = np.asarray(masks[place], bool)
        _draw(drawn[place].reshape(-1, 3), _Lines.of(drawn[place], mask, _reach(mask), colour))
    return drawn


def overlay_rows(picture: np.ndarray, mask: np.ndarray) -> Iterator[np.ndarray]:
    """Yield what `overlay` makes of a picture uint8 (H, W, 3) and its mask (H, W) bool, some rows at a time."""
    lines = _Lines.of(picture, mask, _reach(mask), None)
    rows, width = _rows_at_a_time(mask.shape[1], 0), mask.shape[1]
    for top in range(0, len(picture), rows):
        part = np.array(picture[top : top + rows], order="C")
        _draw(part.reshape(-1, 3), lines.between(top * width, (top + len(part)) * width))
        yield part


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
        lines = _Lines.of(part, mask, reach, colour)
        for places, paint in ((lines.outside, 0), (lines.inside, colour)):
            part[np.divmod(places, part.shape[1])] = paint
        for edge in (slice(y, y + reach), slice(y + height - reach, y + height)):
            drawn[edge, x : x + width] = colour
        for edge in (slice(x, x + reach), slice(x + width - reach, x + width)):
            drawn[y : y + height, edge] = colour
    return drawn


def _reach(mask: np.ndarray) -> int:
    return max(1, round(min(mask.shape) / _PIXELS_A_WIDTH))


def _rows_at_a_time(width: int, reach: int) -> int:
    return max(1, _REACHES * reach, _STRIP_PIXELS // width)


class _Lines(NamedTuple):
    """Both lines of an outline as places in a picture's flat pixels, ascending, and the colour of the inner one."""

    inside: np.ndarray
    outside: np.ndarray
    colour: np.ndarray | tuple[int, int, int]

    @classmethod
    def of(cls, picture: np.ndarray, mask: np.ndarray, reach: int, colour: tuple[int, int, int] | None) -> "_Lines":
        """Return the lines, `reach` wide, about a mask (H, W) bool of a picture (H, W, 3); its own border is none."""
        found = [_lines_in(mask, top, reach) for top in range(0, len(mask), _rows_at_a_time(mask.shape[1], reach))]
        inside, outside = (np.concatenate(places) for places in zip(*found, strict=True))
        if colour is None and len(inside):
            rows, columns = np.divmod(inside, mask.shape[1])
            return cls(inside, outside, _farthest(picture[rows, columns]))
        return cls(inside, outside, colour or WHITE)

    def between(self, first: int, last: int) -> "_Lines":
        """Return the parts of the lines from place `first` to before place `last`, counted from `first`."""
        inside, outside = (
            places[slice(*np.searchsorted(places, (first, last)))] - first for places in (self.inside, self.outside)
        )
        return _Lines(inside, outside, self.colour)


def _draw(pixels: np.ndarray, lines: _Lines) -> None:
    pixels[lines.outside], pixels[lines.inside] = 0, lines.colour


def _lines_in(mask: np.ndarray, top: int, reach: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the places of both lines in the strip of a mask (H, W) that begins with the row `top`."""
    height, width = mask.shape
    bottom = min(height, top + _rows_at_a_time(width, reach))
    first = max(0, top - reach)
    seen = mask[first : min(height, bottom + reach)]
    covered = np.count_nonzero(seen)
    if covered in (0, seen.size):
        return np.empty(0, np.intp), np.empty(0, np.intp)
    own = slice(top - first, bottom - first)
    inside, outside = _dilated(~seen, reach)[own] & seen[own], _dilated(seen, reach)[own] & ~seen[own]
    return np.flatnonzero(inside) + top * width, np.flatnonzero(outside) + top * width


def _dilated(mask: np.ndarray, reach: int) -> np.ndarray:
    """Return where a mask (H, W) has a pixel within `reach` along both axes.

    In numpy, since OpenCV would take a tenth of a second to import for it.
    """
    height, width = mask.shape
    framed = np.zeros((height + 2 * reach, width + 2 * reach), bool)
    framed[reach:-reach, reach:-reach] = mask
    covered = 1
    while covered <= 2 * reach:
        step = min(covered, 2 * reach + 1 - covered)
        framed, covered = framed[:-step] | framed[step:], covered + step
    covered = 1
    while covered <= 2 * reach:
        step = min(covered, 2 * reach + 1 - covered)
        framed, covered = framed[:, :-step] | framed[:, step:], covered + step
    return framed


def _farthest(pixels: np.ndarray) -> np.ndarray:
    """Return the colour of the outlines' that is farthest, in the mean, from pixels (N, 3)."""
    levels = pixels.astype(np.int16)
    distances = [np.abs(levels - colour).sum(dtype=np.int64) for colour in _OUTLINE_COLOURS]
    return _OUTLINE_COLOURS[int(np.argmax(distances))]
