"""Segmenters by name: a run folder, an artefact, a published U-Net file or name, a shipped name."""

from pathlib import Path

from segmentation.predict.segmenter import Segmenter
from toolkit.files.shipped import or_published, or_shipped


def open_segmenter(name: str | Path) -> Segmenter:
    """Return the segmenter called `name`; UserError where there is none, or its file is damaged or does not fit."""
    return Segmenter.load(or_published(or_shipped(Path(name), "segmenters"), "segmenter"))
