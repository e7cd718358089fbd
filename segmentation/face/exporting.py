"""Exporting a segmenter for other runtimes."""

import os
from pathlib import Path
from typing import Any

from segmentation.export.exporting import export_segmenter
from segmentation.export.settings import Export
from segmentation.face.using import AnySegmenter, as_segmenter
from toolkit.screen import watch_of

Where = str | os.PathLike[str]


def export(
    segmenter: AnySegmenter,
    out: Where,
    layout: str = "onnx",
    *,
    half: bool = False,
    int8: bool = False,
    calibrate: Where | None = None,
    photos: Where | None = None,
    masks: Where | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """Write a segmenter as a file for other runtimes, as `toolkit export` does, and return the card in it.

    Layouts are "onnx" (a `.onnx` file, which OnnxSegmenter opens without torch), "torch-export" (`.pt2`) and
    "torchscript" (`.pt`). Of ONNX, `half` stores convolutions in 16 bits; `int8` computes them in 8, calibrated on the
    photos below `calibrate`. What that costs in IoU is measured on folders of `photos` and `masks`, and without them as
    the share of pixels that differ on the photos of calibration. UserError for what does not go together.

    >>> export("flowers64", "flowers64.onnx")["precision"]  # doctest: +SKIP
    'fp32'
    """
    folders = [None if folder is None else Path(folder) for folder in (calibrate, photos, masks)]
    how = Export(layout, half, int8, *folders)
    return export_segmenter(as_segmenter(segmenter), Path(out), how, watch_of(progress))
