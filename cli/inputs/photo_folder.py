"""Reading a folder of photos for training."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cli.inputs.options import require
from cli.runs.progress import Bar, console
from toolkit.files.names import name_bytes

if TYPE_CHECKING:
    import torch

_MANY = 2000  # masks that take more than a moment to look at


def require_outside(out: Path, photos: Path) -> None:
    """Raise UserError when `out` lies in the folder of photos: the next run would take its pictures for photos."""
    inside = photos.is_dir() and out.resolve().is_relative_to(photos.resolve())
    require(
        not inside, f"--out {out} lies in {photos}: the next run would take its pictures for photos; choose another"
    )


def photos_in(folder: Path) -> list[Path]:
    """Return the photos below a folder, sorted by path, after printing what was left out; UserError without any."""
    from toolkit.pictures.photo_folder import open_folder

    opened = open_folder(folder)
    if (note := opened.note()) is not None:
        console.print(note)
    return list(opened.paths)


def over_masks(paths: Sequence[Path]) -> Iterator[Path]:
    """Yield the paths of masks that are being looked at, with a bar where they are many."""
    if len(paths) < _MANY:
        yield from paths
        return
    with Bar("looking at masks", len(paths), unit="masks") as bar:
        yield from bar.over(paths)


def photos_digest(paths: list[Path], folder: Path) -> str:
    """Return a digest of the photos' names and sizes, so that a changed folder is noticed when a run goes on."""
    lines = [f"{path.relative_to(folder)} {path.stat().st_size}" for path in paths]
    return hashlib.sha256(name_bytes("\n".join(lines))).hexdigest()[:16]


def read_squares(paths: list[Path], size: int) -> "torch.Tensor":
    """Return the photos' centre squares, uint8 (N, 3, size, size) on the CPU; UserError naming one that is broken."""
    import numpy as np
    import torch

    from toolkit.pictures.photos import read_square

    pixels = np.empty((len(paths), size, size, 3), np.uint8)
    with Bar("reading photos", len(paths), unit="photos") as bar:
        for index, path in enumerate(bar.over(paths)):
            pixels[index] = read_square(path, size)
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
