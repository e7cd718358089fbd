"""What a name stands for where there is no file of that name: a file shipped in `assets`, or a published one."""

import os
from importlib.resources import files
from pathlib import Path

from toolkit.errors import UserError
from toolkit.files.published import published, required
from toolkit.hub.fetching import located, pinned
from toolkit.hub.reference import is_reference


def shipped_file(name: str) -> Path:
    """Return the path of a file shipped in `assets`, from a wheel as from an editable install."""
    return Path(str(files("assets"))) / name


def or_shipped(path: Path, kind: str) -> Path:
    """Return `path` where there is something at it, else the shipped file of that name and kind if there is one."""
    shipped = shipped_file(kind) / f"{path.name}.safetensors"
    return shipped if not path.exists() and shipped.is_file() else path


def or_published(path: Path, role: str) -> Path:
    """Return `path`, or the file in the cache where `path` is no file but the name of a published one of that role.

    UserError saying how to get the file while it is not in the cache.
    """
    entry = None if path.exists() else published().get(str(path))
    return path if entry is None or entry.role != role else required(entry)


def file_named(name: str | os.PathLike[str], kind: str, role: str) -> Path:
    """Return the path that `name` is, or the file shipped in the folder `kind` or published in a `role` by that name.

    A reference to the hub is the path in the cache of its library. UserError for what is no name, for a published file
    that is not in the cache, and for what the hub has not.
    """
    if not isinstance(name, str | os.PathLike):
        raise UserError(f"a {role} is {name!r} ({type(name).__name__}); pass a name or a path")
    if is_reference(name):
        return located(name, kind)
    return or_published(or_shipped(Path(name), kind), role)


def recorded_name(name: str | os.PathLike[str], kind: str) -> str:
    """Return how runs record what `file_named` finds: files by absolute path, what is on the hub with its commit."""
    if is_reference(name):
        return pinned(name, kind)
    return str(Path(name).resolve()) if Path(name).exists() else os.fspath(name)
