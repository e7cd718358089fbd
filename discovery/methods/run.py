"""A run of any discovery method in its folder."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from discovery.charts import offsets, walk, write_charts
from discovery.methods.search import DirectionSearch, Findings
from discovery.methods.table import search_of
from discovery.results import write_results
from generators.layered import AtLayers
from generators.protocol import Generator
from toolkit.compute.engine import Engine
from toolkit.directions import DirectionSet
from toolkit.files.driving import Step, Work, carry_out, log_figures
from toolkit.files.runs import RunFolder
from toolkit.settings import Settings
from toolkit.shifts import layers_text
from toolkit.state import Resumable
from toolkit.watch import SILENT, Watch

FRAMES_A_SIDE = 5  # of the charts


@dataclass
class DiscoveryRun(Work[Resumable, Step]):
    """A search by `method`, into directions.safetensors, charts and report.html.

    `source` is what runs record about the generator; the layers are recorded beside it where the search sees some.
    """

    method: str
    search: DirectionSearch[Any]
    source: dict[str, str]
    inputs: dict[str, str] = field(init=False)
    settings: Settings = field(init=False)
    engine: Engine = field(init=False)
    label: str = field(init=False)

    def __post_init__(self) -> None:
        self.settings, self.engine, self.label = self.search.settings, self.search.engine, self.search.label
        seen = self.search.generator
        self.inputs = self.source | ({"layers": layers_text(seen.layers)} if isinstance(seen, AtLayers) else {})

    def start(self, run: RunFolder, watch: Watch) -> Resumable | None:
        """Return the state before the first step; None for a search without steps."""
        return self.search.state

    def total(self, state: Resumable) -> int:
        """Return how many steps there are."""
        return self.search.total

    def steps(self, state: Resumable) -> Iterator[Step]:
        """Return the steps that are left."""
        return self.search.steps()

    def attend(self, state: Resumable, step: Step, last: bool, run: RunFolder) -> str | None:
        """Draw and log as often as the settings say."""
        self._draw(run, step.step, last)
        log_every = getattr(self.settings, "log_every", None)
        if log_every is None:
            return self.search.describe(vars(step))
        if step.step % log_every != 0 and not last:
            return None
        return self.search.describe(log_figures(step, run))

    def complete(self) -> None:
        """Conclude the search, which its processes do together."""
        self.findings: Findings = found_by(self.search)
        self.walks = self._walks(self.findings.directions)

    def conclude(self, state: Resumable | None, run: RunFolder, watch: Watch) -> None:
        """Write what the run leaves, and say what was found."""
        directions = self.findings.directions
        directions = replace(directions, card={"source": self.source, **directions.card})
        figures = {"steps": 0, **self.findings.figures}
        generator, walks = self.search.generator, self.walks
        written = write_results(run, directions, generator, walks, self._seed, figures, self.method, watch)
        watch.say(self.findings.summary or f"{len(written)} directions by {written.method}")

    @property
    def _seed(self) -> int:
        return getattr(self.settings, "seed", 0)

    def _draw(self, run: RunFolder, step: int, last: bool) -> None:
        """Write charts of the walks as they are after this step, where the settings ask for it."""
        every = getattr(self.settings, "chart_every", None)
        if every is None or step % every != 0 or last:
            return
        walks = self.search.walks(self._lengths())
        if walks is not None:
            names = [f"direction_{index}" for index in range(len(walks))]
            write_charts(run.path / "charts" / f"step_{step:06}", self.search.generator, walks, names, self._seed)

    def _lengths(self) -> torch.Tensor:
        return offsets(self.search.reach, FRAMES_A_SIDE).to(self.engine.device)

    def _walks(self, directions: DirectionSet) -> torch.Tensor:
        """Return the walks (K, F, D) of the charts: those of the search, else straight ones along the directions."""
        own = self.search.walks(self._lengths())
        if own is not None:
            return own
        with torch.no_grad():
            return walk(directions.units.to(self.engine.device), self.search.reach, FRAMES_A_SIDE)


def found_by(search: DirectionSearch[Any]) -> Findings:
    """Return what a search ends with; directions found at some layers (generators.layered.AtLayers) move these."""
    findings, seen = search.result(), search.generator
    if not isinstance(seen, AtLayers) or findings.directions.layers is not None:
        return findings
    return replace(findings, directions=findings.directions.moving(seen.layers))


def discover_into(
    out: Path,
    method: str,
    generator: Generator,
    settings: Settings,
    engine: Engine,
    inputs: dict[str, str],
    watch: Watch = SILENT,
) -> DirectionSet:
    """Return the directions of the run of `method` in `out`, after starting it, resuming it or finding it finished.

    `inputs` is what runs record about the generator (generators.recorded). One seen at some of its layers
    (generators.layered.seen_at) gives directions that move these.
    """
    search = search_of(method)(generator, settings, engine)  # refuses what cannot be before anything is written
    carry_out(DiscoveryRun(method, search, inputs), out, watch)
    return engine.team.led(lambda: DirectionSet.load(out))
