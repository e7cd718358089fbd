"""Hidden folders for what is not whole yet; those that killed processes left are removed by the next one.

Whether the process that made such a folder is gone is told by a lock in it, which the system takes from a process that
ends. A process number would not do: numbers are used again, are other ones in a container and on another machine that
shares the disk, and Windows cannot ask for one without a signal. An age would not do either: unpacking takes long, and
a command is repeated at once.
"""

import contextlib
import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from toolkit.files.locks import LOCK, Lock, take

_NAME = re.compile(r"\.[0-9a-f]{12}\.tmp")
_ATTEMPTS = 10
_SWEPT: set[Path] = set()  # by this process


@contextlib.contextmanager
def workplace(folder: Path, mode: int = 0o777) -> Iterator[Path]:
    """Yield a new hidden folder in `folder`, which is gone afterwards with all that is still in it.

    The first one in a folder sweeps it (see `sweep`). OSError where none can be made.
    """
    folder = Path(folder)
    if (place := folder.resolve()) not in _SWEPT:
        sweep([folder])
        _SWEPT.add(place)
    made, lock = _made(folder, mode)
    try:
        yield made
    finally:
        _remove(made, lock)


def temporary_folder() -> contextlib.AbstractContextManager[Path]:
    """Return a workplace among this machine's temporary files, for this user alone."""
    return workplace(Path(tempfile.gettempdir()), 0o700)


def _made(folder: Path, mode: int) -> tuple[Path, Lock]:
    for _ in range(_ATTEMPTS):
        made = folder / f".{os.urandom(6).hex()}.tmp"
        made.mkdir(mode)
        with contextlib.suppress(FileNotFoundError):  # swept before it was locked, as one without its process
            lock = take(made / LOCK)
            if lock is not None:
                return made, lock
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))


def _remove(made: Path, lock: Lock) -> None:
    lock.release()  # first, since Windows keeps an open file; whoever sweeps meanwhile does the same
    try:
        made.rmdir()
    except OSError:
        shutil.rmtree(made, ignore_errors=True)


def sweep(folders: Iterable[Path]) -> None:
    """Remove from each of `folders`, not from those within, the workplaces whose process is gone."""
    for folder in folders:
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            for made in [Path(entry.path) for entry in entries if _is_own(entry)]:
                with contextlib.suppress(OSError):
                    lock = take(made / LOCK)
                    if lock is not None and lock.sure:
                        _remove(made, lock)


def sweep_below(folder: Path) -> None:
    """Do the same for `folder` and all folders below it."""
    sweep(Path(inner) for inner, _, _ in os.walk(folder))


def _is_own(entry: "os.DirEntry[str]") -> bool:
    if not _NAME.fullmatch(entry.name) or not entry.is_dir(follow_symlinks=False):
        return False
    # Among everybody's temporary files a folder of such a name may be a stranger's.
    return not hasattr(os, "geteuid") or entry.stat(follow_symlinks=False).st_uid == os.geteuid()


def holdings(folder: Path, but: Iterable[str] = ()) -> list[str]:
    """Return the names in `folder` that are neither workplaces nor a lock nor among `but`; none where there is none."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return sorted(
            name for name in os.listdir(folder) if name != LOCK and name not in but and not _NAME.fullmatch(name)
        )
    return []
