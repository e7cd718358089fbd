"""Rules: how the codes of one kind of file become background, object and ignored pixels."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segmentation.mask_reading.files import Held

BACKGROUND, OBJECT, IGNORED = 0, 1, 2


@dataclass(frozen=True)
class Look:
    """What a file holds, without its pixels."""

    path: Path
    kind: str
    counts: dict[int, int]
    lossy: bool = False
    alpha: bool = False  # it has such a channel
    alpha_varies: bool = False

    @classmethod
    def at(cls, path: Path, held: Held) -> "Look":
        """Return what a file was found to hold."""
        return cls(path, held.kind, held.counts, held.lossy, held.alpha is not None, held.alpha_varies)


@dataclass(frozen=True)
class Rule:
    """How files of one kind are read; `words` says it, and `plain` that it goes without saying.

    Object is what has at least `level` of 255, or, without `level`, the codes in `objects`, or, without those too, all
    codes but 0. `ignored` are the codes that are neither. With `alpha` the alpha channel is looked at, not the codes.
    """

    words: str
    plain: bool = False
    level: float | None = None
    objects: frozenset[int] | None = None
    ignored: frozenset[int] = frozenset()
    alpha: bool = False

    def classes(self, held: Held) -> np.ndarray:
        """Return uint8 (H, W): BACKGROUND, OBJECT and IGNORED."""
        if self.alpha and held.alpha is not None:
            return (held.alpha >= 127.5).view(np.uint8)
        classes = self._of(held.codes)
        if held.alpha_varies and held.alpha is not None:
            classes[held.alpha < 127.5] = BACKGROUND
        return classes

    def _of(self, codes: np.ndarray) -> np.ndarray:
        if self.level is not None:
            classes = (codes >= self.level).view(np.uint8)
        elif self.objects is None:
            classes = (codes != 0).view(np.uint8)
        else:
            classes = np.isin(codes, list(self.objects)).view(np.uint8)
        if self.ignored:
            classes[np.isin(codes, list(self.ignored))] = IGNORED
        return classes
