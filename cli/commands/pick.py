"""toolkit pick: the direction that darkens the background, and why."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.inputs.options import (
    DeviceOption,
    LayersOption,
    OtherGeneratorOption,
    PrecisionOption,
    WeightsOption,
    require,
    with_settings,
)
from cli.listing import DIRECTIONS, listed_in
from cli.reports.hints import command, generator_words, segment_command
from cli.reports.pick_report import show_table
from cli.runs.progress import console, terminal
from discovery.settings import PickSettings

if TYPE_CHECKING:
    from toolkit.directions import DirectionSet


@with_settings(PickSettings)
@listed_in(
    DIRECTIONS,
    "toolkit pick directions",
    "toolkit pick by-ganspace by-sefa --out together",
    formerly={"--choose": "--direction"},
)
def pick(
    settings: PickSettings,
    directions: Annotated[
        list[str], typer.Argument(help="Direction set, or the run folder that holds it; several are ranked together.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="New folder for the ranked copy of the set, or for all of several sets.")
    ] = None,
    direction: Annotated[str | None, typer.Option(help="Choose this direction yourself, by number or name.")] = None,
    alpha: Annotated[
        float | None, typer.Option(help="With --direction: shift length, negative for the other way.")
    ] = None,
    layers: LayersOption = None,
    generator: OtherGeneratorOption = None,
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
) -> None:
    """Rank all directions as background darkeners, choose one, and show why."""
    require((direction is None) == (alpha is None), "--direction and --alpha go together; give both or neither")
    from cli.inputs.sources import set_and_generator
    from discovery.page import refresh_page
    from discovery.picking.files import PickFile, save_pick
    from discovery.picking.picking import pick_direction
    from toolkit.compute.engine import choose_engine

    engine = choose_engine(device, precision)
    file = PickFile.open(directions, out)
    if direction is not None and alpha is not None:
        gan = None if layers is None else set_and_generator(file.directions, generator, weights, layers)[1]
        chosen = file.choose(direction, alpha, layers, gan)
        console.print(chose(file.path, chosen))
    else:
        judged, opened, _ = set_and_generator(file.directions, generator, weights, layers)
        opened = opened.to(engine.device)
        picked = pick_direction(opened, judged, settings, engine, terminal)
        chosen = picked.directions
        file.require_unchosen(chosen)
        save_pick(file.path, picked, opened, settings, engine)
        show_table(picked)
        console.print(f"wrote {file.path}, {file.path.parent / 'pick.json'}, pick.csv, pick.png")
    refresh_page(file.path.parent)
    named = generator_words(generator, weights)
    console.print(f"next: {next_after_choosing(out or Path(directions[0]), named)}")


def chose(path: Path, chosen: "DirectionSet") -> str:
    """Return a line on the choice that was written into the file `path`."""
    choice = chosen.chosen()
    where = chosen.place_of(choice.index)
    return f"wrote {path}: chose {chosen.names[choice.index]}, {choice.sign * choice.alpha:+.2f}{where}"


def next_after_choosing(directions: Path, named: Sequence[str] = ()) -> str:
    """Return the commands that use the choice; `named` are flags that name its generator."""
    gif = command("render-gif", directions, *named, "--out", "direction.gif")
    return f"{gif}; {segment_command(directions, *named)}"
