"""How far the outlines of a data set's masks lie from the edges that its photos show.

Some masks are the sure part of a trimap: between them and the ground lies a band that nobody labelled, and was taken
for ground. Against such masks whoever follows a thing's edge is marked down, and whoever stays inside is praised.
"""

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from segmentation.evaluate.boundary import WORKING_SIDE
from toolkit.errors import Line, named

REACH = 7  # pixels inwards and outwards of a picture whose shorter side is 256
_LONGEST = 32  # times its shorter side: a longer strip would be enlarged to gigabytes
_SMOOTHING = 1.0  # standard deviation in such pixels, so that an edge is found and not noise
_OFF, _CLEARLY = 2, 1.25  # from how many pixels, and how much stronger edges have to be there, it is worth a line
DEFINITION = (
    "offset: distance from the masks' outlines, outwards positive, in pixels of a picture whose shorter side is 256, "
    "at which the photos' edges are strongest; strength: mean gradient of the photos along each line from 7 pixels "
    "inside the outlines to 7 outside, in units of a photo's mean"
)


def edge_profile(photo: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return a photo's mean gradient (15,) along lines 7 pixels inside a mask to 7 outside.

    The photo is uint8 (H, W, 3), the mask (H, W) bool. Pixels are those of the picture with its shorter side at 256,
    and the unit is the mean gradient of the whole photo. A line runs between pixels, and has the mean of those on both
    of its sides. NaN where there are none; all NaN for a mask without an outline, a photo without edges and one that is
    over 32 times as long as wide.
    """
    none = np.full(2 * REACH + 1, np.nan)
    if max(mask.shape) > _LONGEST * min(mask.shape):
        return none
    scale = WORKING_SIDE / min(mask.shape)
    size = (max(1, round(mask.shape[1] * scale)), max(1, round(mask.shape[0] * scale)))
    small = cv2.resize(photo, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    inside = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    blurred = cv2.GaussianBlur(small.astype(np.float32), (0, 0), _SMOOTHING)
    across, down = (cv2.Sobel(blurred, cv2.CV_32F, dx, 1 - dx, ksize=1) for dx in (1, 0))
    strength = np.sqrt((across**2 + down**2).sum(axis=2))
    if not strength.any() or inside.all() or not inside.any():
        return none
    away = cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5) - cv2.distanceTransform(inside, cv2.DIST_L2, 5)
    rings = np.where(away > 0, np.rint(away) - 1, np.rint(away)).astype(int) + REACH + 1  # pixels at -8 .. 7
    near = (rings >= 0) & (rings < 2 * REACH + 2)
    counts = np.bincount(rings[near], minlength=2 * REACH + 2)
    sums = np.bincount(rings[near], strength[near], 2 * REACH + 2)
    means = np.where(counts > 0, sums / np.maximum(counts, 1) / strength.mean(), np.nan)
    return (means[:-1] + means[1:]) / 2


@dataclass
class EdgeProfiles:
    """Profiles of a data set's photos, added up."""

    _sum: np.ndarray = field(default_factory=lambda: np.zeros(2 * REACH + 1))
    _count: np.ndarray = field(default_factory=lambda: np.zeros(2 * REACH + 1))

    def add(self, profile: np.ndarray) -> None:
        """Count one more photo."""
        known = np.isfinite(profile)
        self._sum[known] += profile[known]
        self._count += known

    @classmethod
    def joined(cls, parts: "list[EdgeProfiles]") -> "EdgeProfiles":
        """Return the profiles of all parts."""
        return cls(np.sum([part._sum for part in parts], axis=0), np.sum([part._count for part in parts], axis=0))

    @property
    def strength(self) -> np.ndarray:
        """Return the mean over photos along each line (15,); 0 where no photo has one."""
        return self._sum / np.maximum(self._count, 1)

    @property
    def offset(self) -> int:
        """Return the distance at which edges are strongest, positive outside the masks; 0 where no photo counts."""
        return int(self.strength.argmax()) - REACH if self._count.any() else 0

    def as_dict(self) -> dict[str, Any]:
        """Return what result files hold."""
        return {
            "offset": self.offset,
            "strength": [round(float(value), 3) for value in self.strength],
            "definition": DEFINITION,
        }

    def warnings(self, inset: float) -> list[str]:
        """Return a line where the masks' outlines clearly lie elsewhere than the edges, given what is allowed for."""
        strongest, at_outline = self.strength.max(), self.strength[REACH]
        if abs(self.offset - inset) < _OFF or strongest < _CLEARLY * at_outline:
            return []
        where, praised = ("inside", "smaller") if self.offset > 0 else ("outside", "larger")
        return [
            Line(
                f"warning: the masks' outlines lie about {abs(self.offset)} pixels (of 256) {where} the edges that the "
                f"photos show, so that masks {praised} than the things score best; {named('inset')} {self.offset} "
                "allows for it"
            )
        ]


def shrunk(probability: np.ndarray, inset: float) -> np.ndarray:
    """Return a map (H, W) whose things are smaller at every threshold, by `inset` pixels of a picture of side 256.

    A negative one makes them larger. Beyond the picture's edges things go on.
    """
    radius = round(abs(inset) * min(probability.shape) / WORKING_SIDE)
    if not radius:
        return probability
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    change = cv2.erode if inset > 0 else cv2.dilate
    return change(np.ascontiguousarray(probability, np.float64), disk).astype(probability.dtype)
