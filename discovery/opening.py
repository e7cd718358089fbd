"""Direction sets by name or file, in whatever form they come: our own, shipped, published, or an original's folder."""

import os
from collections.abc import Sequence
from pathlib import Path

from discovery.annotations import annotations_beside, read_annotations
from discovery.originals.components import holds_arrays, load_arrays
from discovery.originals.reading import is_published, load_directions
from discovery.originals.warped import is_warped, load_warped
from toolkit.directions import DirectionSet, direction_file
from toolkit.errors import UserError
from toolkit.files.shipped import file_named
from toolkit.hub.reference import Reference, is_reference
from toolkit.untrusted.bg_direction import load_published, named_directions


def open_directions(name: str | os.PathLike[str]) -> DirectionSet:
    """Return the direction set in a run folder or file, or the shipped or published one of that name, or on the hub.

    Published are a tensor in a `.pth`, and what other tools leave (discovery.originals): a folder of GANLatentDiscovery
    or its deformator's file, a folder of WarpedGANSpace or its support_sets.pt, GANSpace's components (`.npz`), vectors
    in a `.npy`. Directions have the names in the human_annotation.txt beside their set.

    >>> open_directions("flowers64")
    <DirectionSet: 64 directions of flowers64 by discover (ortho); chosen: dark_ground +6, ...>
    """
    file = file_named(name, "directions", "direction")
    if is_warped(file):
        return load_warped(file)
    if is_published(file):
        return load_directions(file)
    if file.suffix.lower() in (".pth", ".pt"):
        return load_published(file)
    if holds_arrays(file):
        return load_arrays(file)
    directions, labels = named_directions(name), annotations_beside(direction_file(file))
    return directions.renamed(read_annotations(labels)) if labels.exists() else directions


def labelled_sets(texts: Sequence[str]) -> dict[str, tuple[str, DirectionSet]]:
    """Return label -> (how the set was named, the set), in order, for texts SET or LABEL=SET.

    Without a label it is the name of the run folder or file, numbered where two are equal. UserError for a label given
    twice or that cannot name a folder.
    """
    sets: dict[str, tuple[str, DirectionSet]] = {}
    for text in texts:
        label, equals, path = text.partition("=")
        if not equals or Path(text).exists():
            label, path = _unused(_name_of(Path(text)), sets), text
        if not label.strip(". ") or Path(label).name != label:
            raise UserError(f"{label!r} cannot name a set; write LABEL=SET")
        if label in sets:
            raise UserError(f"two sets are called {label!r}; give each a label of its own, as LABEL=SET")
        sets[label] = path, open_directions(Path(path))
    return sets


def _unused(label: str, taken: dict[str, tuple[str, DirectionSet]]) -> str:
    numbered = (f"{label}-{number}" for number in range(2, len(taken) + 3))
    return label if label not in taken else next(name for name in numbered if name not in taken)


def _name_of(path: Path) -> str:
    if is_reference(path):
        return Reference.parse(str(path)).name
    path = path.resolve()
    return path.parent.name if path.name == "directions.safetensors" else path.stem if path.is_file() else path.name
