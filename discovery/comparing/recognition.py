"""The run that trains a reconstructor anew on a direction set, to measure how recognisable its directions are."""

import dataclasses
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from discovery.comparing.comparison import Recognition, reconstruction
from discovery.comparing.settings import CompareSettings
from discovery.methods.deformator.training import DiscoveryState, DiscoveryStep, discover
from discovery.methods.deformator.validation import confusion
from generators.protocol import Generator
from toolkit.compute.engine import Engine
from toolkit.directions import DirectionSet
from toolkit.files.driving import Work, log_figures
from toolkit.files.runs import RunFolder
from toolkit.watch import Watch


@dataclass
class RecognitionRun(Work[DiscoveryState, DiscoveryStep]):
    """A training on the directions of a set of two or more; `source` is what runs record about their generator."""

    directions: DirectionSet
    generator: Generator
    settings: CompareSettings
    engine: Engine
    source: dict[str, str]
    label: str

    @property
    def inputs(self) -> dict[str, str]:  # type: ignore[override]
        """Return which directions of which generator are compared."""
        parts = [self.directions.vectors, *([] if self.directions.layers is None else [self.directions.layers])]
        digest = hashlib.sha256(b"".join(part.numpy().tobytes() for part in parts)).hexdigest()[:16]
        return {"directions_digest": digest, **self.source}

    def start(self, run: RunFolder, watch: Watch) -> DiscoveryState:
        """Return the state before the first step."""
        return reconstruction(self.generator, self.directions, self.settings, self.engine)

    def steps(self, state: DiscoveryState) -> Iterator[DiscoveryStep]:
        """Return the training loop."""
        return discover(state, self.generator, self.settings.training(), self.engine)

    def attend(self, state: DiscoveryState, step: DiscoveryStep, last: bool, run: RunFolder) -> str | None:
        """Log what is due."""
        if step.step % self.settings.log_every != 0 and not last:
            return None
        return f"accuracy {log_figures(step, run)['accuracy']:.2f}"

    def conclude(self, state: DiscoveryState, run: RunFolder, watch: Watch) -> None:
        """Measure what the reconstructor recognises."""
        confused = confusion(state, self.generator, self.settings.training(), self.engine)
        figures = dataclasses.asdict(Recognition.of(confused))
        run.finish({**figures, "chance": 1 / len(self.directions), "steps": state.step})
