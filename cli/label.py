"""toolkit label: a name for a direction."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import require
from cli.progress import console


def label(
    directions: Annotated[Path, typer.Argument(help="Direction set, or the run folder that holds it.")],
    direction: Annotated[str, typer.Argument(help="Number or present name.")],
    name: Annotated[str, typer.Argument(help="The name it shall have.")],
) -> None:
    """Name a direction, in its set and in human_annotation.txt beside it."""
    from cli.sources import annotations_beside
    from discovery.annotations import normalised, read_annotations, write_annotations
    from toolkit.directions import DirectionSet, direction_file

    path = direction_file(directions)
    found = DirectionSet.load(path)
    index = found.index_of(direction)
    label_name = normalised(name)
    require(bool(label_name), "the new name is empty; give a word")
    require(
        not label_name.isdecimal(), f"the new name is {label_name!r}, which would be taken for a number; use a word"
    )
    require(
        label_name not in found.names or found.names[index] == label_name,
        f"direction {found.names.index(label_name) if label_name in found.names else ''} is called {label_name!r} "
        "already; choose another name",
    )
    labels = annotations_beside(path)
    kept = read_annotations(labels) if labels.exists() else {}
    kept = {text: number for text, number in kept.items() if number != index} | {label_name: index}
    renamed = found.renamed(kept)
    write_annotations(labels, kept)
    renamed.save(path)
    console.print(f"wrote {path}, {labels}: direction {index} is {label_name}")
    console.print(f"next: toolkit render-gif {directions} --direction {index} --reach 6 --out direction.gif")
