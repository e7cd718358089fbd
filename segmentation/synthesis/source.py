"""What synthetic pairs are made of: a generator, the shift along a direction, a mask rule, photos' latents."""

from dataclasses import dataclass
from pathlib import Path

import torch

from generators.latents_file import require_made_for
from generators.protocol import Generator, layers_of, load_latents
from toolkit.errors import Line, named
from toolkit.files.shipped import or_published
from toolkit.files.writing import sha256_of
from toolkit.moves import AnyShift
from toolkit.shifts import Shift
from toolkit.watch import SILENT, Watch


@dataclass(frozen=True)
class MaskSource:
    """A generator, the shift along direction `index` (see MaskSynthesizer), a mask rule, latents or None.

    Latents are (N, D), or by layer (N, L, D). `inputs` is how runs record them.
    """

    generator: Generator
    shift: AnyShift
    index: int
    name: str
    alpha: float
    mask_rule: str
    latents: torch.Tensor | None
    inputs: dict[str, str]

    @classmethod
    def along(
        cls,
        shift: Shift,
        generator: Generator,
        inputs: dict[str, str],
        mask_rule: str | None = None,
        embeddings: Path | None = None,
        watch: Watch = SILENT,
    ) -> "MaskSource":
        """Return the source of pairs along a shift, on the CPU.

        The mask rule is the one recorded with the direction unless another is passed. `inputs` are what runs record
        about the generator; `embeddings` is a file of latents or a published name. UserError where these are of another
        generator.
        """
        rule = shift.mask_rule(mask_rule)
        if shift.recorded_rule not in (None, rule):
            better = named("mask_rule", shift.recorded_rule)
            watch.say(Line(f"note: masks of this direction were found to be best by {better}"))
        seen = shift.seen_by(rule)
        inputs = {**inputs, **shift.inputs(seen)}
        latents = None
        if embeddings is not None:
            embeddings = or_published(embeddings, "embeddings")
            latents = _latents_of(embeddings, generator, inputs, watch)
            inputs["embeddings"] = f"{embeddings.resolve()} {sha256_of(embeddings)[:12]}"
        return cls(generator, seen, shift.index, shift.name, shift.alpha, rule, latents, inputs)


def _latents_of(path: Path, generator: Generator, inputs: dict[str, str], watch: Watch) -> torch.Tensor:
    """Return the latents in a `.npy` file that are, by its record if it has one, of this generator."""
    made = require_made_for(path, generator)
    if made and made.get("generator_digest") != inputs.get("generator_digest"):
        watch.say(f"note: {path} was made with another file of {generator.name}; embed again if it was retrained")
    return load_latents(path, generator.latent_dim, layers_of(generator))
