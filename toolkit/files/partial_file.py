"""The growing file of a download, kept from other processes, which remembers where its bytes came from."""

import contextlib
import hashlib
import os
import re
from dataclasses import asdict, dataclass
from email.message import Message
from pathlib import Path

from toolkit.errors import UserError
from toolkit.files.locks import take
from toolkit.files.workplace import sweep
from toolkit.files.writing import replace, write_json
from toolkit.untrusted.text import parse_json, read_text, whole_number

_LARGEST_NOTE = 100_000  # bytes


@dataclass(frozen=True)
class _Origin:
    """Where the bytes came from: address, the server's name for that version of the file, bytes in all."""

    address: str
    version: str | None
    total: int | None


def _origin_in(note: Path) -> _Origin | None:
    """Return what a note says, or None where there is none yet, or only what a crash left of one."""
    try:
        held = parse_json(read_text(note, "note of a download", _LARGEST_NOTE), str(note))
        origin = _Origin(**held)
    except (UserError, TypeError):
        return None
    whole = isinstance(origin.address, str) and isinstance(origin.version, str | None)
    return origin if whole and (origin.total is None or type(origin.total) is int) else None


class PartialFile:
    """`<name>.part` beside the file it shall become, with its origin in `<name>.part.json`.

    `size` counts the bytes that are here. UserError when another process has it open; OSError of the disk passes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.with_name(f"{path.name}.part")
        self._note = _note_of(path)
        # A file of its own, since Windows keeps even the holder of a lock from writing what is locked.
        lock = take(_lock_of(path))
        if lock is None:
            raise UserError(f"another process is downloading {path}; wait for it")
        self._lock = lock
        try:
            self._file = self.path.open("a+b")
        except OSError:
            lock.release()
            raise
        self.size = self._file.seek(0, os.SEEK_END)
        self._origin: _Origin | None = _origin_in(self._note)

    @property
    def total(self) -> int | None:
        """Return how many bytes the whole file has, or None where the server did not say."""
        return self._origin.total if self._origin else None

    def held(self, address: str) -> int:
        """Return how many bytes of the file at `address` are here and can be told from those of another version."""
        return self.size if self._origin and self._origin.address == address and self._origin.version else 0

    def request_headers(self, address: str) -> dict[str, str]:
        """Return the headers that ask for what is missing, or for the whole file where its version has changed."""
        if not self.held(address) or self._origin is None or self._origin.version is None:
            return {}
        return {"Range": f"bytes={self.size}-", "If-Range": self._origin.version}

    def accept(self, address: str, status: int, headers: Message) -> bool:
        """Make ready for a body: of a whole file after emptying this one, of a part only if it continues from here.

        Returns False for any other part.
        """
        tag = headers.get("ETag", "")
        version = tag if tag.startswith('"') else headers.get("Last-Modified")  # a weak tag does not stand for bytes
        if status == 206:
            return self._goes_on(address, version, headers.get("Content-Range", ""))
        self.empty()
        length = headers.get("Content-Length", "")
        self._origin = _Origin(address, version, whole_number(length))
        write_json(self._note, asdict(self._origin))
        return True

    def _goes_on(self, address: str, version: str | None, content_range: str) -> bool:
        span = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", content_range)
        if self._origin is None or span is None or not self.held(address):
            return False
        # After If-Range a server may leave the version out: by sending a part it has confirmed it.
        return [whole_number(number) for number in span.groups()] == [self.size, self.total] and (
            version is None or version == self._origin.version
        )

    def append(self, chunk: bytes) -> None:
        """Add bytes at the end."""
        self._file.write(chunk)
        self.size += len(chunk)

    def digest(self) -> "hashlib._Hash":
        """Return the SHA-256 of what is here, ready to be updated with what follows."""
        self._file.seek(0)
        return hashlib.file_digest(self._file, "sha256")

    def empty(self) -> None:
        """Drop all bytes."""
        self._file.truncate(0)
        self.size, self._origin = 0, None

    def become(self, path: Path) -> None:
        """Close the file and give it its name, in place of what was there."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()  # Windows renames only what is closed
        replace(self.path, path)
        self._note.unlink(missing_ok=True)
        self._lock.release()

    def close(self) -> None:
        """Let go of the file; nothing stays of an empty one."""
        if self._file.closed:
            return
        with contextlib.suppress(OSError):  # of a full disk, which has been reported before
            self._file.close()
        if self.size == 0:
            self.path.unlink(missing_ok=True)
            self._note.unlink(missing_ok=True)
        self._lock.release()


def tidy(path: Path) -> None:
    """Remove what a process that was killed as the file became `path` has left of its download."""
    sweep([path.parent])
    with contextlib.suppress(OSError):
        lock = take(_lock_of(path))
        if lock is None:  # it is being downloaded anew
            return
        if not path.with_name(f"{path.name}.part").exists():
            _note_of(path).unlink(missing_ok=True)
        lock.release()


def _lock_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")


def _note_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.part.json")
