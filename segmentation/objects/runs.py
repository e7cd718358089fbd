"""Masks as COCO's run-lengths: counts of pixels, column by column, of ground and object in turn.

Compressed, each count is written as its difference from the one two places before it, five bits a letter.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from toolkit.errors import UserError

_BITS, _MORE, _SIGN = 5, 32, 16
_FIRST = 48  # the letter of zero
_LETTERS = 7  # of one count at most: 35 bits hold any difference of counts of 2^31 pixels
_UNCHANGED = 3  # counts that are written as they are


@dataclass(frozen=True, eq=False)
class Runs:
    """The runs of equal labels but 0 in labels (H, W), column by column: first pixel, pixel after the last, label.

    Pixels are numbered as if each column had one more below it, so that no run goes on in the next column.
    """

    starts: np.ndarray
    stops: np.ndarray
    labels: np.ndarray
    shape: tuple[int, int]

    @classmethod
    def of(cls, labels: np.ndarray) -> "Runs":
        """Return those of labels (H, W), or of a mask of bool."""
        height, width = labels.shape
        columns = np.zeros((width, height + 1), labels.dtype)
        columns[:, :height] = labels.T
        flat = columns.ravel()
        changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
        bounds = np.concatenate([[0] if flat[0] else [], changes]).astype(np.int64)
        held = flat[bounds]  # 0 where a run ends and none follows
        return cls(bounds[held != 0], bounds[1:][held[:-1] != 0], held[held != 0], (height, width))

    def painted(self, labels: np.ndarray) -> np.ndarray:
        """Return an image (H, W) of the type of `labels`, which has one for each run; 0 elsewhere."""
        height, width = self.shape
        bounds = np.concatenate([[0], np.stack([self.starts, self.stops], axis=1).ravel(), [(height + 1) * width]])
        values = np.zeros(2 * len(labels) + 1, labels.dtype)
        values[1::2] = labels
        return np.repeat(values, np.diff(bounds)).reshape(width, height + 1)[:, :height].T

    def boxes(self, count: int) -> np.ndarray:
        """Return the box x, y, width, height (N, 4) of each label from 1 to `count`, all of which have a run."""
        column = self.shape[0] + 1
        lefts, tops = np.full(count, self.shape[1]), np.full(count, column)
        rights, bottoms = np.zeros(count, int), np.zeros(count, int)
        places, index = self.starts // column, self.labels.astype(int) - 1
        np.minimum.at(lefts, index, places)
        np.maximum.at(rights, index, places + 1)
        np.minimum.at(tops, index, self.starts - places * column)
        np.maximum.at(bottoms, index, self.stops - places * column)
        return np.stack([lefts, tops, rights - lefts, bottoms - tops], axis=1)

    def of_label(self, label: int) -> "Runs":
        """Return those of one label."""
        own = self.labels == label
        return Runs(self.starts[own], self.stops[own], self.labels[own], self.shape)

    def spans(self) -> np.ndarray:
        """Return the spans (N, 2) of pixels of all runs together."""
        return spans_of(self.counts())

    def counts(self) -> np.ndarray:
        """Return COCO's counts (N,) of all runs together, whatever their labels."""
        height, width = self.shape
        starts, stops = (places - places // (height + 1) for places in (self.starts, self.stops - 1))
        stops = stops + 1
        whole = np.append(starts[1:] != stops[:-1], True)[: len(starts)]  # others go on at the top of the next column
        bounds = np.stack([starts[np.roll(whole, 1)], stops[whole]], axis=1).ravel()
        counts = np.diff(np.concatenate([[0], bounds, [height * width]]))
        return counts if counts[-1] else counts[:-1]


def mask_of(counts: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return the mask (H, W) bool of counts that sum to H * W."""
    found = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return found.reshape(shape[1], shape[0]).T


def spans_of(counts: np.ndarray) -> np.ndarray:
    """Return the spans (N, 2) of pixels, first and after the last, that counts (M,) have for object."""
    bounds = np.cumsum(counts)[: len(counts) // 2 * 2].reshape(-1, 2)
    return bounds[bounds[:, 0] < bounds[:, 1]]


def painted(spans: Sequence[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Return the mask (H, W) bool of what is in any of several spans (N, 2)."""
    bounds = np.concatenate([np.zeros((0, 2), np.int64), *spans])
    if len(spans) == 1:  # which do not overlap
        return mask_of(np.diff(bounds.ravel(), prepend=0, append=shape[0] * shape[1]), shape)
    depth = np.zeros(shape[0] * shape[1] + 1, np.int32)
    np.add.at(depth, bounds[:, 0], 1)
    np.subtract.at(depth, bounds[:, 1], 1)
    return (np.cumsum(depth[:-1], dtype=np.int32) > 0).reshape(shape[1], shape[0]).T


def compressed(counts: np.ndarray) -> str:
    """Return counts (N,) as COCO's letters."""
    rest = np.asarray(counts, np.int64).copy()
    rest[_UNCHANGED:] -= np.asarray(counts, np.int64)[1:-2]
    letters = np.zeros((len(rest), _LETTERS), np.uint8)
    open_ = np.ones(len(rest), bool)
    for place in range(_LETTERS):
        low = rest & (_MORE - 1)
        rest = rest >> _BITS
        goes_on = np.where(low & _SIGN, rest != -1, rest != 0)
        letters[open_, place] = (low + _MORE * goes_on + _FIRST)[open_]
        open_ &= goes_on
    return letters[letters > 0].tobytes().decode("ascii")


def read_counts(counts: str | Sequence[int], shape: tuple[int, int], where: str) -> np.ndarray:
    """Return the counts (N,) int64 of a mask (H, W): numbers as they are, or COCO's letters.

    UserError, which begins with `where`, for what is no such thing or has not H * W pixels in all.
    """
    found = _letters(counts, where) if isinstance(counts, str) else _numbers(counts, where)
    if len(found) and found.min() < 0:
        raise UserError(f"{where} holds a negative count of pixels; write it again")
    if (total := int(found.sum())) != math.prod(shape):
        raise UserError(
            f"{where} holds counts of {total} pixels, but its image is {shape[1]} x {shape[0]}; write it again"
        )
    return found


def _numbers(counts: Sequence[int], where: str) -> np.ndarray:
    if not isinstance(counts, list) or not all(type(count) is int and abs(count) < 2**31 for count in counts):
        raise UserError(f"{where} holds counts that are no whole numbers of pixels; write it again")
    return np.array(counts, np.int64)


def _letters(text: str, where: str) -> np.ndarray:
    letters = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.int64) - _FIRST
    ends = np.flatnonzero((letters & _MORE) == 0)
    lengths = np.diff(ends, prepend=-1)
    odd = len(letters) and (letters.min() < 0 or letters.max() >= 2 * _MORE or ends[-1:] != len(letters) - 1)
    if odd or lengths.max(initial=0) > _LETTERS:
        raise UserError(f"{where} holds counts that are not COCO's compressed run-lengths; write it again")
    places = np.arange(len(letters)) - np.repeat(ends - lengths + 1, lengths)
    bits = (letters & (_MORE - 1)) << (_BITS * places)
    values = np.add.reduceat(bits, ends - lengths + 1) if len(ends) else bits
    values = values - np.where(letters[ends] & _SIGN, np.int64(1) << (_BITS * lengths), 0)
    for first in (1, 2):  # each count but the first continues the row of every second one
        values[first::2] = np.cumsum(values[first::2])
    return values
