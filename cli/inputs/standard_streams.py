"""`-` in place of a path: a photo from standard input, a picture to standard output."""

import contextlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path

from cli.runs.progress import console
from toolkit.errors import UserError

DASH = Path("-")
_LARGEST = 2**29  # bytes of a photo that is read from a pipe, which might never end


def photo_from_stdin() -> io.BytesIO:
    """Return what standard input holds; UserError where it is a terminal, empty, or has no end in sight."""
    if sys.stdin.isatty():
        raise UserError("- reads a photo from standard input, which is a terminal; pipe one in, or use < photo.jpg")
    content = sys.stdin.buffer.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise UserError(f"standard input holds more than {_LARGEST >> 20} MiB; save the photo and name its file")
    if not content:
        raise UserError("standard input is empty; pipe a photo in, or use < photo.jpg")
    return io.BytesIO(content)


def require_stdout_takes_files() -> None:
    """Raise UserError where standard output is a terminal, which would show a picture's bytes."""
    if sys.stdout.isatty():
        raise UserError("--out - writes to standard output, which is a terminal; add > picture.png, or name a folder")


def to_stdout(content: bytes) -> None:
    """Write the content of a file to standard output."""
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


@contextlib.contextmanager
def speaking_on_stderr() -> Iterator[None]:
    """Have everything that is said inside go to standard error, so that standard output holds a file alone."""
    before, console.stderr = console.stderr, True
    try:
        yield
    finally:
        console.stderr = before
