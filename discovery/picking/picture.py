"""A picture of why: candidates' images, their shifted twins and masks."""

import numpy as np

from discovery.charts import labelled
from discovery.picking.measuring import judged_latents, seen
from discovery.picking.picker import Candidate
from discovery.settings import PickSettings
from generators.protocol import Generator
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
    """Return a picture with three rows a candidate: images, shifted images, masks over the images, as it was judged."""
    latents = judged_latents(generator, settings)[:columns]
    before = seen(generator, latents, engine)
    pictures, rows = to_bytes(before), []
    for c in candidates:
        after = seen(generator, latents.shifted(directions.shift(c.index, c.sign * c.alpha)), engine)
        masks = large_components(MASK_RULES[c.mask_rule](before, after)).cpu().numpy()
        block = grid(np.concatenate([pictures, to_bytes(after), overlay(pictures, masks)]), len(pictures))
        name = f"{directions.names[c.index]}  {c.sign * c.alpha:+.1f}  score {c.score:.3f}  {c.mask_rule}"
        rows.append(labelled(block, name))
    return stack_rows(rows)
