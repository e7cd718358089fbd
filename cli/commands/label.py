"""toolkit label: a name for a direction."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.listing import DIRECTIONS, listed_in
from cli.reports.hints import command
from cli.runs.progress import console
from toolkit.errors import UserError

if TYPE_CHECKING:
    from toolkit.directions import DirectionSet


@listed_in(DIRECTIONS, "toolkit label directions 25 dark_ground", "toolkit label directions dark_ground night")
def label(
    directions: Annotated[Path, typer.Argument(help="Direction set, or the run folder that holds it.")],
    direction: Annotated[str, typer.Argument(help="Number or present name.")],
    name: Annotated[str, typer.Argument(help="The name it shall have.")],
) -> None:
    """Name a direction, in its set and in human_annotation.txt beside it."""
    from discovery.naming import name_direction
    from discovery.opening import open_directions
    from discovery.page import refresh_page
    from toolkit.directions import direction_file

    path = direction_file(directions)
    if not directions.exists():
        open_directions(directions)  # refuses what is no set at all
        raise UserError(
            f"{directions} is a shipped set, which stays as it is; make a copy: "
            + command("pick", directions, "--out", "my-directions")
        )
    named, index = name_direction(path, direction, name)
    refresh_page(path.parent)
    console.print(named_line(path, named, index))
    console.print(f"next: {next_after_naming(directions, index)}")


def named_line(path: Path, directions: "DirectionSet", index: int) -> str:
    """Return a line on the name that was written into the file `path`."""
    from discovery.annotations import annotations_beside

    return f"wrote {path}, {annotations_beside(path)}: direction {index} is {directions.names[index]}"


def next_after_naming(directions: Path, index: int) -> str:
    """Return the command that shows what the named direction does."""
    return command("render-gif", directions, "--direction", index, "--alpha", 6, "--out", "direction.gif")
