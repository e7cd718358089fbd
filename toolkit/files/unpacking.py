"""Unpacking of archives from outside: whole or not at all, nothing outside their folder, and never more than fits."""

import bz2
import contextlib
import gzip
import lzma
import os
import re
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO

from toolkit.errors import UserError
from toolkit.files.workplace import workplace
from toolkit.untrusted.foreign import require_no_other
from toolkit.untrusted.text import existing_file

# Weights of this field come to some GB in some dozen files; what is far beyond that was made to fill a disk.
LARGEST_UNPACKED = 32 * 2**30  # bytes of all files together
MOST_MEMBERS = 20_000
LEFT_FREE = 256 * 2**20  # bytes that unpacking leaves on the disk: a full one stops the rest of the machine
_LARGEST_HEADER = 2**20  # a header is read whole; real ones hold a long name, some hundred bytes
_LARGEST_PADDING = 2**24  # zeros after the end: archives are padded to their tape's record, 10 KB unless told otherwise
_CHUNK = 2**18
_END = bytes(2 * tarfile.BLOCKSIZE)  # what POSIX puts after the last member
# Headers made to confuse get as far as tarfile's own arithmetic and its recursion.
_CONFUSED = (ValueError, OverflowError, RecursionError)
_DAMAGED = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, *_CONFUSED)
_FILTER = getattr(tarfile, "data_filter", None)  # Python 3.11.4 and later; refuses more than the checks here on links
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])\s*(\..*)?", re.IGNORECASE)


def unpack(archive: Path, folder: Path) -> Path:
    """Return `folder` with the files of a `.tar` in it; one that is there already is left as it is.

    UserError when the archive is damaged, holds links, devices or paths that lead out of it on any system, or unpacks
    to more than the bounds above or the disk allow.
    """
    if folder.is_dir():
        return folder
    try:
        with members(archive) as files, workplace(folder.parent) as place:
            unfinished = place / folder.name
            unfinished.mkdir()
            for name, content, size in files:
                target = unfinished / name
                target.parent.mkdir(parents=True, exist_ok=True)
                write_member(content, size, target, archive)
            os.replace(unfinished, folder)
    except OSError as error:
        raise UserError(f"cannot unpack {archive} to {folder}: {error.strerror or error}; make room") from error
    return folder


@contextlib.contextmanager
def members(
    archive: Path, remedy: str = "delete it and pull it again"
) -> Iterator[Iterator[tuple[PurePosixPath, IO[bytes], int]]]:
    """Yield an iterator over the plain files of a `.tar`, `.tar.gz` and so on: path, content, size in bytes.

    Each content is to be read before the next is asked for. After the last, the archive is read to its end, where
    damage shows. UserError in one line for anything damaged, with `remedy`, oversized or no plain file in its folder.
    """
    existing_file(archive, "archive")  # a pipe would be waited for
    try:
        with archive.open("rb") as raw, _decompressed(raw) as stream:
            yield _members(_Bounded(stream), archive)
    except (*_DAMAGED, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the system's; bz2 raises one for damage, too
            raise
        require_no_other(archive, "a tar archive")
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{archive} is not a whole tar archive ({reason}); {remedy}") from error


def _members(stream: "_Bounded", archive: Path) -> Iterator[tuple[PurePosixPath, IO[bytes], int]]:
    total = 0
    with tarfile.open(fileobj=stream, mode="r:") as tar:  # type: ignore[call-overload]
        for count, member in enumerate(tar, start=1):
            if member.size < 0:
                raise tarfile.ReadError("a size in it is below 0")
            total += member.size
            if count > MOST_MEMBERS or total > LARGEST_UNPACKED:
                raise _too_large(archive)
            path = _inner_path(member, archive)
            if member.isdir():
                continue
            content = tar.extractfile(member)
            assert content is not None  # it is a plain file
            with content:
                yield path, content, member.size
        _require_end(stream, tar)


def _too_large(archive: Path) -> UserError:
    return UserError(
        f"{archive} unpacks to more than {LARGEST_UNPACKED // 2**30} GB or {MOST_MEMBERS} files, more than archives of "
        "weights hold; do not trust it"
    )


def _untrusted(archive: Path, name: str) -> UserError:
    return UserError(f"{archive} holds {name!r}, no plain file inside it; do not trust it")


def _inner_path(member: tarfile.TarInfo, archive: Path) -> PurePosixPath:
    """Return the path of a file or folder; UserError for anything else, and where it leads out here or on Windows."""
    path = PurePosixPath(member.name)
    plain = member.isdir() or (member.isfile() and not member.issparse())
    if not plain or path.is_absolute() or any(map(_leads_out, path.parts)):
        raise _untrusted(archive, member.name)
    if _FILTER is not None:
        try:
            _FILTER(member, str(archive.parent))
        except tarfile.TarError as error:
            raise _untrusted(archive, member.name) from error
    return path


def _leads_out(part: str) -> bool:
    """Return whether a part of a path means something else than a file of that name, here or on Windows."""
    odd = set(part) & set('\\:*?"<>|') or any(ord(letter) < 32 for letter in part) or part.endswith((".", " "))
    return bool(odd) or _RESERVED.fullmatch(part) is not None


def write_member(content: IO[bytes], size: int, target: Path, archive: Path) -> None:
    """Write a member of `size` bytes to `target`.

    UserError before the disk would be full, and for a second member of that name; EOFError for one cut short.
    """
    if target.exists():
        raise UserError(f"{archive} holds {target.name} twice; do not trust it")
    free = shutil.disk_usage(target.parent).free
    if size > free - LEFT_FREE:
        raise UserError(
            f"{archive} needs {size / 1e6:.0f} MB more, but {free / 1e6:.0f} MB are free at {target.parent}; make room"
        )
    with target.open("xb") as handle:
        shutil.copyfileobj(content, handle, _CHUNK)
        if handle.tell() != size:
            raise EOFError(f"{target.name} is cut short")


def _decompressed(raw: BinaryIO) -> IO[bytes]:
    start = raw.read(6)
    raw.seek(0)
    if start.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=raw, mode="rb")  # type: ignore[return-value]
    if start.startswith(b"BZh"):
        return bz2.BZ2File(raw)
    return lzma.LZMAFile(raw) if start == b"\xfd7zXZ\0" else raw


class _Bounded:
    """A stream read in parts of bounded size, so that a header which claims gigabytes costs no memory."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def read(self, size: int) -> bytes:
        if not 0 <= size <= _LARGEST_HEADER:
            raise tarfile.ReadError("a header in it is longer than any real one")
        return self._stream.read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()


def _require_end(stream: _Bounded, tar: tarfile.TarFile) -> None:
    """Raise ReadError unless the mark of an archive's end follows its members, and then nothing but zeros.

    A tar cut between two members, or with a damaged header, otherwise ends there for `tarfile`. Reading on to the end
    makes gzip and xz compare their checksums, which come last.
    """
    stream.seek(tar.offset)
    if stream.read(len(_END)) != _END:
        raise tarfile.ReadError("its end is missing")
    padding = 0
    while chunk := stream.read(_CHUNK):
        padding += len(chunk)
        if padding > _LARGEST_PADDING or chunk.strip(b"\0"):
            raise tarfile.ReadError("something follows its end")
