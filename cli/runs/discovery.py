"""A run of any discovery method in its folder: progress, checkpoints, charts and results."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.runs.progress import console
from cli.runs.training import drive, log_figures, take_up
from discovery.methods.table import METHODS, search_of
from toolkit.settings import Settings

if TYPE_CHECKING:
    import torch

    from discovery.methods.search import DirectionSearch, Findings, SearchStep
    from generators.protocol import Generator
    from toolkit.compute.engine import Engine
    from toolkit.directions import DirectionSet
    from toolkit.files.runs import RunFolder

FRAMES_A_SIDE = 5  # of the charts


def discover_into(
    out: Path, method: str, generator: "Generator", settings: Settings, engine: "Engine", source: dict[str, str]
) -> "DirectionSet":
    """Return the directions of the run of `method` in `out`, after starting it, resuming it or finding it finished."""
    from toolkit.directions import DirectionSet
    from toolkit.files.runs import RunFolder

    search = search_of(method)(generator, settings, engine)  # refuses what cannot be before anything is written
    inputs = {**source, **engine.identity()}
    run = RunFolder.open(out, settings, inputs, engine.describe(), extendable=("steps",), team=engine.team)
    if run.result is not None and run.result["steps"] >= getattr(settings, "steps", 0):
        console.print(f"{out} is finished already")
        return engine.team.led(lambda: DirectionSet.load(out))
    _take_steps(search, run)
    findings = search.result()
    walks = _walks(search, findings.directions)
    return engine.team.led(lambda: _concluded(run, method, search, findings, walks, source))


def _take_steps(search: "DirectionSearch[Any]", run: "RunFolder") -> None:
    """Resume the search and take the steps that are left; a search without steps has nothing to resume."""
    if search.state is None:
        return
    take_up(search.state, run)
    attend = _attendant(search, run)
    drive(search.label, search.steps(), search.state, search.settings, run, attend, total=search.total)


def _attendant(search: "DirectionSearch[Any]", run: "RunFolder") -> "Callable[[SearchStep, bool], str | None]":
    """Return what draws and logs after a step, as often as the settings say, and describes it behind the bar."""
    log_every = getattr(search.settings, "log_every", None)

    def attend(step: "SearchStep", last: bool) -> str | None:
        _draw(search, run, step.step, last)
        if log_every is None:
            return search.describe(vars(step))
        if step.step % log_every != 0 and not last:
            return None
        return search.describe(log_figures(step, run))

    return attend


def _draw(search: "DirectionSearch[Any]", run: "RunFolder", step: int, last: bool) -> None:
    """Write charts of the walks as they are after this step, where the settings ask for it."""
    from discovery.charts import write_charts

    every = getattr(search.settings, "chart_every", None)
    if every is None or step % every != 0 or last:
        return
    walks = search.walks(_lengths(search))
    if walks is not None:
        names = [f"direction_{index}" for index in range(len(walks))]
        write_charts(run.path / "charts" / f"step_{step:06}", search.generator, walks, names, _seed(search))


def _lengths(search: "DirectionSearch[Any]") -> "torch.Tensor":
    from discovery.charts import offsets

    return offsets(search.reach, FRAMES_A_SIDE).to(search.engine.device)


def _walks(search: "DirectionSearch[Any]", directions: "DirectionSet") -> "torch.Tensor":
    """Return the walks (K, F, D) of the charts: those of the search, else straight ones along the directions."""
    import torch

    from discovery.charts import walk

    own = search.walks(_lengths(search))
    if own is not None:
        return own
    with torch.no_grad():
        return walk(directions.vectors.to(search.engine.device), search.reach, FRAMES_A_SIDE)


def _seed(search: "DirectionSearch[Any]") -> int:
    return getattr(search.settings, "seed", 0)


def _concluded(
    run: "RunFolder",
    method: str,
    search: "DirectionSearch[Any]",
    findings: "Findings",
    walks: "torch.Tensor",
    source: dict[str, str],
) -> "DirectionSet":
    """Write what the run leaves, print what was found, and return the set."""
    import dataclasses

    from cli.runs.discovery_results import conclude

    directions = findings.directions
    directions = dataclasses.replace(directions, card={"source": source, **directions.card})
    figures = {"steps": 0, **findings.figures}
    written = conclude(run, directions, search.generator, walks, _seed(search), figures, METHODS[method].explanation)
    console.print(findings.summary or f"{len(written)} directions by {written.method}")
    return written
