"""toolkit discover: directions of a generator's latent space."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import DeviceOption, GeneratorOption, PrecisionOption, WeightsOption, with_settings
from cli.progress import console
from cli.training import drive, log_figures, take_up
from discovery.settings import DiscoverySettings

_FRAMES_A_SIDE = 5

if TYPE_CHECKING:
    from discovery.training import DiscoveryState, Step
    from generators.protocol import Generator
    from toolkit.directions import DirectionSet
    from toolkit.engine import Engine
    from toolkit.runs import RunFolder


@with_settings(DiscoverySettings)
def discover(
    settings: DiscoverySettings,
    out: Annotated[Path, typer.Option(help="Run folder; the same command again resumes it, more --steps go on.")],
    generator: GeneratorOption = "flowers64",
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
) -> None:
    """Learn directions of a latent space: a deformator trained against a shift reconstructor."""
    from cli.sources import generator_inputs
    from generators.catalogue import open_generator
    from toolkit.engine import choose_engine

    engine = choose_engine(device, precision)
    opened = open_generator(generator, weights).to(engine.device)
    discover_into(out, opened, settings, engine, generator_inputs(generator, weights))
    console.print(f"wrote {out / 'directions.safetensors'}, {out / 'charts'}")
    console.print(f"next: toolkit pick {out}")


def discover_into(
    out: Path, generator: "Generator", settings: DiscoverySettings, engine: "Engine", source: dict[str, str]
) -> "DirectionSet":
    """Return the directions of the run in `out`, after starting it, taking it up again or finding it finished."""
    from discovery.training import DiscoveryState
    from toolkit.directions import DirectionSet
    from toolkit.runs import RunFolder

    run = RunFolder.open(out, settings, {**source, **engine.identity()}, engine.describe(), extendable=("steps",))
    if run.result is not None and run.result["steps"] >= settings.steps:
        console.print(f"{out} is finished already")
        return DirectionSet.load(out)
    state = DiscoveryState.start(generator, settings, engine)
    take_up(state, run)
    _train(state, generator, settings, engine, run)
    return finish(state, generator, settings, engine, run, source)


def _train(
    state: "DiscoveryState",
    generator: "Generator",
    settings: DiscoverySettings,
    engine: "Engine",
    run: "RunFolder",
) -> None:
    from discovery.training import discover as train

    def attend(step: "Step", last: bool) -> str | None:
        if step.step % settings.chart_every == 0 and not last:
            draw_charts(state, generator, settings, engine, run.path / "charts" / f"step_{step.step:06}")
        if step.step % settings.log_every != 0 and not last:
            return None
        figures = log_figures(step, run)
        return f"loss {figures['loss']:.3f}, accuracy {figures['accuracy']:.2f}"

    drive("discovering", train(state, generator, settings, engine), state, settings, run, attend)


def draw_charts(
    state: "DiscoveryState",
    generator: "Generator",
    settings: DiscoverySettings,
    engine: "Engine",
    folder: Path,
) -> None:
    """Write the chart pages of the directions as they are now."""
    from discovery.charts import offsets, write_charts

    # The deformator's own walks, not its directions: those of fc and proj are bent.
    walks = state.deformator.walks(offsets(settings.shift_scale, _FRAMES_A_SIDE).to(engine.device))
    names = [f"direction_{index}" for index in range(len(walks))]
    write_charts(folder, generator, walks, names, seed=settings.seed)


def finish(
    state: "DiscoveryState",
    generator: "Generator",
    settings: DiscoverySettings,
    engine: "Engine",
    run: "RunFolder",
    source: dict[str, str],
) -> "DirectionSet":
    """Validate, write the direction set and its charts, close the run and return the set."""
    from discovery.annotations import read_annotations, write_annotations
    from discovery.training import direction_set, validate

    accuracy = validate(state, generator, settings, engine, settings.validation_batches)
    card = {"source": source, "steps": state.step, "rca": accuracy, "settings": settings.as_dict()}
    found = direction_set(state, generator, settings, card)
    draw_charts(state, generator, settings, engine, run.path / "charts")
    labels = run.path / "human_annotation.txt"
    if labels.exists():
        found = found.renamed(read_annotations(labels))
    else:
        write_annotations(labels, {})
    for stale in ("pick.json", "pick.csv", "pick.png"):
        if (run.path / stale).exists():
            (run.path / stale).unlink()
            console.print(f"removed {stale}: the directions have moved on since; run toolkit pick again")
    found.save(run.path / "directions.safetensors")
    run.finish({"directions": len(found), "steps": state.step, "rca": accuracy})
    console.print(f"{len(found)} directions; reconstruction accuracy (RCA) {accuracy:.3f}, chance {1 / len(found):.3f}")
    return found
