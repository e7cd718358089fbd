"""A picture of synthetic pairs, so that one sees before a training what it trains on."""

import dataclasses
from pathlib import Path

import numpy as np

from segmentation.synthesis.acceptance import Acceptance
from segmentation.synthesis.synthesizer import MaskSynthesizer
from toolkit.errors import Line
from toolkit.pictures.outlines import overlay
from toolkit.pictures.photos import write_picture
from toolkit.pictures.pixels import grid, stack_rows, to_bytes
from toolkit.watch import SILENT, Watch


def draw_samples(like: MaskSynthesizer, path: Path, count: int = 24, watch: Watch = SILENT) -> None:
    """Write a picture of images above their masks, drawn as those of `like`, and say what the filters do."""
    engine = dataclasses.replace(like.engine, compile=False)
    synthesizer = MaskSynthesizer(like.generator, like.shift, like.settings, like.source, "picture", engine)
    batch = synthesizer.batch(count)
    if not engine.team.lead:
        return
    pictures, masks = to_bytes(batch.images), batch.masks.cpu().numpy()
    rows = [
        grid(np.concatenate([pictures[i : i + 12], overlay(pictures[i : i + 12], masks[i : i + 12])]), 12)
        for i in range(0, count, 12)
    ]
    write_picture(path, stack_rows(rows))
    watch.say(f"synthetic pairs: {synthesizer.acceptance.describe()}; mean mask area {masks.mean():.2f}")
    advise(synthesizer.acceptance, watch)


def advise(acceptance: Acceptance, watch: Watch) -> None:
    """Say which filter to ease, where one rejects most samples."""
    if (ease := acceptance.ease()) is not None:
        watch.say(Line(f"note: {ease.line.marked}"))
