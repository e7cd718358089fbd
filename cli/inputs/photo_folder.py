"""Folders of photos and masks that commands name, with what the user sees of reading them."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from cli.runs.progress import console, terminal

_MANY = 2000  # masks that take more than a moment to look at


def photos_in(folder: Path) -> list[Path]:
    """Return the photos below a folder, sorted by path, after printing what was left out; UserError without any."""
    from toolkit.pictures.photo_folder import open_folder

    opened = open_folder(folder)
    if (note := opened.note()) is not None:
        console.print(note)
    return list(opened.paths)


def over_masks(paths: Sequence[Path]) -> Iterator[Path]:
    """Yield the paths of masks that are being looked at, with a bar where they are many."""
    return terminal.over(paths, "looking at masks", "masks") if len(paths) >= _MANY else iter(paths)
