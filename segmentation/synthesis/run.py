"""The run that writes synthetic pairs as a data set, with a manifest."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from segmentation.synthesis.acceptance import Acceptance
from segmentation.synthesis.picture import advise, draw_samples
from segmentation.synthesis.settings import SynthesizeSettings
from segmentation.synthesis.shards import SynthesisState, SynthesisStep, synthesize, writer_of
from segmentation.synthesis.source import MaskSource
from segmentation.synthesis.synthesizer import LatentSource, MaskSynthesizer
from toolkit import __version__
from toolkit.compute.engine import Engine
from toolkit.files.driving import Work
from toolkit.files.runs import RunFolder
from toolkit.files.writing import write_json
from toolkit.watch import Watch

STREAM = "synthesize"  # not that of segmentation: a segmenter trained there can be measured on these pairs


@dataclass
class SynthesisRun(Work[SynthesisState, SynthesisStep]):
    """Pairs of image and mask from a source and its latents, in images/ and masks/ or in shards, with manifest.json."""

    source: MaskSource
    latents: LatentSource
    settings: SynthesizeSettings
    engine: Engine
    label: str = "synthesizing"
    unit: str = "batches"
    extendable: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.settings = self.source.settled(self.settings)  # what is recorded is what is used

    @property
    def inputs(self) -> dict[str, str]:  # type: ignore[override]
        """Return what the source's pairs are made of."""
        return self.source.inputs

    def start(self, run: RunFolder, watch: Watch) -> SynthesisState:
        """Return the state before the first batch."""
        return SynthesisState(self.synthesizer(), writer_of(self.settings, run.path, self.engine.team))

    def synthesizer(self, name: str = STREAM) -> MaskSynthesizer:
        """Return a synthesizer of the source's pairs whose random numbers a name and the seed decide."""
        generator, shift = self.source.generator.to(self.engine.device), self.source.shift.to(self.engine.device)
        return MaskSynthesizer(generator, shift, self.settings.masking(), self.latents, name, self.engine)

    def begin(self, state: SynthesisState, run: RunFolder, watch: Watch) -> None:
        """Draw some pairs."""
        draw_samples(state.synthesizer, run.path / "samples.png", watch=watch)
        # From here on there is work to protect: the same folder with another layout or seed is refused.
        run.save_checkpoint(state.state_dict())

    def steps(self, state: SynthesisState) -> Iterator[SynthesisStep]:
        """Return the loop over batches."""
        self.first, self.started = state.writer.pairs, time.monotonic()
        return synthesize(state, self.settings)

    def attend(self, state: SynthesisState, step: SynthesisStep, last: bool, run: RunFolder) -> str:
        """Return how fast pairs are written."""
        rate = (step.pairs - self.first) / max(time.monotonic() - self.started, 1e-9)
        return f"{step.pairs} pairs, {rate:.1f} pairs/s, {state.synthesizer.acceptance.share:.0%} accepted"

    def conclude(self, state: SynthesisState, run: RunFolder, watch: Watch) -> None:
        """Write the manifest and the figures."""
        accepted = state.synthesizer.acceptance
        watch.say(f"synthetic pairs: {accepted.describe()}")
        advise(accepted, watch)
        write_json(run.path / "manifest.json", self.manifest(state.writer.contents(), accepted))
        run.finish({"steps": state.step, "pairs": state.writer.pairs, **accepted.as_dict()})

    def manifest(self, contents: Mapping[str, Any], accepted: Acceptance) -> dict[str, Any]:
        """Return what the manifest says of pairs that lie where `contents` says."""
        source = self.source
        return {
            "count": self.settings.samples,
            "layout": self.settings.layout,
            **contents,
            **source.inputs,
            **self.engine.identity(),
            "direction": source.index,
            "direction_name": source.name,
            "alpha": source.alpha,
            "image_size": source.generator.image_size,
            "mask_rule": self.settings.mask_rule,
            "settings": self.settings.as_dict(),
            "acceptance": {**accepted.as_dict(), "share": accepted.share},
            "toolkit": __version__,
        }
