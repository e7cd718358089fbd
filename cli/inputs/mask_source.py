"""What synthetic pairs are made of, as flags name it: a generator, the shift along a direction, photos' latents."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cli.runs.progress import console
from segmentation.unet.settings import SegmentationSettings

if TYPE_CHECKING:
    import torch

    from generators.protocol import Generator
    from segmentation.synthesis.synthesizer import MaskSynthesizer
    from toolkit.directions import DirectionSet


@dataclass(frozen=True)
class MaskSource:
    """A generator, the shift (D,) or (2, D) of direction `index`, latents (N, D) or None, and how runs record them."""

    generator: "Generator"
    shift: "torch.Tensor"
    index: int
    name: str
    alpha: float
    latents: "torch.Tensor | None"
    inputs: dict[str, str]

    @classmethod
    def open(
        cls,
        directions: Path,
        direction: str | None,
        alpha: float | None,
        generator: str | None,
        weights: Path | None,
        embeddings: Path | None,
        mask_rule: str,
    ) -> "MaskSource":
        """Return what the flags of these names mean, on the CPU; UserError where they do not go together."""
        from cli.inputs.sources import generator_of, open_directions, or_published, shift_inputs
        from toolkit.files.writing import sha256_of

        found = open_directions(directions)
        index, length, shift = _mask_shift(found, direction, alpha, mask_rule)
        opened, inputs = generator_of(found, generator, weights)
        inputs |= shift_inputs(index, length, shift)
        latents = None
        if embeddings is not None:
            embeddings = or_published(embeddings, "embeddings")
            latents = _latents_of(embeddings, opened, inputs)
            inputs["embeddings"] = f"{embeddings.resolve()} {sha256_of(embeddings)[:12]}"
        return cls(opened, shift, index, found.names[index], length, latents, inputs)


def _mask_shift(
    directions: "DirectionSet", direction: str | None, alpha: float | None, mask_rule: str
) -> "tuple[int, float, torch.Tensor]":
    """Return (index, signed alpha, shift) for the flags --direction and --alpha, else for the chosen direction.

    The shift is (D,), or (2, D) with its opposite for a rule that compares the two. A note tells of a better rule.
    """
    import torch

    from cli.inputs.sources import resolve_shift
    from toolkit.masks.rules import MASK_RULES

    index, length, shift = resolve_shift(directions, direction, alpha)
    choice = directions.choice
    if choice is not None and index == choice.index and choice.mask_rule not in (None, mask_rule):
        console.print(f"note: masks of this direction were found to be best by --mask-rule {choice.mask_rule}")
    if MASK_RULES[mask_rule].opposed:
        shift = torch.stack([shift, directions.opposite_shift(index, length)])
    return index, length, shift


def _latents_of(path: Path, generator: "Generator", inputs: dict[str, str]) -> "torch.Tensor":
    """Return the latents in a `.npy` file, told by its record, if it has one, to be this generator's."""
    from generators.latents_file import require_made_for
    from generators.protocol import load_latents

    made = require_made_for(path, generator)
    if made and made.get("generator_digest") != inputs.get("generator_digest"):
        console.print(f"note: {path} was made with another file of {generator.name}; embed again if it was retrained")
    return load_latents(path, generator.latent_dim)


def draw_samples(
    generator: "Generator",
    shift: "torch.Tensor",
    settings: SegmentationSettings,
    like: "MaskSynthesizer",
    path: Path,
    count: int = 24,
) -> None:
    """Write a picture of images above their masks, drawn as those of `like`, and print what the filters do."""
    import numpy as np

    from segmentation.synthesis.synthesizer import MaskSynthesizer
    from toolkit.pictures.photos import write_picture
    from toolkit.pictures.pixels import grid, overlay, stack_rows, to_bytes

    engine = dataclasses.replace(like.engine, compile=False)
    synthesizer = MaskSynthesizer(generator, shift, settings, like.source, "picture", engine)
    batch = synthesizer.batch(count)
    if not synthesizer.engine.team.lead:
        return
    pictures, masks = to_bytes(batch.images), batch.masks.cpu().numpy()
    rows = [
        grid(np.concatenate([pictures[i : i + 12], overlay(pictures[i : i + 12], masks[i : i + 12])]), 12)
        for i in range(0, count, 12)
    ]
    write_picture(path, stack_rows(rows))
    console.print(f"synthetic pairs: {synthesizer.acceptance.describe()}; mean mask area {masks.mean():.2f}")
