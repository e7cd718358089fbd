"""How a segmenter is exported. No torch here: the command line reads the layouts from it."""

from dataclasses import dataclass
from pathlib import Path

from toolkit.errors import UserError, named

LAYOUTS = {"onnx": (".onnx",), "torch-export": (".pt2",), "torchscript": (".pt",)}  # with their files' endings


@dataclass(frozen=True)
class Export:
    """How a segmenter is exported: a layout of LAYOUTS, and for ONNX its precision and what that is measured on.

    `half` stores convolutions in 16 bits; `int8` computes them in 8, with ranges seen on the photos of the folder
    `calibrate`. The loss of IoU is measured on the folders `photos` and `masks`. UserError for what does not go
    together.
    """

    layout: str = "onnx"
    half: bool = False
    int8: bool = False
    calibrate: Path | None = None
    photos: Path | None = None
    masks: Path | None = None

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS:
            raise UserError(f"{named('layout')} is {self.layout!r}; choose one of {', '.join(LAYOUTS)}")
        of_onnx = {"half": self.half, "int8": self.int8, "calibrate": self.calibrate, "photos": self.photos}
        for name, given in of_onnx.items():
            if given and self.layout != "onnx":
                raise UserError(f"{named(name)} goes with {named('layout', 'onnx')}, not {self.layout}; omit it")
        if self.half and self.int8:
            raise UserError(f"{named('half')} and {named('int8')} are two precisions; give one of the two")
        if self.int8 != (self.calibrate is not None):
            raise UserError(f"{named('int8')} and {named('calibrate')}, a folder of photos, go together; give both")
        if (self.photos is None) != (self.masks is None):
            raise UserError(f"{named('photos')} and {named('masks')} go together; give both folders")

    @property
    def precision(self) -> str:
        """Return the precision in a word."""
        return "int8" if self.int8 else "half" if self.half else "fp32"
