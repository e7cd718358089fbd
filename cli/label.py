"""toolkit label: a name for a direction."""

from pathlib import Path
from typing import Annotated

import typer

from cli.progress import console


def label(
    directions: Annotated[Path, typer.Argument(help="Direction set, or the run folder that holds it.")],
    direction: Annotated[str, typer.Argument(help="Number or present name.")],
    name: Annotated[str, typer.Argument(help="The name it shall have.")],
) -> None:
    """Name a direction, in its set and in human_annotation.txt beside it."""
    from cli.sources import annotations_beside, direction_file
    from discovery.annotations import read_annotations, write_annotations
    from toolkit.directions import DirectionSet

    path = direction_file(directions)
    found = DirectionSet.load(path)
    index = found.index_of(direction)
    labels = annotations_beside(path)
    kept = read_annotations(labels) if labels.exists() else {}
    kept = {text: number for text, number in kept.items() if number != index} | {name: index}
    write_annotations(labels, kept)
    found.renamed(read_annotations(labels)).save(path)
    console.print(f"wrote {path}, {labels}: direction {index} is {name}")
    console.print(f"next: toolkit render-gif {directions} --direction {index} --reach 6 --out direction.gif")
