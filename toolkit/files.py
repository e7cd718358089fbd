"""Files that are written whole or not at all, and folders that are checked before long work starts."""

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from toolkit.errors import UserError
from toolkit.reading import LARGEST_JSON, parse_json, read_text
from toolkit.reading import existing_file as existing_file  # beside the other checks of paths


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` with the same ending; on success it replaces `path`, else it vanishes.

    Raises UserError when the folder cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("r+b") as handle:  # Windows syncs only what is open for writing
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}; choose another place or free it") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write `content` to `path` as UTF-8, whole or not at all."""
    write_bytes(path, content.encode())


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON; NaN is refused with ValueError, since most readers cannot parse it."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Return the value in the JSON file `path`; UserError when it is missing or is not JSON (see toolkit.reading)."""
    return parse_json(read_text(path, "JSON file", LARGEST_JSON), str(path))


def writable_folder(path: Path) -> Path:
    """Return `path` after making it; UserError when it is a file or nothing can be written into it."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        reason = "it is a file" if path.is_file() else (error.strerror or str(error))
        raise UserError(f"cannot write into {path}: {reason}; choose another output folder with --out") from error
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
