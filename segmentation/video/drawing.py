"""What a clip is turned into: a picture of each frame and its probability."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from segmentation.video.settings import CLIP_KINDS
from toolkit.pictures.colour import MAGENTA
from toolkit.pictures.cutouts import composite, cut_out, levels
from toolkit.pictures.grounds import WHITE_GROUND, Ground, Scenery
from toolkit.pictures.outlines import overlay

SEE_THROUGH = "cutout"


@dataclass(frozen=True)
class Drawing:
    """One kind of picture (CLIP_KINDS), the threshold, and what lies behind a composite."""

    kind: str
    threshold: float = 0.5
    ground: Ground = WHITE_GROUND

    def ground_digest(self) -> str:
        """Return letters that tell what lies behind a composite."""
        if isinstance(self.ground, Scenery):
            return hashlib.sha256(self.ground.pixels.tobytes()).hexdigest()[:16]
        return repr(self.ground)

    def drawn(self, frame: np.ndarray, probability: np.ndarray) -> np.ndarray:
        """Return the picture of a frame uint8 (H, W, 3): uint8 (H, W), (H, W, 3), or (H, W, 4) of a cut-out."""
        return _WAYS[self.kind](self, frame, probability)

    def _mask(self, frame: np.ndarray, probability: np.ndarray) -> np.ndarray:
        return (probability >= self.threshold).view(np.uint8) * np.uint8(255)

    def _soft(self, frame: np.ndarray, probability: np.ndarray) -> np.ndarray:
        return levels(probability)

    def _overlay(self, frame: np.ndarray, probability: np.ndarray) -> np.ndarray:
        return overlay(frame, probability >= self.threshold, MAGENTA)  # one for all frames: their own would flicker

    def _cutout(self, frame: np.ndarray, probability: np.ndarray) -> np.ndarray:
        return cut_out(frame, probability, self.threshold)

    def _composite(self, frame: np.ndarray, probability: np.ndarray) -> np.ndarray:
        cut = self._cutout(frame, probability)
        return np.asarray(composite(cut, self.ground.behind(frame, cut[..., 3])))


_WAYS: dict[str, Callable[[Drawing, np.ndarray, np.ndarray], np.ndarray]] = {
    kind: getattr(Drawing, f"_{kind}") for kind in CLIP_KINDS
}
