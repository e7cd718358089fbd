"""Random numbers by index: row i of a stream is the same whatever the batch size, the device and the processes."""

import hashlib
import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import ndtr, ndtri

from toolkit.errors import UserError

_PER_COUNTER = 4  # one Philox counter step gives four 64-bit numbers


@dataclass
class Stream:
    """A position in an endless table of random rows, named by a seed and a purpose.

    Drawing `count` rows moves `position` on by `count`; the state is these three values and nothing else, so a
    checkpoint of it is exact. Philox is counter-based (Salmon et al. 2011), hence any row is reached at once.
    """

    seed: int
    name: str
    position: int = 0

    def uniform(self, count: int, width: int) -> torch.Tensor:
        """Return the next rows, (count, width) float64 in the open interval (0, 1)."""
        rows = torch.from_numpy(self._rows(count, width))
        self.position += count
        return rows

    def normal(self, count: int, width: int, truncation: float | None = None) -> torch.Tensor:
        """Return the next rows of N(0, 1), (count, width) float32; with `truncation` t, restricted to [-t, t].

        This is true truncation (the density cut at +-t and renormalised), not scaling. UserError unless t > 0.
        """
        if truncation is not None and not truncation > 0:
            raise UserError(f"truncation is {truncation}, but has to be above 0; omit it for none")
        uniform = self.uniform(count, width).numpy()
        if truncation is not None:
            low = ndtr(-truncation)
            uniform = low + uniform * (1 - 2 * low)
        return torch.from_numpy(ndtri(uniform).astype(np.float32))

    def integers(self, count: int, high: int) -> torch.Tensor:
        """Return the next `count` whole numbers, (count,) int64, uniform in 0 .. high - 1."""
        return (self.uniform(count, 1)[:, 0] * high).long().clamp_max_(high - 1)

    def beside(self, what: str) -> "Stream":
        """Return a stream, at the same row, of what goes with each row of this one.

        Drawn from this stream itself, a second number a row would make row i depend on how many are drawn at a time.
        """
        return Stream(self.seed, f"{self.name}:{what}", self.position)

    def state(self) -> dict[str, int | str]:
        """Return the three values that name the next row."""
        return {"seed": self.seed, "name": self.name, "position": self.position}

    def _rows(self, count: int, width: int) -> np.ndarray:
        pitch = math.ceil(width / _PER_COUNTER)
        digest = hashlib.sha256(f"{self.seed}:{self.name}:{width}".encode()).digest()
        bits = np.random.Philox(key=np.frombuffer(digest[:16], dtype=np.uint64))
        bits.advance(self.position * pitch)
        raw = bits.random_raw(count * pitch * _PER_COUNTER).reshape(count, pitch * _PER_COUNTER)[:, :width]
        # The top 53 bits make a float64; the half step keeps 0 out, the minimum 1 (to which the last step rounds):
        # the normal quantile is infinite at both.
        return np.minimum(((raw >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53, 1 - 2.0**-53)
