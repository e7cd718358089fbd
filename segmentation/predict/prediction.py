"""One photo's prediction as a value."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from segmentation.objects.finding import FoundObject, find_objects
from segmentation.objects.settings import ObjectSettings
from segmentation.predict.unlike import is_unlike
from toolkit.pictures.cutouts import cut_out
from toolkit.pictures.outlines import overlay


@dataclass(frozen=True, repr=False)
class Prediction:
    """A photo uint8 (H, W, 3), the probability (H, W) float32 in [0, 1] that a pixel is foreground, and its name.

    `name` is the photo's path, or its number among those that were passed. `familiarity` is the share in (0, 1] of the
    segmenter's training photos that are at least as unusual, or None where it remembers none.
    """

    name: str
    photo: np.ndarray
    probability: np.ndarray
    familiarity: float | None = None

    def __repr__(self) -> str:
        height, width = self.probability.shape
        return f"<Prediction of {self.name}: {width} x {height} pixels, {self.mask().mean():.0%} foreground>"

    @property
    def unlike(self) -> bool | None:
        """Return whether the photo looks unlike the training photos; None where the segmenter remembers none."""
        return None if self.familiarity is None else is_unlike(self.familiarity)

    def mask(self, threshold: float = 0.5) -> np.ndarray:
        """Return the mask (H, W) bool: probability at least `threshold`."""
        return self.probability >= threshold

    def objects(self, threshold: float = 0.5, **changes: Any) -> list[FoundObject]:
        """Return the things in the mask, the largest first; `changes` are fields of ObjectSettings, as `min_object`."""
        return find_objects(self.probability, threshold, ObjectSettings.of(None, None, changes)).items

    def overlay(self, threshold: float = 0.5) -> np.ndarray:
        """Return the photo, uint8 (H, W, 3), with the mask outlined."""
        return overlay(self.photo, self.mask(threshold))

    def cutout(self, threshold: float = 0.5) -> Image.Image:
        """Return the foreground as an "RGBA" picture with a smooth edge and clean colours along it."""
        return Image.fromarray(cut_out(self.photo, self.probability, threshold))
