"""Artefacts from the hub: which file a reference means, in the cache of the hub's library, and whether it is whole.

The commit that a reference means is settled once in a process, so that one command never sees two of them. The cache
and its place, the mode without network (HF_HUB_OFFLINE), tokens and the hub's address are the library's own.
"""

import contextlib
import functools
import hashlib
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from toolkit.errors import UserError
from toolkit.files.writing import sha256_of
from toolkit.hub.reference import ENDING, Reference, is_reference
from toolkit.hub.refusals import TIMEOUT, is_out_of_reach, library, refusing
from toolkit.watch import SILENT, Advance, Watch

# What an artefact's file is called in a repository, by its role, which is called as its folder in
# `assets` is, and the kinds of artefacts that play it.
ROLES: dict[str, tuple[str, tuple[str, ...]]] = {
    "generators": ("generator", ("compact generator", "bigbigan generator", "published generator")),
    "directions": ("directions", ("direction set",)),
    "encoders": ("encoder", ("encoder",)),
    "segmenters": ("segmenter", ("segmenter",)),
}
_FOREIGN = f"model{ENDING}"  # what others call the one file of weights
_CONFIGURATION = "config.json"  # that lies beside it
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt", ".pickle")
_MOST_NAMED = 6
_BLOCK = 2**20
_Settled = dict[tuple[str, str | None], "Fetched"]
_settled: _Settled = {}  # what references mean in this process, by text and role


@dataclass(frozen=True)
class Fetched:
    """A file from the hub: what names it for ever, where it lies in the cache, its SHA-256 (64 hexadecimal digits)."""

    reference: Reference
    path: Path
    sha256: str

    @property
    def record(self) -> dict[str, str]:
        """Return how what is made from it names it."""
        return {"from": str(self.reference), "sha256": self.sha256}


def located(name: str | os.PathLike[str], role: str | None = None) -> Path:
    """Return the path in the cache of what a reference names, fetched if need be; any other name as the path it is."""
    return fetched(name, role).path if is_reference(name) else Path(name)


def pinned(name: str | os.PathLike[str], role: str | None = None) -> str:
    """Return a reference with its file and commit, for records of what is made from it; any other name as it is."""
    return str(fetched(name, role).reference) if is_reference(name) else os.fspath(name)


def origin(name: str | os.PathLike[str], role: str | None = None) -> dict[str, Any]:
    """Return how a card records that something is from the hub: {"shared": ...}, {} for any other name."""
    return {"shared": fetched(name, role).record} if is_reference(name) else {}


def fetched(name: str | os.PathLike[str], role: str | None = None, watch: Watch = SILENT) -> Fetched:
    """Return the artefact that a reference names, which is to play a role of ROLES, or any.

    UserError in one line for whatever is wrong: the reference, the repository, the network, the file or its kind.
    """
    text = os.fspath(name)
    known = _settled.get((text, role))
    if known is None or not known.path.exists():
        known = _fetch(Reference.parse(text), role, watch)
        for one in (text, str(known.reference)):
            _settled[one, role] = known
    _require_whole(known.path, text)
    return known


def _fetch(asked: Reference, role: str | None, watch: Watch) -> Fetched:
    with refusing(asked):
        path = _in_cache(asked) if asked.is_pinned else None
        path = path or _from_hub(asked, role, watch)
    reference = replace(asked, file=_inside(path)[1], revision=_inside(path)[0])
    _require_whole(path, str(asked))
    _require_role(path, reference, role)
    return Fetched(reference, path, _sha256(path))


def _in_cache(asked: Reference) -> Path | None:
    found = library(asked).try_to_load_from_cache(asked.repository, asked.file, revision=asked.revision)
    return Path(found) if isinstance(found, str) else None


def _from_hub(asked: Reference, role: str | None, watch: Watch) -> Path:
    hub = library(asked)
    if hub.constants.HF_HUB_OFFLINE:
        return _kept(asked, role, "HF_HUB_OFFLINE forbids asking the hub")
    try:
        info = hub.HfApi().repo_info(asked.repository, revision=asked.revision, timeout=TIMEOUT)
    except Exception as error:
        if not is_out_of_reach(error):
            raise
        with contextlib.suppress(UserError):
            path = _kept(asked, role, "")
            watch.say(f"note: {asked} is taken from the cache: the hub is out of reach")
            return path
        raise
    names = [one.rfilename for one in info.siblings or ()]
    file = _chosen(names, asked, role)
    _say_left_out(names, asked, watch)
    # By the revision as it was named, so that the library notes down which commit that is for when it is offline.
    path = _download(asked, file, asked.revision, watch)
    beside = str(Path(file).with_name(_CONFIGURATION).as_posix())
    if role == "generators" and Path(file).name == _FOREIGN and beside in names:
        _download(asked, beside, _inside(path)[0], SILENT)
    return path


def _kept(asked: Reference, role: str | None, why: str) -> Path:
    """Return the file in the cache that is meant, by what the cache holds alone."""
    hub = library(asked)
    try:
        folder = Path(hub.snapshot_download(asked.repository, revision=asked.revision, local_files_only=True))
    except (hub.errors.LocalEntryNotFoundError, OSError, ValueError) as error:
        raise UserError(f"{asked} is not in the cache, and {why}; fetch it once with a network") from error
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
    return folder / _chosen(names, asked, role)


def _chosen(names: Sequence[str], asked: Reference, role: str | None) -> str:
    """Return which file of a repository is meant; UserError naming what is there where none is, or it is not clear."""
    safe = sorted(name for name in names if name.endswith(ENDING))
    usual = [f"{ROLES[role][0]}{ENDING}"] if role in ROLES else [f"{stem}{ENDING}" for stem, _ in ROLES.values()]
    wanted = [asked.file] if asked.file is not None else [name for name in usual if name in safe] or [_FOREIGN]
    fitting = [name for name in wanted if name in safe] or (safe if asked.file is None else [])
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        pickled = [name for name in names if name.endswith(_PICKLES)]
        never = f" ({_listed(pickled)} would be pickles, which are never fetched)" if pickled else ""
        what = f"holds no {asked.file}" if asked.file is not None else f"holds no {ENDING} file"
        raise UserError(f"{asked} {what}; it holds {_listed(safe or sorted(names)) or 'nothing'}{never}")
    example = replace(asked, file=fitting[0])
    raise UserError(f"{asked} holds several artefacts: {_listed(fitting)}; name one, as {example}")


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _say_left_out(names: Sequence[str], asked: Reference, watch: Watch) -> None:
    pickled = [name for name in names if name.endswith(_PICKLES)]
    if pickled:
        watch.say(f"note: {_listed(pickled)} of {asked.repository} may run code, and is not fetched")


def _download(asked: Reference, file: str, revision: str | None, watch: Watch) -> Path:
    with _Meter.shown(watch, f"{asked.repository}/{file}") as meter:
        path = library(asked).hf_hub_download(
            asked.repository, file, revision=revision, tqdm_class=meter, etag_timeout=TIMEOUT
        )
    return Path(path)


def _inside(path: Path) -> tuple[str, str]:
    """Return the commit and the file's name in its repository of a path in the cache."""
    parts = path.parts
    place = len(parts) - 1 - parts[::-1].index("snapshots")
    return parts[place + 1], "/".join(parts[place + 2 :])


def _require_role(path: Path, reference: Reference, role: str | None) -> None:
    if role is None:
        return
    from toolkit.files.artefacts import artefact_kind  # which imports torch

    kind = artefact_kind(path)
    if kind is not None and kind not in ROLES[role][1]:
        wanted = ROLES[role][1][0] if len(ROLES[role][1]) == 1 else "generator"
        raise UserError(f"{reference} is a file of the kind {kind!r}, but the kind {wanted!r} is needed; name another")


def _require_whole(path: Path, asked: str) -> None:
    """Raise UserError where a file in the cache is not what the hub said it is.

    The library calls each file by the hub's checksum of it, and never compares the two.
    """
    status = path.stat()
    if not _is_whole(path, status.st_size, status.st_mtime_ns):
        place = Path(os.path.realpath(path))
        raise UserError(f"{asked}: {place} is not what the hub has; it is damaged: delete it and repeat the command")


# Hashing takes half a second a gigabyte, and one command may ask for the same file several times.
@functools.lru_cache(maxsize=32)
def _is_whole(path: Path, size: int, changed: int) -> bool:
    # On systems without links there is the file alone, and what it should be is not known.
    stated = Path(os.readlink(path)).name if path.is_symlink() else ""
    if len(stated) == 64:
        return sha256_of(path) == stated
    return len(stated) != 40 or _git_digest(path, size) == stated


def _git_digest(path: Path, size: int) -> str:
    digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _sha256(path: Path) -> str:
    stated = Path(os.readlink(path)).name if path.is_symlink() else ""
    return stated if len(stated) == 64 else sha256_of(path)  # compared already


class _Meter:
    """What the library moves on as bytes come, shown as a bar of whole megabytes."""

    @staticmethod
    @contextlib.contextmanager
    def shown(watch: Watch, label: str) -> Iterator[type]:
        """Yield a class as the library takes one; it makes one of it for each file, once it knows the file's size."""
        with contextlib.ExitStack() as bars:

            class Meter(_Meter):
                def __init__(self, *_: Any, total: float | None = None, initial: float = 0, **__: Any) -> None:
                    self.done, self.shown_done = initial, math.ceil(initial / 1e6)
                    whole = math.ceil((total or 0) / 1e6)
                    self.advance: Advance = bars.enter_context(watch.bar(label, whole, self.shown_done, "MB"))

            yield Meter

    done: float
    shown_done: int
    advance: Advance

    def __enter__(self) -> "_Meter":
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def update(self, count: float | None = 1) -> None:
        """Move on by a number of bytes, backwards too."""
        self.done += count or 0
        megabytes = math.ceil(self.done / 1e6)
        self.advance(megabytes - self.shown_done)
        self.shown_done = megabytes

    def close(self) -> None:
        """End nothing: the bar ends with the download."""
