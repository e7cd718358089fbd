"""toolkit discover: directions of a generator's latent space."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.inputs.options import (
    CompileOption,
    DeviceOption,
    GeneratorOption,
    LayersOption,
    MaxMemoryOption,
    PrecisionOption,
    WeightsOption,
    require,
    with_settings,
)
from cli.listing import DIRECTIONS, listed_in
from cli.reports.hints import command, print_outcome, segment_command
from cli.runs.forecast import Forecasting
from cli.runs.processes import ProcessesOption, engine_of
from cli.runs.training import within_memory
from discovery.methods.table import METHODS, search_of
from toolkit.settings import Settings

if TYPE_CHECKING:
    from generators.protocol import Generator
    from toolkit.compute.engine import Engine


@with_settings(METHODS)
@listed_in(
    DIRECTIONS,
    "toolkit discover --out directions --preset quick",
    "toolkit discover --generator my-generator --method ganspace --out by-ganspace",
)
def discover(
    settings: Settings,
    method: str,
    out: Annotated[Path, typer.Option(help="Run folder; the same command again resumes it, more --steps go on.")],
    generator: GeneratorOption = "flowers64",
    weights: WeightsOption = None,
    layers: LayersOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    processes: ProcessesOption = 1,
    max_memory: MaxMemoryOption = None,
    compile_mode: CompileOption = "auto",
) -> None:
    """Find directions of a latent space, by default with a deformator trained against a shift reconstructor."""
    engine = engine_of(device, precision, processes, out)
    from cli.inputs.sources import open_typed
    from discovery.methods.run import discover_into
    from generators.layered import seen_at
    from generators.recorded import generator_inputs

    opened = seen_at(open_typed(generator, weights), layers)
    source = generator_inputs(generator, weights)
    if METHODS[method].scales:
        engine = engine.for_training(compile_mode, getattr(settings, "steps", 0))
        settings = _fitting(method, settings, opened, engine, max_memory)
    else:
        scaling = " and ".join(name for name in METHODS.own if METHODS[name].scales)
        require(
            engine.team.size == 1 and max_memory is None and compile_mode == "auto",
            f"--processes, --max-memory and --compile go with --method {scaling}; the others are done in minutes",
        )
    watch = Forecasting(settings, engine)
    found = discover_into(out, method, opened.to(engine.device), settings, engine, source, watch)
    following = command("pick", out) if found.choice is None else segment_command(out)
    print_outcome(out / "directions.safetensors", out / "charts", out / "report.html", following=following)


def _fitting(
    method: str, settings: Settings, generator: "Generator", engine: "Engine", max_memory: str | None
) -> Settings:
    """Return the settings with the samples at a time that fit `max_memory`, if it is given."""
    needed = partial(search_of(method).bytes_needed, generator, settings, engine.bf16)
    return within_memory(settings, max_memory, needed, engine.team.size)
