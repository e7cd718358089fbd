"""Naming a direction, in its set and in human_annotation.txt beside it."""

from pathlib import Path

from discovery.annotations import annotations_beside, normalised, read_annotations, write_annotations
from toolkit.directions import DirectionSet
from toolkit.errors import UserError
from toolkit.files.locks import PATIENCE, claimed
from toolkit.untrusted.printable import is_printable


def name_direction(path: Path, direction: str | int, name: str) -> tuple[DirectionSet, int]:
    """Write a direction's name into the set in the file `path` and into human_annotation.txt beside it.

    Returns the set as it is now, and the direction's index in it. UserError for an unknown direction and for a name
    that is empty, a number or another direction's.
    """
    with claimed(path.parent, PATIENCE):
        directions, labels = DirectionSet.load(path), annotations_beside(path)
        index = directions.index_of(direction)
        kept = read_annotations(labels) if labels.exists() else {}
        label = _usable(name, index, directions.renamed(kept).names)
        kept = {text: number for text, number in kept.items() if number != index} | {label: index}
        renamed = directions.renamed(kept)
        write_annotations(labels, kept)
        renamed.save(path)
    return renamed, index


def _usable(name: str, index: int, names: tuple[str, ...]) -> str:
    """Return the name as it is written, for direction `index` of those called `names`; UserError if it cannot be."""
    label = normalised(name)
    if not label:
        raise UserError("the new name is empty; give a word")
    if label.isdecimal():
        raise UserError(f"the new name is {label!r}, which would be taken for a number; use a word")
    if not is_printable(label):
        raise UserError(f"the new name is {label!r}, which holds control characters; use letters")
    if label in names and names[index] != label:
        raise UserError(f"direction {names.index(label)} is called {label!r} already; choose another name")
    return label
