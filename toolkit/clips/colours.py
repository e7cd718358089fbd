"""How a clip's numbers stand for colours: its matrix, primaries and curve, as the file says, kept in what is written.

PyAV heeds a frame's own tags where it decodes, and ignores the encoder's where it encodes: it then takes the matrix of
standard television. Both ways are written out here, so that a colour comes out as it went in.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

_UNSAID = 2
_STANDARD, _HIGH, _ULTRA = 5, 1, 9  # of ITU-R BT.601, 709 and 2020, as files number them
_MATRICES = {_HIGH: "ITU709", 5: "ITU601", 6: "ITU601", 7: "SMPTE240M", 4: "FCC"}
_NARROW = 1  # luma from 16 to 235


@dataclass(frozen=True)
class Colours:
    """A clip's matrix, primaries and curve by their numbers in ISO/IEC 23091-2; 2 where the file does not say."""

    matrix: int = _UNSAID
    primaries: int = _UNSAID
    curve: int = _UNSAID

    @classmethod
    def of(cls, frame: Any) -> "Colours":
        """Return those of a decoded frame."""
        return cls(int(frame.colorspace), int(frame.color_primaries), int(frame.color_trc))

    def pixels_of(self, frame: Any) -> np.ndarray:
        """Return a decoded frame as RGB uint8 (H, W, 3)."""
        return frame.to_ndarray(format="rgb24")

    def encodable(self, frame: Any, pixel_format: str) -> Any:
        """Return a frame of RGB(A) in an encoder's format."""
        wide = pixel_format.startswith(("rgb", "argb", "bgr", "gbr"))
        matrix = {} if wide else {"dst_colorspace": _MATRICES.get(self.matrix, "ITU601"), "dst_color_range": "MPEG"}
        return frame.reformat(format=pixel_format, **matrix)

    def tag(self, context: Any) -> None:
        """Write into an encoder's context what its numbers stand for; of an unsaid matrix nothing is said."""
        if self.matrix in _MATRICES:
            context.colorspace, context.color_range = self.matrix, _NARROW
            context.color_primaries, context.color_trc = self.primaries, self.curve
