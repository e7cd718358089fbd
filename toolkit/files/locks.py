"""Locks between processes, on every system that has them: one process at a time works in a folder or fetches a file.

A lock is a file that its holder has open (filelock), so the system lets go of it however the holder ends. The file goes
with the lock; one that a killed process left stands in nobody's way.
"""

import atexit
import contextlib
import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.errors import UserError

if TYPE_CHECKING:
    from filelock import BaseFileLock

LOCK = ".lock"  # in the folder it keeps others out of
PATIENCE = 10.0  # seconds: to change a file or two takes far less
_POLL_SECONDS = 0.01  # whoever waits longer between two looks hardly gets a turn among many
# What file systems without locks answer: some of clusters' (Lustre mounted without -o flock) and of user space.
_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)


class Lock:
    """A lock this process holds; `sure` is False where the file system has no locks, and nothing keeps others out."""

    def __init__(self, path: Path, lock: "BaseFileLock", sure: bool) -> None:
        self.path, self.sure = path, sure
        self._lock = lock

    def release(self) -> None:
        """Let go of the lock, and remove its file."""
        # Removed while it is held: who has opened it meanwhile sees that it has lost its name, and makes a new one.
        # On Windows, where an open file cannot be removed, filelock does so itself.
        with contextlib.suppress(OSError):
            self.path.unlink()
        with contextlib.suppress(OSError):  # of a disk that is gone: the lock ends with the process at the latest
            self._lock.release()


def take(path: Path, wait: float = 0.0) -> Lock | None:
    """Return the lock that the file `path` stands for, or None while another process holds it for `wait` seconds.

    OSError where there can be no such file.
    """
    from filelock import FileLock, Timeout

    # A lock file that merely exists (filelock's other kind) would outlive a process killed on another machine.
    lock = FileLock(path, thread_local=False, fallback_to_soft=False)
    try:
        lock.acquire(timeout=wait, poll_interval=_POLL_SECONDS)
    except Timeout:
        return None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return Lock(path, lock, sure=False)
    return Lock(path, lock, sure=True)


_HELD: dict[Path, Lock] = {}  # locks of this process, by their files
_CLAIMING = threading.RLock()  # between this process's threads


def hold(folder: Path, wait: float = 0.0) -> bool:
    """Keep other processes out of `folder` until `let_go`, or the end of this one; False where this one does already.

    UserError when another process is at work there for longer than `wait` seconds.
    """
    return _hold(_lock_of(folder), f"working in {folder}", wait)


def hold_file(path: Path) -> bool:
    """Keep other processes from making the file `path`, as `hold` does for a folder."""
    return _hold(_lock_beside(path), f"writing {path}", 0.0)


def let_go(folder: Path) -> None:
    """Let other processes work in `folder` again; do nothing where this one does not hold its lock."""
    _let_go(_lock_of(folder))


def let_go_file(path: Path) -> None:
    """Let other processes make the file `path` again."""
    _let_go(_lock_beside(path))


def _lock_of(folder: Path) -> Path:
    return Path(folder).resolve() / LOCK


def _lock_beside(path: Path) -> Path:
    return Path(path).resolve().with_name(f".{Path(path).name}.lock")


def _hold(file: Path, doing: str, wait: float) -> bool:
    if file in _HELD:
        return False
    try:
        lock = take(file, wait)
    except OSError as error:
        reason = "it is a folder" if file.is_dir() else error.strerror or str(error)
        raise UserError(
            f"cannot take the lock {file}: {reason}; remove what is in its way, or choose another place"
        ) from error
    if lock is None:
        raise UserError(f"another process is {doing}; wait for it, or choose another place")
    _HELD[file] = lock
    return True


def _let_go(file: Path) -> None:
    lock = _HELD.pop(file, None)
    if lock is not None:
        lock.release()


@contextlib.contextmanager
def claimed(folder: Path, wait: float = 0.0) -> Iterator[None]:
    """Work in `folder` while no other process or thread does; one that does is waited for.

    UserError when that takes longer than `wait` seconds. Within a `hold` of this process nothing is waited for.
    """
    with _CLAIMING:
        fresh = hold(folder, wait)
        try:
            yield
        finally:
            if fresh:
                let_go(folder)


def is_busy(folder: Path) -> bool:
    """Return whether another process is at work in `folder`."""
    file = _lock_of(folder)
    if file in _HELD or not file.is_file():
        return False
    with contextlib.suppress(OSError):
        lock = take(file)
        if lock is None:
            return True
        lock.release()
    return False


@atexit.register
def let_go_of_all() -> None:
    """Let go of every lock of this process, so that none of their files stays."""
    for file in list(_HELD):
        _let_go(file)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_HELD.clear)  # they are the parent's
