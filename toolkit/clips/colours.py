"""How a clip's numbers stand for colours: its matrix, primaries and curve, as the file says, kept in what is written.

PyAV heeds a frame's own tags where it decodes, and ignores the encoder's where it encodes: it then takes the matrix of
standard television. Both ways are written out here, so that a colour comes out as it went in.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from toolkit.clips.needs import pyav

_UNSAID = 2
_MATRICES = {1: "ITU709", 5: "ITU601", 6: "ITU601", 7: "SMPTE240M", 4: "FCC"}  # as files number them
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

    def encodable(self, frame: Any, pixel_format: str, converter: "Converter") -> Any:
        """Return a frame of grey or RGB(A) in an encoder's format."""
        matrix = _MATRICES.get(self.matrix, "ITU601")
        return converter(frame, format=pixel_format, dst_colorspace=matrix, dst_color_range="MPEG")

    def tag(self, context: Any) -> None:
        """Write into an encoder's context what its numbers stand for; of an unsaid matrix nothing is said."""
        if self.matrix in _MATRICES:
            context.colorspace, context.color_range = self.matrix, _NARROW
            context.color_primaries, context.color_trc = self.primaries, self.curve


class Converter:
    """Brings frames of one clip, one after another, from one format to another; of use in one thread.

    One for all frames: left alone, PyAV makes one for each, which starts a thread a core that lives as long as the
    frame does, and costs seven times the conversion.
    """

    def __init__(self) -> None:
        self._reformatter = pyav().video.reformatter.VideoReformatter()

    def __call__(self, frame: Any, **wanted: Any) -> Any:
        """Return the frame in the wanted form."""
        return self._reformatter.reformat(frame, threads=1, **wanted)

    def pixels_of(self, frame: Any) -> np.ndarray:
        """Return a decoded frame as RGB uint8 (H, W, 3)."""
        return self(frame, format="rgb24").to_ndarray()
