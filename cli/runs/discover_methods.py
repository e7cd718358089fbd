"""The ways to find directions besides the deformator, each into a run folder."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.runs.progress import console
from cli.runs.training import drive, log_figures, take_up
from discovery.methods.settings import (
    ContrastSettings,
    CoordinateSettings,
    GanspaceSettings,
    RandomSettings,
    SefaSettings,
)
from toolkit.settings import Settings

if TYPE_CHECKING:
    from discovery.methods.contrast import ContrastStep
    from discovery.methods.ganspace.method import GanspaceStep
    from generators.protocol import Generator
    from toolkit.compute.engine import Engine
    from toolkit.directions import DirectionSet
    from toolkit.files.runs import RunFolder

_REACH = 6.0  # of the charts, in latent units


def find_into(
    out: Path, generator: "Generator", settings: Settings, engine: "Engine", source: dict[str, str]
) -> "DirectionSet":
    """Return the directions of the run in `out`, after starting it, taking it up again or finding it finished."""
    import torch

    from cli.runs.discovery_results import FRAMES_A_SIDE, conclude
    from discovery.charts import walk
    from toolkit.directions import DirectionSet
    from toolkit.files.runs import RunFolder

    # What cannot be found is refused here, before anything is written.
    find = _FINDERS.get(type(settings), _in_closed_form)(generator, settings, engine, {"source": source})
    run = RunFolder.open(out, settings, {**source, **engine.identity()}, engine.describe(), extendable=("steps",))
    if run.result is not None and run.result["steps"] >= getattr(settings, "steps", 0):
        console.print(f"{out} is finished already")
        return DirectionSet.load(out)
    found, figures = find(run)
    with torch.no_grad():
        walks = walk(found.vectors.to(engine.device), getattr(settings, "length", _REACH), FRAMES_A_SIDE)
    found = conclude(run, found, generator, walks, getattr(settings, "seed", 0), {"steps": 0, **figures})
    console.print(f"{len(found)} directions by {found.method}")
    return found


def _in_closed_form(
    generator: "Generator", settings: Settings, _engine: "Engine", card: dict[str, Any]
) -> "Callable[[RunFolder], tuple[DirectionSet, dict[str, Any]]]":
    from discovery.methods.closed_form import coordinate_set, random_set, sefa_set

    makers: dict[type[Settings], Callable[..., DirectionSet]] = {
        SefaSettings: sefa_set,
        CoordinateSettings: coordinate_set,
        RandomSettings: random_set,
    }
    found = makers[type(settings)](generator, settings, card)
    return lambda _run: (found, {})


def _by_contrast(
    generator: "Generator", settings: ContrastSettings, engine: "Engine", card: dict[str, Any]
) -> "Callable[[RunFolder], tuple[DirectionSet, dict[str, Any]]]":
    from discovery.methods.contrast import ContrastState, contrast_set, optimise

    state = ContrastState.start(generator, settings, engine)

    def find(run: "RunFolder") -> "tuple[DirectionSet, dict[str, Any]]":
        def attend(step: "ContrastStep", last: bool) -> str | None:
            if step.step % settings.log_every != 0 and not last:
                return None
            figures = log_figures(step, run)
            return f"loss {figures['loss']:.3f}, light {figures['light']:+.3f}, dark {figures['dark']:+.3f}"

        take_up(state, run)
        drive("optimising", optimise(state, generator, settings, engine), state, settings, run, attend)
        return contrast_set(state, generator, settings, card), {"steps": state.step}

    return find


def _by_ganspace(
    generator: "Generator", settings: GanspaceSettings, engine: "Engine", card: dict[str, Any]
) -> "Callable[[RunFolder], tuple[DirectionSet, dict[str, Any]]]":
    from discovery.methods.ganspace.method import GanspaceState, ganspace_set, gather

    state = GanspaceState.start(generator, settings)

    def attend(step: "GanspaceStep", last: bool) -> str | None:
        return f"{step.explained:.0%} of the variance"

    def find(run: "RunFolder") -> "tuple[DirectionSet, dict[str, Any]]":
        take_up(state, run)
        steps = gather(state, generator, settings, engine)
        drive(f"analysing {state.features.layer}", steps, state, settings, run, attend, total=state.total)
        found = ganspace_set(state, generator, settings, card)
        return found, {"layer": state.features.layer, "explained": sum(found.scores["variance"])}

    return find


_FINDERS: "dict[type[Settings], Callable[..., Callable[[RunFolder], tuple[DirectionSet, dict[str, Any]]]]]" = {
    ContrastSettings: _by_contrast,
    GanspaceSettings: _by_ganspace,
}
