"""toolkit discover: directions of a generator's latent space."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.inputs.options import (
    CompileOption,
    DeviceOption,
    GeneratorOption,
    MaxMemoryOption,
    PrecisionOption,
    WeightsOption,
    require,
    with_settings,
)
from cli.reports.hints import command, segment_command
from cli.runs.processes import ProcessesOption, engine_of
from cli.runs.progress import console
from cli.runs.training import drive, log_figures, take_up, within_memory
from discovery.methods.settings import METHODS
from discovery.settings import DiscoverySettings
from toolkit.settings import Settings

if TYPE_CHECKING:
    import torch

    from discovery.methods.deformator.training import DiscoveryState, Step
    from generators.protocol import Generator
    from toolkit.compute.engine import Engine
    from toolkit.directions import DirectionSet
    from toolkit.files.runs import RunFolder


@with_settings(METHODS)
def discover(
    settings: Settings,
    out: Annotated[Path, typer.Option(help="Run folder; the same command again resumes it, more --steps go on.")],
    generator: GeneratorOption = "flowers64",
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    processes: ProcessesOption = 1,
    max_memory: MaxMemoryOption = None,
    compile_mode: CompileOption = "auto",
) -> None:
    """Find directions of a latent space, by default with a deformator trained against a shift reconstructor."""
    from cli.inputs.sources import open_typed
    from cli.runs.discover_methods import find_into
    from generators.recorded import generator_inputs

    engine = engine_of(device, precision, processes)
    opened = open_typed(generator, weights)
    source = generator_inputs(generator, weights)
    if isinstance(settings, DiscoverySettings):
        engine = engine.for_training(compile_mode, settings.steps)
        from discovery.methods.deformator.training import bytes_needed

        needed = partial(bytes_needed, opened, settings, engine.bf16)
        fitting = within_memory(settings, max_memory, needed, engine.team.size)
        found = discover_into(out, opened.to(engine.device), fitting, engine, source)
    else:
        require(
            engine.team.size == 1 and max_memory is None and compile_mode == "auto",
            "--processes, --max-memory and --compile go with --method deformator; the others are done in minutes",
        )
        found = find_into(out, opened.to(engine.device), settings, engine, source)
    console.print(f"wrote {out / 'directions.safetensors'}, {out / 'charts'}, {out / 'report.html'}")
    if found.choice is None:
        console.print(f"next: {command('pick', out)}")
    else:
        console.print(f"next: {segment_command(out, rule=found.choice.mask_rule)}")


def discover_into(
    out: Path, generator: "Generator", settings: DiscoverySettings, engine: "Engine", source: dict[str, str]
) -> "DirectionSet":
    """Return the directions of the run in `out`, after starting it, taking it up again or finding it finished."""
    from discovery.methods.deformator.training import DiscoveryState
    from toolkit.directions import DirectionSet
    from toolkit.files.runs import RunFolder

    state = DiscoveryState.start(generator, settings, engine)  # refuses what cannot be before anything is written
    given = {**source, **engine.identity()}
    run = RunFolder.open(out, settings, given, engine.describe(), extendable=("steps",), team=engine.team)
    if run.result is not None and run.result["steps"] >= settings.steps:
        console.print(f"{out} is finished already")
        return engine.team.led(lambda: DirectionSet.load(out))
    take_up(state, run)
    _train(state, generator, settings, engine, run)
    return _finish(state, generator, settings, engine, run, source)


def _train(
    state: "DiscoveryState",
    generator: "Generator",
    settings: DiscoverySettings,
    engine: "Engine",
    run: "RunFolder",
) -> None:
    from discovery.charts import write_charts
    from discovery.methods.deformator.training import discover as train

    names = [f"direction_{index}" for index in range(state.deformator.num_directions)]

    def attend(step: "Step", last: bool) -> str | None:
        if step.step % settings.chart_every == 0 and not last:
            write_charts(
                run.path / "charts" / f"step_{step.step:06}",
                generator,
                _walks(state, settings, engine),
                names,
                settings.seed,
            )
        if step.step % settings.log_every != 0 and not last:
            return None
        figures = log_figures(step, run)
        return f"loss {figures['loss']:.3f}, accuracy {figures['accuracy']:.2f}"

    drive("discovering", train(state, generator, settings, engine), state, settings, run, attend)


def _walks(state: "DiscoveryState", settings: DiscoverySettings, engine: "Engine") -> "torch.Tensor":
    """Return the deformator's own walks (K, F, D), not its directions': those of fc and proj are bent."""
    from cli.runs.discovery_results import FRAMES_A_SIDE
    from discovery.charts import offsets

    return state.deformator.walks(offsets(settings.shift_scale, FRAMES_A_SIDE).to(engine.device))


def _finish(
    state: "DiscoveryState",
    generator: "Generator",
    settings: DiscoverySettings,
    engine: "Engine",
    run: "RunFolder",
    source: dict[str, str],
) -> "DirectionSet":
    """Validate, write what the run found, close it and return the set."""
    from cli.runs.discovery_results import conclude
    from discovery.methods.deformator.training import direction_set
    from discovery.methods.deformator.validation import validate

    accuracy = validate(state, generator, settings, engine, settings.validation_batches)
    card = {"source": source, "steps": state.step, "rca": accuracy}
    found = direction_set(state, generator, settings, card)
    walks = _walks(state, settings, engine)
    figures = {"steps": state.step, "rca": accuracy}
    found = engine.team.led(lambda: conclude(run, found, generator, walks, settings.seed, figures))
    console.print(f"{len(found)} directions; reconstruction accuracy (RCA) {accuracy:.3f}, chance {1 / len(found):.3f}")
    return found
