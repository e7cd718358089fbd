"""What synthetic pairs are made of, as the flags of `toolkit segment` and `toolkit synthesize` name it."""

from pathlib import Path
from typing import TYPE_CHECKING

from cli.runs.progress import terminal

if TYPE_CHECKING:
    from segmentation.synthesis.source import MaskSource


def open_source(
    directions: Path,
    direction: str | None,
    alpha: float | None,
    generator: str | None,
    weights: Path | None,
    embeddings: Path | None,
    mask_rule: str | None,
    layers: str | None = None,
    max_area: float | None = None,
) -> "MaskSource":
    """Return what the flags of these names mean, on the CPU; UserError where they do not go together."""
    from cli.inputs.sources import named_or_recorded
    from discovery.opening import open_directions
    from generators.protocol import fitting
    from segmentation.synthesis.source import MaskSource
    from toolkit.hub.provenance import shared_inputs

    opened = open_directions(directions)
    shift = opened.resolve(direction, alpha)
    gan, inputs = named_or_recorded(generator, weights, opened.origin)
    moving = fitting(opened, gan, layers)
    if layers is not None:
        shift = moving.resolve(direction, alpha)
    inputs = {**inputs, **shared_inputs("directions", opened.card)}
    return MaskSource.along(shift, gan, inputs, mask_rule, embeddings, terminal, max_area)
