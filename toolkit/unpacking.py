"""Unpacking of downloaded archives: whole or not at all, and nothing outside their folder."""

import contextlib
import os
import shutil
import tarfile
from pathlib import Path, PurePosixPath

from toolkit.errors import UserError
from toolkit.files import existing_file

_END = bytes(2 * tarfile.BLOCKSIZE)  # what POSIX puts after the last member


def unpack(archive: Path, folder: Path) -> Path:
    """Return `folder` with the files of a `.tar` in it; one that is there already is left as it is.

    UserError when the archive is damaged or holds links, devices or paths that lead out of it.
    """
    if folder.is_dir():
        return folder
    existing_file(archive, "archive")
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                _unpack_one(tar, member, unfinished, archive)
            _require_end(tar)
        unfinished.mkdir(exist_ok=True)
        os.replace(unfinished, folder)
    except (tarfile.TarError, EOFError) as error:
        raise UserError(f"{archive} is not a whole tar archive ({error}); delete it and pull it again") from error
    except OSError as error:
        raise UserError(f"cannot unpack {archive} to {folder}: {error.strerror or error}; make room") from error
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(unfinished)
    return folder


def _require_end(tar: tarfile.TarFile) -> None:
    """Raise ReadError unless the mark of an archive's end follows its members, all of which have been read.

    A tar cut between two members, or with a damaged header, otherwise ends there for `tarfile`.
    """
    assert tar.fileobj is not None  # it is open
    tar.fileobj.seek(tar.offset)
    if tar.fileobj.read(len(_END)) != _END:
        raise tarfile.ReadError("its end is missing")


def _unpack_one(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path, archive: Path) -> None:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or not (member.isfile() or member.isdir()):
        raise UserError(f"{archive} holds {member.name!r}, no plain file inside it; do not trust it")
    target = folder / path
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    content = tar.extractfile(member)
    assert content is not None  # it is a plain file
    with content, target.open("wb") as handle:
        shutil.copyfileobj(content, handle)
