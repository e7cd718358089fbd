"""A picture of why: candidates' images, their shifted twins and masks."""

import numpy as np
import torch

from discovery.charts import labelled
from discovery.picking.picker import Candidate, judged_latents
from discovery.settings import PickSettings
from generators.protocol import Generator, render_twins
from toolkit.compute.engine import Engine
from toolkit.directions import DirectionSet
from toolkit.masks.filters import large_components
from toolkit.masks.rules import MASK_RULES
from toolkit.pictures.outlines import overlay
from toolkit.pictures.pixels import grid, stack_rows, to_bytes


def candidates_picture(
    generator: Generator,
    directions: DirectionSet,
    candidates: list[Candidate],
    settings: PickSettings,
    engine: Engine,
    columns: int = 10,
) -> np.ndarray:
    """Return a picture with three rows a candidate: images, shifted images, masks over the images."""
    latents = judged_latents(generator, settings)[:columns].to(engine.device)
    rows = []
    for c in candidates:
        shift = directions.shift(c.index, c.sign * c.alpha).to(engine.device)
        with torch.inference_mode():
            before, after = render_twins(generator, latents, shift)
        masks = large_components(MASK_RULES[c.mask_rule](before, after)).cpu().numpy()
        pictures = to_bytes(before)
        block = grid(np.concatenate([pictures, to_bytes(after), overlay(pictures, masks)]), len(pictures))
        name = f"{directions.names[c.index]}  {c.sign * c.alpha:+.1f}  score {c.score:.3f}  {c.mask_rule}"
        rows.append(labelled(block, name))
    return stack_rows(rows)
