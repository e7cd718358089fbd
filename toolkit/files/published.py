"""Published files by name: the table of their addresses, the cache folder, and checksums that are remembered.

TOOLKIT_CACHE names another cache folder, TOOLKIT_WEIGHTS a TOML file of one's own mirrors, TOOLKIT_OFFLINE=1 forbids
downloads.
"""

import contextlib
import datetime
import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import Any

from toolkit.command_line import command
from toolkit.errors import UserError
from toolkit.files.fetch import Transfer, by_hand, fetch
from toolkit.files.partial_file import tidy
from toolkit.files.places import cache_folder
from toolkit.files.writing import read_json, sha256_of, write_json
from toolkit.settings import read_toml
from toolkit.untrusted.printable import is_printable

_LONGEST_NAME = 200  # bytes, which leaves room for .part.json on any disk
ROLES = ("generator", "direction", "embeddings", "segmenter", "archive", "module")


@dataclass(frozen=True)
class PublishedFile:
    """One file of `assets/weights.toml`, which explains the fields."""

    name: str
    role: str
    file: str
    terms: str
    next: str
    licence: str = "not stated"
    mirrors: tuple[str, ...] = ()
    page: str = ""
    megabytes: float | None = None
    sha256: str | None = None

    @property
    def path(self) -> Path:
        """Return where the file lies in the cache, once it is there."""
        return cache_folder() / self.file

    @property
    def folder(self) -> Path:
        """Return where an archive is unpacked in the cache."""
        return self.path.with_suffix("")

    @property
    def size(self) -> str:
        """Return the size in megabytes as text: of the file if it is there, else what is known."""
        known = self.path.stat().st_size / 1e6 if self.path.is_file() else self.megabytes
        if known is None:
            return "size unknown"
        return f"{known:.0f} MB" if known >= 10 else f"{known:.2g} MB"

    def how_to_get(self) -> str:
        """Return what to do to have the file in the cache."""
        if not self.mirrors:
            return f"get {self.page} by hand (it may lead on to Kaggle) and unpack it as {self.path}"
        alone = by_hand(self.mirrors, self.path)
        return alone if is_offline() else f"run {command('weights', 'pull', self.name)} ({self.size}), or {alone}"


def is_offline() -> bool:
    """Return whether TOOLKIT_OFFLINE forbids downloads."""
    return os.environ.get("TOOLKIT_OFFLINE", "").lower() not in ("", "0", "false", "no")


def published() -> dict[str, PublishedFile]:
    """Return the known files by name: those of `assets/weights.toml`, changed and added to by TOOLKIT_WEIGHTS.

    UserError when that file is missing or holds something that cannot be.
    """
    table = read_toml(Path(str(files("assets"))) / "weights.toml")
    own = os.environ.get("TOOLKIT_WEIGHTS")
    for name, values in (read_toml(Path(own)) if own else {}).items():
        table[name] = {**table.get(name, {}), **values} if isinstance(values, dict) else values
    return {name: _entry(name, values, own) for name, values in table.items()}


def _entry(name: str, values: Any, source: str | None) -> PublishedFile:
    try:
        entry = PublishedFile(name, **{**values, "mirrors": tuple(values.get("mirrors", ()))})
    except (TypeError, AttributeError) as error:
        known = ", ".join(field.name for field in fields(PublishedFile))
        raise UserError(f"{source}: [{name}] is not a table of {known} ({error}); see assets/weights.toml") from error
    problems = {
        f"role is {entry.role!r}, not one of {', '.join(ROLES)}": entry.role not in ROLES,
        f"file is {entry.file!r}, not a bare file name": not _is_bare(entry.file),
        "terms, next, licence and page are not all text": not all(
            isinstance(text, str) and is_printable(text)
            for text in (entry.terms, entry.next, entry.licence, entry.page)
        ),
        "mirrors are not all http or https addresses": not all(
            isinstance(one, str) and one.startswith(("http://", "https://")) for one in entry.mirrors
        ),
        "it has neither mirrors nor a page": not entry.mirrors and not entry.page,
        "megabytes is no number": not isinstance(entry.megabytes, float | int | None),
        "sha256 is not 64 hexadecimal digits": not _is_digest(entry.sha256),
    }
    problem = next((text for text, wrong in problems.items() if wrong), None)
    if problem is not None:
        raise UserError(f"{source}: [{name}] cannot be used: {problem}; correct it there")
    return entry


def _is_bare(name: Any) -> bool:
    plain = isinstance(name, str) and is_printable(name) and len(name.encode()) <= _LONGEST_NAME
    return plain and Path(name).name == name and name != ".."


def _is_digest(value: Any) -> bool:
    return value is None or (isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef"))


def find(name: str) -> PublishedFile:
    """Return the published file called `name`; UserError saying which there are."""
    table = published()
    if name not in table:
        raise UserError(f"no published file {name!r}; choose from {', '.join(table)}")
    return table[name]


def cached(entry: PublishedFile) -> Path | None:
    """Return the path of a published file, or None while it is not in the cache.

    Its SHA-256 is compared with the table's or with the one recorded at first use, but for what is unpacked by hand.
    UserError where it differs.
    """
    if not entry.mirrors and entry.path.exists():
        return entry.path
    if not entry.path.is_file():
        return None
    digest = _digest_of(entry.path, entry.path.stat().st_size, entry.path.stat().st_mtime_ns)
    expected = _expected(entry)
    if expected is None:
        with contextlib.suppress(UserError):  # a cache of others, which cannot be written, is used all the same
            _record(entry, digest)
    elif digest != expected:
        raise UserError(
            f"{entry.path} is not what it was: its SHA-256 is {digest}, but {expected} is expected; delete it and "
            f"run {command('weights', 'pull', entry.name)}, or delete {_record_path(entry).name} too if you mean to "
            "change it"
        )
    return entry.path


def required(entry: PublishedFile) -> Path:
    """Return the path of a published file in the cache; UserError saying how to get it while it is not there."""
    path = cached(entry)
    if path is None:
        raise UserError(f"{entry.name} is not in the cache; {entry.how_to_get()}")
    return path


def pull(entry: PublishedFile, transfer: Transfer, offline: bool = False) -> Path:
    """Return the path of a published file after downloading it, if it is not in the cache already and whole.

    UserError when it has to be got by hand, when downloads are forbidden, and as for `toolkit.files.fetch.fetch`.
    """
    try:
        path = cached(entry)
    except UserError:
        transfer.notice(f"{entry.path} is not what it was")
        path = None
    if path is not None:
        tidy(path)
        return path
    if not entry.mirrors:
        raise UserError(f"{entry.name} cannot be pulled; {entry.how_to_get()}")
    if offline or is_offline():
        raise UserError(f"{entry.name} is not in the cache and downloads are off; {by_hand(entry.mirrors, entry.path)}")
    expected = _expected(entry)
    digest = fetch(entry.mirrors, entry.path, expected, transfer)
    if expected is None:
        _record(entry, digest)
    return entry.path


# Hashing takes half a second a gigabyte, and one command may ask for the same file several times.
@functools.lru_cache(maxsize=32)
def _digest_of(path: Path, size: int, changed: int) -> str:
    return sha256_of(path)


def _record_path(entry: PublishedFile) -> Path:
    return entry.path.with_name(f"{entry.file}.json")


def _expected(entry: PublishedFile) -> str | None:
    """Return the SHA-256 the file has to have: the table's, else the recorded one, else None before its first use."""
    path = _record_path(entry)
    if entry.sha256 or not path.exists():
        return entry.sha256
    record = read_json(path)
    digest = record.get("sha256") if isinstance(record, Mapping) else None
    if digest is None or not _is_digest(digest):
        raise UserError(f"{path} holds no SHA-256; delete it, and the file is trusted as it is at its next use")
    return digest


def _record(entry: PublishedFile, digest: str) -> None:
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    write_json(_record_path(entry), {"sha256": digest, "bytes": entry.path.stat().st_size, "recorded": today})
