"""What a photo's shape alone does to its average features, so that photos of all shapes can be compared.

Features near a picture's border, and where halved sides do not come out even, differ by its shape, whatever it shows:
of flowers 8 pixels in 64 wider than high, 28% looked unlike square flowers for that alone. So training photos, which
are squares, are looked at cut to other shapes too, and the mean difference that a shape makes is taken off. Between two
of them what it adds is not always in between: of 32 x 45 pixels, whose halves are odd at every stage, a network of
random weights still calls 21% unlike.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch

# Width by height, but for the square: what cameras and screens have. Wider photos are rare; of those the middle counts.
SHAPES = (9 / 16, 2 / 3, 3 / 4, 4 / 3, 3 / 2, 16 / 9)


@dataclass(frozen=True, eq=False)
class Shapes:
    """Widths by heights (K,), ascending, and what each adds to features (K, F) beside a square."""

    aspects: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray) -> "tuple[Shapes, np.ndarray]":
        """Return what shapes add to features, and those (N, 1 + len(SHAPES), F) without it.

        The first of each photo's are of its square, the others of SHAPES; NaN where a photo was not cut so.
        """
        offsets = np.nanmean(rows, axis=0) - rows[:, 0].mean(axis=0)
        aspects = np.array((1.0, *SHAPES))
        order = np.argsort(aspects)
        return cls(aspects[order], offsets[order]), rows - offsets

    @classmethod
    def of_squares(cls, size: int) -> "Shapes":
        """Return those of statistics of `size` features that know squares alone."""
        return cls(np.ones(1), np.zeros((1, size)))

    @property
    def widest(self) -> float:
        """Return the longer side by the shorter of the longest shape that is known."""
        return float(max(self.aspects[-1], 1 / self.aspects[0]))

    def offset(self, aspect: float) -> np.ndarray:
        """Return what a shape adds to features (F,): between two known ones by the logarithm, beyond as the last."""
        position = np.interp(np.log(aspect), np.log(self.aspects), np.arange(len(self.aspects)))
        below = int(position)
        above = min(below + 1, len(self.aspects) - 1)
        return self.offsets[below] + (position - below) * (self.offsets[above] - self.offsets[below])


def cut_to(photo: np.ndarray, aspect: float) -> np.ndarray:
    """Return the middle of a photo (H, W, 3) as wide as `aspect` times its height, out of its centre square."""
    side = min(photo.shape[:2])
    tall, wide = (max(1, round(side / max(aspect, 1))), max(1, round(side * min(aspect, 1))))
    top, left = (photo.shape[0] - tall) // 2, (photo.shape[1] - wide) // 2
    return photo[top : top + tall, left : left + wide]


def middle(images: torch.Tensor, widest: float) -> torch.Tensor:
    """Return images (B, C, h, w), or their middle where the longer side is over `widest` times the shorter one."""
    height, width = images.shape[2:]
    most = math.ceil(min(height, width) * widest)
    tall, wide = min(height, most), min(width, most)
    top, left = (height - tall) // 2, (width - wide) // 2
    return images[:, :, top : top + tall, left : left + wide]
