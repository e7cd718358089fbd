"""Naming what a file is instead of weights: what browsers, git and training scripts leave under such a name."""

import contextlib
import zipfile
from collections.abc import Iterator
from pathlib import Path

from toolkit.errors import UserError

_SEEN = 1024  # bytes looked at
_POINTERS = (b"version https://git-lfs.github.com/spec/", b"version https://hawser.github.com/spec/")


def require_no_other(path: Path, what: str) -> None:
    """Raise UserError, saying what the file at `path` is instead of `what`, where its beginning shows it."""
    other = what_else(path)
    if other is not None:
        raise UserError(f"{path} is {other[0]}, not {what}; {other[1]}")


@contextlib.contextmanager
def naming_others(path: Path, what: str) -> Iterator[None]:
    """Raise UserError instead of any error inside where `path` is another kind of file than `what` (see above)."""
    try:
        yield
    except Exception:
        require_no_other(path, what)
        raise


def what_else(path: Path) -> tuple[str, str] | None:
    """Return what the file at `path` is, and what to do about it, where its beginning says that it holds no weights."""
    try:
        with Path(path).open("rb") as handle:
            start = handle.read(_SEEN)
    except OSError:
        return None
    plain = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if not start:
        return "an empty file", "make or download it again"
    if plain.startswith((b"<!doctype html", b"<html", b"<?xml", b"<head")):
        return "a web page", "download the file itself, by the link on that page"
    if start.startswith(_POINTERS):
        return f"a Git LFS pointer, which stands for {_pointed_size(start)}", "fetch the file itself: git lfs pull"
    if b"/annex/objects/" in start[:200]:
        return "a git-annex pointer, which stands for a file elsewhere", "fetch the file itself: git annex get"
    return None


def program_kind(path: Path) -> str | None:
    """Return "torch.export" or "TorchScript" for a program, which opening would run, by the names in its archive."""
    try:
        if not zipfile.is_zipfile(path):
            return None
        with zipfile.ZipFile(path) as archive:
            inner = {name.partition("/")[2] or name for name in archive.namelist()}
    except Exception:  # zipfile raises half a dozen kinds, is_zipfile too; whoever reads the file says what is wrong
        return None
    if {"archive_format", "serialized_exported_program.json"} & inner:
        return "torch.export"
    return "TorchScript" if "constants.pkl" in inner or any(name.startswith("code/") for name in inner) else None


def _pointed_size(start: bytes) -> str:
    for line in start.split(b"\n"):
        key, _, value = line.partition(b" ")
        if key == b"size" and value.strip().isdigit() and len(value) < 16:
            return f"a file of {int(value) / 1e6:.3g} MB"
    return "a file elsewhere"
