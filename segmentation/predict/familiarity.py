"""What a segmenter remembers of the photos it was trained on, and how unusual another photo is beside them.

No labels: what is remembered is how the U-Net's own decoder features, averaged over a photo's centre square, vary from
one training photo to the next. A photo's score is its Mahalanobis distance from them (Lee et al. 2018), with the
variances beyond the first principal directions replaced by their mean (Moghaddam and Pentland 1997). Scores of training
photos, each by statistics without it, turn a score into a photo's familiarity: the share in (0, 1] of training photos
at least as unusual, a conformal p-value (Vovk et al. 2005).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from toolkit.errors import UserError
from toolkit.files.artefacts import Tensors, match_state

LEAST_PHOTOS = 50  # below, the lowest p-value is hardly under the share from which a photo is called unlike
MOST_PHOTOS = 2000  # more take time, at 64 pixels a minute of a CPU core in 4,000, and hardly change the statistics
PREFIX = "familiarity."  # of the entries in a segmenter's file

_DIRECTIONS = 128  # of 512 features at width 32; from 64 on flowers and other things are kept apart alike
_FOLDS = 5
_FEATURES = 16  # times the width: a mean and a deviation of 4 + 2 + 1 + 1 channels
_FLOOR = 0.05  # of the mean deviation: a channel that is silent on the training photos must not outweigh all others


def centre_square(images: torch.Tensor) -> torch.Tensor:
    """Return the centre squares (B, C, S, S) of images (B, C, h, w), S the shorter side.

    Training photos are squares. The same features of a whole oblong photo differ by its shape, whatever it shows: near
    its border, and where halved sides do not come out even. Of flowers 8 pixels in 64 wider than high, 28% looked
    unlike flowers for that alone.
    """
    height, width = images.shape[2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return images[:, :, top : top + side, left : left + side]


def summary(levels: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the means and deviations (B, F) float32 over the positions of feature maps (B, C, h, w)."""
    parts: list[torch.Tensor] = []
    for level in levels:
        deviation, mean = torch.std_mean(level.float(), dim=(2, 3), correction=0)
        parts += [mean, deviation]
    return torch.cat(parts, dim=1)


@dataclass(frozen=True, eq=False)
class Spread:
    """How rows (N, F) of features vary: their mean and scale (F,), the main directions (K, F), K + 1 variances.

    The last variance is the mean one of all other directions.
    """

    mean: np.ndarray
    scale: np.ndarray
    directions: np.ndarray
    variances: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray) -> "Spread":
        """Return how rows (N, F) vary, N at least 2."""
        count, size = rows.shape
        most = max(1, min(_DIRECTIONS, size // 4, count // 8))
        mean, deviation = rows.mean(axis=0), rows.std(axis=0)
        scale = np.hypot(deviation, max(_FLOOR * float(deviation.mean()), 1e-6))
        variances, vectors = np.linalg.eigh(np.cov((rows - mean) / scale, rowvar=False))
        rest = max(float(variances[:-most].mean()), 1e-6)
        main = np.maximum(variances[: -most - 1 : -1], rest)
        return cls(mean, scale, vectors[:, : -most - 1 : -1].T, np.append(main, rest))

    def scores(self, rows: np.ndarray) -> np.ndarray:
        """Return the distances (B,) of rows (B, F)."""
        centred = (rows - self.mean) / self.scale
        along = centred @ self.directions.T
        beyond = np.maximum((centred**2).sum(axis=1) - (along**2).sum(axis=1), 0)
        return np.sqrt((along**2 / self.variances[:-1]).sum(axis=1) + beyond / self.variances[-1])


@dataclass(frozen=True, eq=False)
class Familiarity:
    """The spread of the training photos' features, and the scores (N,), ascending, of photos held back from it."""

    spread: Spread
    held_back: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray) -> "Familiarity | None":
        """Return what there is to remember of photos' features (N, F), or None of fewer than LEAST_PHOTOS.

        Each photo is held back once, from the spread of four fifths of them.
        """
        if len(rows) < LEAST_PHOTOS:
            return None
        rows = rows.astype(np.float64)
        fold = np.arange(len(rows)) % _FOLDS
        held = [Spread.of(rows[fold != each]).scores(rows[fold == each]) for each in range(_FOLDS)]
        return cls(Spread.of(rows), np.sort(np.concatenate(held)))

    @property
    def known(self) -> int:
        """Return how many training photos a photo is compared with."""
        return len(self.held_back)

    def judge(self, rows: np.ndarray) -> list[float]:
        """Return the familiarity of photos of these features (B, F)."""
        below = np.searchsorted(self.held_back, self.spread.scores(rows.astype(np.float64)))
        return (1 - below / (self.known + 1)).tolist()

    def tensors(self) -> Tensors:
        """Return its entries in a segmenter's file."""
        held = {**vars(self.spread), "held_back": self.held_back}
        return {PREFIX + name: torch.from_numpy(array.astype(np.float32)) for name, array in held.items()}

    @classmethod
    def from_tensors(cls, tensors: Tensors, width: int, path: Path) -> "Familiarity | None":
        """Return what the entries of a segmenter's file say, or None where there are none.

        UserError where they do not fit a U-Net of that width.
        """
        state = {name.removeprefix(PREFIX): tensor for name, tensor in tensors.items() if name.startswith(PREFIX)}
        if not state:
            return None
        match_state(state, _shapes(state, _FEATURES * width), path, "statistics of training photos")
        if not all(bool((state[name] > 0).all()) for name in ("scale", "variances")):
            raise UserError(f"{path} holds statistics of photos that do not vary; make or download it again")
        arrays = {name: tensor.double().numpy() for name, tensor in state.items()}
        held = np.sort(arrays.pop("held_back"))
        return cls(Spread(**arrays), held)


def _shapes(state: Tensors, size: int) -> dict[str, tuple[int, ...]]:
    main, held = (
        len(state[name]) if name in state and state[name].dim() else 1 for name in ("directions", "held_back")
    )
    known = {"mean": (size,), "scale": (size,), "directions": (main, size)}
    return {**known, "variances": (main + 1,), "held_back": (held,)}
