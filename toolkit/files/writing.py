"""Files that are written whole or not at all, and folders that are checked before long work starts."""

import contextlib
import hashlib
import itertools
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from toolkit.errors import OUT, UserError
from toolkit.files.locks import claimed
from toolkit.files.names import writable
from toolkit.files.workplace import holdings, sweep, workplace
from toolkit.untrusted.text import LARGEST_JSON, parse_json, read_text
from toolkit.untrusted.text import existing_file as existing_file  # beside the other checks of paths

_NUMBERS = itertools.count()  # names of temporary files, whose threads may share a workplace
_RENAMES = 40 if sys.platform == "win32" else 1
_RENAME_SECONDS = 0.05


@contextlib.contextmanager
def replacing(path: Path, place: Path | None = None) -> Iterator[Path]:
    """Yield a temporary path with the ending of `path`; on success it replaces `path`, else it vanishes.

    It lies in a `workplace` beside `path`, or in `place`, one for many files. Raises UserError when the folder cannot
    be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with workplace(path.parent) if place is None else contextlib.nullcontext(place) as where:
            temporary = where / f"{next(_NUMBERS)}{path.suffix}"
            try:
                yield temporary
                settle(temporary, path)
            finally:
                with contextlib.suppress(OSError):
                    temporary.unlink()
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}; choose another place or free it") from error


def settle(temporary: Path, path: Path) -> None:
    """Give a whole file its name, in place of what was there, once it is safe on the disk."""
    with temporary.open("r+b") as handle:  # Windows syncs only what is open for writing
        os.fsync(handle.fileno())
    replace(temporary, path)


def replace(temporary: Path, path: Path) -> None:
    """Rename a file; on Windows, which refuses while somebody reads what is there, that is waited for."""
    for _ in range(_RENAMES - 1):
        try:
            os.replace(temporary, path)
            return
        except PermissionError:
            time.sleep(_RENAME_SECONDS)
    os.replace(temporary, path)


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield a new folder that becomes `path` on success, and vanishes else.

    UserError when `path` is a file, a folder that holds anything but the same, or the current folder: replaced, it
    would be gone from under the shell.
    """
    place = path.resolve()
    taken = UserError(f"{path} is there already; choose a new or empty {OUT}")
    if path.is_file():
        raise taken
    if place == Path.cwd():
        raise UserError(f"{path} is the current folder, which cannot be replaced; name a new {OUT}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with workplace(place.parent) as where:
            (where / place.name).mkdir()
            yield where / place.name
            if holdings(place):
                if _contents(place) != _contents(where / place.name):
                    raise taken
                return  # a command that was killed as it ended has made it
            if place.is_dir():
                sweep([place])
                with claimed(place):  # its lock, which a killed process may have left, goes
                    pass
                place.rmdir()
            os.replace(where / place.name, place)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}; choose another place or free it") from error


def _contents(folder: Path) -> dict[str, bytes | None]:
    """Return each file's bytes, and None for each folder, by its place in `folder`."""
    paths = sorted(folder.rglob("*"))
    return {path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None for path in paths}


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write `content` to `path` as UTF-8, whole or not at all; names that are no Unicode as in toolkit.files.names."""
    write_bytes(path, writable(content).encode())


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON; NaN is refused with ValueError, since most readers cannot parse it."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Return the value in the JSON file `path`; UserError if missing or not JSON (toolkit.untrusted.text)."""
    return parse_json(read_text(path, "JSON file", LARGEST_JSON), str(path))


def writable_folder(path: Path) -> Path:
    """Return `path` after making it; UserError when it is a file or nothing can be written into it."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with workplace(path):
            pass
    except OSError as error:
        reason = "it is a file" if path.is_file() else (error.strerror or str(error))
        raise UserError(f"cannot write into {path}: {reason}; choose another {OUT}") from error
    return path


def writable_file(path: Path, endings: tuple[str, ...]) -> Path:
    """Return `path` after checking, before any long work, that its ending is allowed and its folder takes files."""
    path = Path(path)
    if path.suffix.lower() not in endings:
        raise UserError(f"cannot tell the format of {path.name}: its name should end in {', '.join(endings)}")
    if path.is_dir():
        raise UserError(f"cannot write {path}: it is a folder; name a file in it")
    writable_folder(path.parent)
    return path


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
