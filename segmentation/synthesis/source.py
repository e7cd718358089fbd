"""What synthetic pairs are made of: a generator, the shift along a direction, a mask rule, photos' latents."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import torch

from generators.latents_file import require_made_for
from generators.protocol import Generator, layers_of, load_latents
from segmentation.synthesis.settings import SynthesizeSettings
from segmentation.unet.settings import SegmentationSettings
from toolkit.errors import Line, named
from toolkit.files.shipped import or_published
from toolkit.files.writing import sha256_of
from toolkit.moves import AnyShift
from toolkit.shifts import Shift
from toolkit.watch import SILENT, Watch

_Masking = TypeVar("_Masking", SegmentationSettings, SynthesizeSettings)


@dataclass(frozen=True)
class MaskSource:
    """A generator, the shift along direction `index` (see MaskSynthesizer), a mask rule, latents or None.

    Latents are (N, D), or by layer (N, L, D). `inputs` is how runs record them. `max_area` is the share of the picture
    that masks stay below.
    """

    generator: Generator
    shift: AnyShift
    index: int
    name: str
    alpha: float
    mask_rule: str
    latents: torch.Tensor | None
    inputs: dict[str, str]
    max_area: float

    @classmethod
    def along(
        cls,
        shift: Shift,
        generator: Generator,
        inputs: dict[str, str],
        mask_rule: str | None = None,
        embeddings: Path | None = None,
        watch: Watch = SILENT,
        max_area: float | None = None,
    ) -> "MaskSource":
        """Return the source of pairs along a shift, on the CPU.

        Mask rule and `max_area` are those recorded with the direction unless others are passed. `inputs` are what runs
        record about the generator; `embeddings` is a file of latents or a published name. UserError where these are of
        another generator.
        """
        rule = shift.mask_rule(mask_rule)
        if shift.recorded_rule not in (None, rule):
            better = named("mask_rule", shift.recorded_rule)
            watch.say(Line(f"note: masks of this direction were found to be best by {better}"))
        usual = SegmentationSettings().area_bound
        bound = next(share for share in (max_area, shift.recorded_area, usual) if share is not None)
        if max_area is None and bound != usual:
            shown = named("max_area", f"{bound:.2f}")
            watch.say(Line(f"note: masks stay below {shown} of the image, as recorded with the choice"))
        seen = shift.seen_by(rule)
        inputs = {**inputs, **shift.inputs(seen)}
        latents = None
        if embeddings is not None:
            embeddings = or_published(embeddings, "embeddings")
            latents = _latents_of(embeddings, generator, inputs, watch)
            inputs["embeddings"] = f"{embeddings.resolve()} {sha256_of(embeddings)[:12]}"
        return cls(generator, seen, shift.index, shift.name, shift.alpha, rule, latents, inputs, bound)

    def settled(self, settings: _Masking) -> _Masking:
        """Return settings with this mask rule and bound of areas in place of what is not set."""
        return replace(settings, mask_rule=self.mask_rule, max_area=self.max_area)


def _latents_of(path: Path, generator: Generator, inputs: dict[str, str], watch: Watch) -> torch.Tensor:
    """Return the latents in a `.npy` file that are, by its record if it has one, of this generator."""
    made = require_made_for(path, generator)
    if made and made.get("generator_digest") != inputs.get("generator_digest"):
        watch.say(f"note: {path} was made with another file of {generator.name}; embed again if it was retrained")
    return load_latents(path, generator.latent_dim, layers_of(generator))
