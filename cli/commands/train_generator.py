"""toolkit train-generator: a generator, and its encoder where that is the objective, from a folder of photos."""

from pathlib import Path
from typing import Annotated

import typer

from cli.inputs.options import DeviceOption, PrecisionOption, with_settings
from cli.inputs.photo_folder import photos_in
from cli.listing import GENERATORS, listed_in
from cli.reports.hints import discover_command, print_outcome
from cli.runs.processes import ProcessesOption, engine_of
from cli.runs.progress import console, terminal
from cli.runs.training import carried_out
from generators.compact.settings import GROUP, GeneratorSettings


@with_settings(GeneratorSettings)
@listed_in(
    GENERATORS,
    "toolkit train-generator MY_PHOTOS --out my-generator",
    "toolkit train-generator MY_PHOTOS --out my-pair --objective bigbigan",
)
def train_generator(
    settings: GeneratorSettings,
    photos: Annotated[Path, typer.Argument(help="Folder of photos.")],
    out: Annotated[Path, typer.Option(help="Run folder; the same command again resumes it, more --steps go on.")],
    name: Annotated[str, typer.Option(help="Name the generator carries in its card.")] = "photos",
    start: Annotated[
        Path | None,
        typer.Option(help="Run folder, checkpoint or generator file whose weights to start from instead of noise."),
    ] = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    processes: ProcessesOption = 1,
) -> None:
    """Train a generator on a folder of photos; with --objective bigbigan its encoder too."""
    from toolkit.pictures.photo_folder import photos_digest, require_outside

    require_outside(out, photos)
    engine = engine_of(device, precision, processes, out)
    engine.team.rows(settings.batch, GROUP)  # refuses a batch too small for the processes
    from generators.compact.run import GeneratorRun, first_state
    from generators.compact.warm_start import start_from
    from toolkit.files.shipped import recorded_name
    from toolkit.hub.fetching import located
    from toolkit.pictures.photos import read_squares

    paths = photos_in(photos)
    state = first_state(settings, engine)
    if start is not None and not (out / "checkpoint.pt").exists():
        console.print(
            f"taking the weights of {', '.join(start_from(state, located(start, 'generators')))} from {start}"
        )
    pixels = read_squares(paths, settings.photo_size, terminal)
    inputs = {"photos": str(photos.resolve()), "photos_digest": photos_digest(paths, photos), "name": name}
    if start is not None:
        inputs["start"] = recorded_name(start, "generators")
    carried_out(GeneratorRun(state, pixels, settings, engine, inputs, name), out)
    following = discover_command("--generator", out / "generator.safetensors", out=f"{out}-directions")
    print_outcome(*(out / made for made in _made(settings)), following=following)


def _made(settings: GeneratorSettings) -> list[str]:
    encoder = ["encoder.safetensors", "reconstructions"] if settings.objective == "bigbigan" else []
    return ["generator.safetensors", "samples", *encoder]
