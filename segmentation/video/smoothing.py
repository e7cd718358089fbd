"""Probabilities smoothed over a clip's time, anew from each scene on.

A network that sees one frame at a time is of two minds about some pixels, which then flicker. The mean over earlier
frames, each counting the less the longer ago it was (exponentially), settles them; what moves lags behind by about the
time constant.
"""

import math
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

_THUMB = (32, 18)  # pixels across and down of what two frames are compared by


@dataclass
class Smoothing:
    """The mean over frames so far, after time constant `seconds`; a change of `cut` or more begins a scene.

    `mean` (H, W) float32 is None before the first frame; `scenes` counts those seen.
    """

    seconds: float
    cut: float
    mean: np.ndarray | None = None
    scenes: int = 0
    _thumb: np.ndarray | None = field(default=None, repr=False)
    _time: float = 0.0

    def go_on_from(self, frame: np.ndarray, time: float, mean: np.ndarray) -> None:
        """Take up the state after a frame uint8 (H, W, 3) at `time` seconds whose mean it was."""
        self._thumb, self._time, self.mean = thumb_of(frame), time, mean

    def after(self, frame: np.ndarray, time: float, probability: np.ndarray) -> np.ndarray:
        """Return the mean (H, W) after a frame uint8 (H, W, 3) at `time` seconds, given its probability (H, W).

        The array is this frame's own: the next one makes another.
        """
        thumb = thumb_of(frame)
        begins = self.mean is None or self._thumb is None or change(self._thumb, thumb) >= self.cut
        self.scenes += begins
        if begins or self.seconds == 0:
            mean = probability
        else:
            kept = np.float32(math.exp(-max(0.0, time - self._time) / self.seconds))
            mean = probability + kept * (self.mean - probability)
        self.mean, self._thumb, self._time = mean, thumb, time
        return mean


def thumb_of(frame: np.ndarray) -> np.ndarray:
    """Return a frame uint8 (H, W, 3) made very small, int16."""
    return np.asarray(Image.fromarray(frame).resize(_THUMB, Image.Resampling.BOX, reducing_gap=1.0), np.int16)


def change(before: np.ndarray, after: np.ndarray) -> float:
    """Return the mean distance of colours between two thumbs, from 0 to 1."""
    return float(np.abs(after - before).mean()) / 255
