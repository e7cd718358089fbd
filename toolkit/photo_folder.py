"""A folder of photos: what counts as one, and what is left out."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from toolkit.errors import UserError
from toolkit.picture_files import HEIF_ENDINGS, HEIF_NEEDS, photo_endings

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
    if not folder.is_dir():
        raise UserError(f"no folder at {folder}; name a folder of photos ({', '.join(endings)})")
    photos, others = [], Counter[str]()
    for path in _files(folder):
        kind = _kind_of_other(path.relative_to(folder), endings)
        if kind is None:
            photos.append(path)
        else:
            others[kind] += 1
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


def _files(folder: Path) -> Iterator[Path]:
    for root, _, names in os.walk(folder):
        for name in names:
            path = Path(root, name)
            if path.is_file():  # no broken link, no socket
                yield path


def _kind_of_other(place: Path, endings: tuple[str, ...]) -> str | None:
    """Return what a file that is no photo is counted as, by its place in the folder; None for a photo."""
    if any(part.startswith(".") or part in _SYSTEM_NAMES for part in place.parts):
        return _HIDDEN
    return None if place.suffix.lower() in endings else place.suffix or "without an ending"
