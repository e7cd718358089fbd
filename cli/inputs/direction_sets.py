"""Direction sets named on the command line, one or several, each with a label of its own."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cli.inputs.options import require

if TYPE_CHECKING:
    from toolkit.directions import DirectionSet


def labelled_sets(texts: Sequence[str]) -> "dict[str, tuple[str, DirectionSet]]":
    """Return label -> (what was given for the set, the set), in order, for texts SET or LABEL=SET.

    Without a label it is the name of the run folder or file, numbered where two are equal. UserError for a label given
    twice or that cannot name a folder.
    """
    from cli.inputs.sources import open_directions

    sets: dict[str, tuple[str, DirectionSet]] = {}
    for text in texts:
        label, equals, path = text.partition("=")
        if not equals or Path(text).exists():
            label, path = _unused(_name_of(Path(text)), sets), text
        require(bool(label.strip(". ")) and Path(label).name == label, f"{label!r} cannot name a set; write LABEL=SET")
        require(label not in sets, f"two sets are called {label!r}; give each a label of its own, as LABEL=SET")
        sets[label] = path, open_directions(Path(path))
    return sets


def _unused(label: str, taken: "dict[str, tuple[str, DirectionSet]]") -> str:
    numbered = (f"{label}-{number}" for number in range(2, len(taken) + 3))
    return label if label not in taken else next(name for name in numbered if name not in taken)


def _name_of(path: Path) -> str:
    path = path.resolve()
    return path.parent.name if path.name == "directions.safetensors" else path.stem if path.is_file() else path.name
