"""What a segmenter remembers of the photos it was trained on, and how unusual another photo is beside them.

No labels: what is remembered is how the U-Net's own decoder features, averaged over a photo, vary from one training
photo to the next, apart from what the photo's shape alone adds to them (segmentation.predict.aspects). A photo's score
is its Mahalanobis distance from them (Lee et al. 2018), with the variances beyond the first principal directions
replaced by their mean (Moghaddam and Pentland 1997). Scores of training photos, each by statistics without it, turn a
score into a photo's familiarity: the share in (0, 1] of training photos at least as unusual, a conformal p-value (Vovk
et al. 2005).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from segmentation.predict.aspects import SHAPES, Shapes
from toolkit.errors import UserError
from toolkit.files.artefacts import Tensors, match_state

LEAST_PHOTOS = 50  # below, the lowest p-value is hardly under the share from which a photo is called unlike
MOST_PHOTOS = 2000  # more take time, at 64 pixels a minute of a CPU core in 1,500, and hardly change the statistics
PREFIX = "familiarity."  # of the entries in a segmenter's file

_DIRECTIONS = 128  # of at most 512 features at width 32; from 64 on flowers and other things are kept apart alike
_FOLDS = 5
_FEATURES = 8  # times the width: a mean and a deviation of 2 + 1 + 1 channels, those of the finer three stages
_SQUARES_FEATURES = 16  # of older files, which hold all four stages, of squares alone
_FLOOR = 0.05  # of the mean deviation: a channel that is silent on the training photos must not outweigh all others


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
    """The spread of the training photos' features less what `shapes` add, and the scores of photos held back.

    Those (N,) are ascending, one a photo.
    """

    spread: Spread
    held_back: np.ndarray
    shapes: Shapes

    @classmethod
    def of(cls, rows: np.ndarray) -> "Familiarity | None":
        """Return what there is to remember of photos' summaries, or None of fewer than LEAST_PHOTOS.

        rows (N, 1 + len(SHAPES), F): of each photo, its square first, then cut to SHAPES; NaN where it was not. Each
        photo is held back once, in one of the shapes, from the spread of about four fifths of them.
        """
        if len(rows) < LEAST_PHOTOS:
            return None
        rows = rows[..., rows.shape[2] - rows.shape[2] * _FEATURES // _SQUARES_FEATURES :].astype(np.float64)
        shapes, alike = Shapes.of(rows)
        fold = np.arange(len(rows)) // len(SHAPES) % _FOLDS  # of all shapes in each
        held = [cls._scores(alike, fold == each) for each in range(_FOLDS)]
        return cls(Spread.of(_present(alike)), np.sort(np.concatenate(held)), shapes)

    @staticmethod
    def _scores(rows: np.ndarray, back: np.ndarray) -> np.ndarray:
        """Return the scores of the photos held `back`, each in one of its shapes."""
        spread = Spread.of(_present(rows[~back]))
        chosen = [looks[index % len(looks)] for index, looks in enumerate(map(_present, rows[back]))]
        return spread.scores(np.stack(chosen))

    @property
    def known(self) -> int:
        """Return how many training photos a photo is compared with."""
        return len(self.held_back)

    def judge(self, rows: np.ndarray, aspect: float) -> list[float]:
        """Return the familiarity of photos of these summaries (B, F), of a shape whose width is `aspect` x its height.

        Of the summaries those features count that are remembered.
        """
        features = rows[:, rows.shape[1] - len(self.spread.mean) :].astype(np.float64) - self.shapes.offset(aspect)
        below = np.searchsorted(self.held_back, self.spread.scores(features))
        return (1 - below / (self.known + 1)).tolist()

    def tensors(self) -> Tensors:
        """Return its entries in a segmenter's file."""
        held = {**vars(self.spread), **vars(self.shapes), "held_back": self.held_back}
        return {PREFIX + name: torch.from_numpy(array.astype(np.float32)) for name, array in held.items()}

    @classmethod
    def from_tensors(cls, tensors: Tensors, width: int, path: Path) -> "Familiarity | None":
        """Return what the entries of a segmenter's file say, or None where there are none.

        UserError where they do not fit a U-Net of that width.
        """
        state = {name.removeprefix(PREFIX): tensor for name, tensor in tensors.items() if name.startswith(PREFIX)}
        if not state:
            return None
        match_state(state, _shapes(state, width), path, "statistics of training photos")
        if not all(bool((state[name] > 0).all()) for name in ("scale", "variances")):
            raise UserError(f"{path} holds statistics of photos that do not vary; make or download it again")
        arrays = {name: tensor.double().numpy() for name, tensor in state.items()}
        held, aspects, offsets = (
            np.sort(arrays.pop("held_back")),
            arrays.pop("aspects", None),
            arrays.pop("offsets", None),
        )
        if aspects is None or offsets is None:
            return cls(Spread(**arrays), held, Shapes.of_squares(len(arrays["mean"])))
        if not ((aspects > 0).all() and (np.diff(aspects) > 0).all()):
            raise UserError(f"{path} holds statistics of photos of no order of shapes; make or download it again")
        return cls(Spread(**arrays), held, Shapes(aspects, offsets))


def _present(rows: np.ndarray) -> np.ndarray:
    """Return those rows (M, F) of rows (..., F) that are there."""
    flat = rows.reshape(-1, rows.shape[-1])
    return flat[~np.isnan(flat[:, 0])]


def _shapes(state: Tensors, width: int) -> dict[str, tuple[int, ...]]:
    main, held, many = (_length(state, name) for name in ("directions", "held_back", "aspects"))
    with_shapes = "aspects" in state or "offsets" in state
    size = width * (_FEATURES if with_shapes else _SQUARES_FEATURES)
    known = {"mean": (size,), "scale": (size,), "directions": (main, size), "variances": (main + 1,)}
    shapes = {"aspects": (many,), "offsets": (many, size)} if with_shapes else {}
    return {**known, "held_back": (held,), **shapes}


def _length(state: Tensors, name: str) -> int:
    return len(state[name]) if name in state and state[name].dim() else 1
