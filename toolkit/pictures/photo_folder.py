"""A folder of photos: what counts as one, and what is left out."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolkit.errors import UserError, named
from toolkit.files.names import name_bytes
from toolkit.pictures.picture_files import HEIF_ENDINGS, HEIF_NEEDS, photo_endings, refuse_url

_SYSTEM_NAMES = ("__MACOSX", "Thumbs.db", "desktop.ini", "@eaDir")
_HIDDEN = "hidden"
_SHOWN = 6


@dataclass(frozen=True)
class PhotoFolder:
    """The photos below a folder, sorted by path, and how many other files there are by ending."""

    folder: Path
    paths: tuple[Path, ...]
    left_out: Counter[str]

    def note(self) -> str | None:
        """Return one line on the files left out, None where there are none."""
        if not self.left_out:
            return None
        kinds = [f"{count} {ending}" for ending, count in self.left_out.most_common()]
        rest = len(kinds) - _SHOWN
        line = ", ".join(kinds[:_SHOWN]) + (f" and {rest} more kinds" if rest > 0 else "")
        count = self.left_out.total()
        text = f"left out {count} file{'s' if count > 1 else ''} below {self.folder} that are no photos: {line}"
        heif = any(ending.lower() in HEIF_ENDINGS for ending in self.left_out)
        return text + (f"; HEIC needs {HEIF_NEEDS}" if heif else "")


def open_folder(folder: Path) -> PhotoFolder:
    """Return the photos below `folder`; UserError when there is no folder or none in it.

    Hidden files, files in hidden folders and what systems put beside photos (`__MACOSX`) are no photos.
    """
    folder = Path(folder)
    endings = photo_endings()
    if folder.is_file():
        raise UserError(f"no folder at {folder}, which is a file; name the folder that holds it")
    if not folder.is_dir():
        refuse_url(folder)
        raise UserError(f"no folder at {folder}; name a folder of photos ({', '.join(endings)})")
    photos, others = [], Counter[str]()
    for path, hidden in _files(folder):
        ending = path.suffix
        if not hidden and ending.lower() in endings:
            photos.append(path)
        else:
            others[_HIDDEN if hidden else ending or "without an ending"] += 1
    found = PhotoFolder(folder, tuple(sorted(photos)), others)
    if not photos:
        note = found.note()
        raise UserError(
            f"no photos below {folder}; it should hold files ending in {', '.join(endings)}"
            + (f" ({note})" if note else "")
        )
    return found


def list_photos(folder: Path) -> list[Path]:
    """Return every photo below `folder`, sorted by path; UserError when there is none (see `open_folder`)."""
    return list(open_folder(folder).paths)


def require_outside(out: Path, photos: Path) -> None:
    """Raise UserError when `out` lies in the folder of photos: the next run would take its pictures for photos."""
    if photos.is_dir() and out.resolve().is_relative_to(photos.resolve()):
        raise UserError(
            f"{named('out', out)} lies in {photos}: the next run would take its pictures for photos; choose another"
        )


def photos_digest(paths: Sequence[Path], folder: Path) -> str:
    """Return a digest of the photos' names and sizes, so that a changed folder is noticed when a run is resumed."""
    lines = [f"{path.relative_to(folder)} {path.stat().st_size}" for path in paths]
    return hashlib.sha256(name_bytes("\n".join(lines))).hexdigest()[:16]


def _files(folder: Path) -> Iterator[tuple[Path, bool]]:
    """Yield every file below a folder, and whether it or a folder about it is hidden or a system's own."""
    for root, _, names in os.walk(folder):
        below = Path(root)
        hidden = any(map(_is_hidden, below.relative_to(folder).parts))
        for name in names:
            path = below / name
            if path.is_file():  # no broken link, no socket
                yield path, hidden or _is_hidden(name)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name in _SYSTEM_NAMES
