"""toolkit label: a name for a direction."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.inputs.options import require
from cli.reports.hints import command
from cli.runs.progress import console
from toolkit.errors import UserError
from toolkit.untrusted.printable import is_printable

if TYPE_CHECKING:
    from toolkit.directions import DirectionSet


def label(
    directions: Annotated[Path, typer.Argument(help="Direction set, or the run folder that holds it.")],
    direction: Annotated[str, typer.Argument(help="Number or present name.")],
    name: Annotated[str, typer.Argument(help="The name it shall have.")],
) -> None:
    """Name a direction, in its set and in human_annotation.txt beside it."""
    from cli.inputs.sources import open_directions
    from toolkit.directions import direction_file

    path = direction_file(directions)
    if not directions.exists():
        open_directions(directions)  # refuses what is no set at all
        raise UserError(
            f"{directions} is a shipped set, which stays as it is; make a copy: "
            + command("pick", directions, "--out", "my-directions")
        )
    _, index, message = name_direction(path, direction, name)
    console.print(message)
    console.print(f"next: {next_after_naming(directions, index)}")


def name_direction(path: Path, direction: str | int, name: str) -> "tuple[DirectionSet, int, str]":
    """Write a direction's name into the set in the file `path` and into human_annotation.txt beside it.

    Returns the set as it is now, the direction's index, and a line that says what was written. UserError for an
    unknown direction and for a name that is empty, a number or another direction's.
    """
    import toolkit.directions  # noqa: F401 (slow at first, and nobody should wait for it)
    from cli.inputs.sources import annotations_beside
    from toolkit.files.locks import PATIENCE, claimed

    with claimed(path.parent, PATIENCE):
        renamed, index, label_name = _renamed(path, direction, name)
    return renamed, index, f"wrote {path}, {annotations_beside(path)}: direction {index} is {label_name}"


def _renamed(path: Path, direction: str | int, name: str) -> "tuple[DirectionSet, int, str]":
    """Write the name, and return the set, the direction's index and the name as it is written."""
    from cli.inputs.sources import annotations_beside
    from discovery.annotations import normalised, read_annotations, write_annotations
    from toolkit.directions import DirectionSet

    found = DirectionSet.load(path)
    index = found.index_of(direction)
    label_name = normalised(name)
    require(bool(label_name), "the new name is empty; give a word")
    require(
        not label_name.isdecimal(), f"the new name is {label_name!r}, which would be taken for a number; use a word"
    )
    require(is_printable(label_name), f"the new name is {label_name!r}, which holds control characters; use letters")
    labels = annotations_beside(path)
    kept = read_annotations(labels) if labels.exists() else {}
    names = found.renamed(kept).names
    require(
        label_name not in names or names[index] == label_name,
        f"direction {names.index(label_name) if label_name in names else ''} is called {label_name!r} "
        "already; choose another name",
    )
    kept = {text: number for text, number in kept.items() if number != index} | {label_name: index}
    renamed = found.renamed(kept)
    write_annotations(labels, kept)
    renamed.save(path)
    return renamed, index, label_name


def next_after_naming(directions: Path, index: int) -> str:
    """Return the command that shows what the named direction does."""
    return command("render-gif", directions, "--direction", index, "--reach", 6, "--out", "direction.gif")
