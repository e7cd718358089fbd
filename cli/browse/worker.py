"""Work for one thread at a time, where only the newest matters, and a bounded memory of what it made."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

_MOST_WAITING = 256
T = TypeVar("T")


class NewestFirst:
    """One thread that does jobs, of those waiting the newest first.

    A job has a slot, such as the place on the page that its picture is for; it replaces the job that waits for the
    same slot. torch keeps a pool of threads for each thread that calls it: one caller means one pool.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, tuple[Callable[[], object], Future]] = {}  # in order of arrival
        self._under_way: Future = Future()
        self._closed = False
        self._changed = threading.Condition()
        threading.Thread(target=self._work, name="browse", daemon=True).start()

    def submit(self, slot: str, job: Callable[[], T]) -> "Future[T | None]":
        """Return the future result of `job`: None where it is not done, since a newer one came, or the end."""
        future: Future[T | None] = Future()
        future.set_running_or_notify_cancel()  # from here on nobody but this object ends it
        with self._changed:
            if slot in self._waiting:
                _give_up(self._waiting.pop(slot)[1])
            if len(self._waiting) >= _MOST_WAITING:
                _give_up(self._waiting.pop(next(iter(self._waiting)))[1])
            self._waiting[slot] = (job, future)
            if self._closed:
                self._drop()
            self._changed.notify()
        return future

    def close(self) -> None:
        """Do no further job, and keep nobody waiting for the one under way."""
        with self._changed:
            self._closed = True
            self._drop()
            _give_up(self._under_way)
            self._changed.notify()

    def _drop(self) -> None:
        while self._waiting:
            _give_up(self._waiting.popitem()[1][1])

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                _, (job, self._under_way) = self._waiting.popitem()
            try:
                found, error = job(), None
            except BaseException as raised:
                found, error = None, raised
            with self._changed:
                if self._under_way.done():
                    continue
                if error is None:
                    self._under_way.set_result(found)
                else:
                    self._under_way.set_exception(error)


def _give_up(future: Future) -> None:
    if not future.done():
        future.set_result(None)


class Recent(Generic[T]):
    """Things by key; beyond a `budget` of the sum of their sizes the longest unused ones are forgotten."""

    def __init__(self, budget: int, size_of: Callable[[T], int]) -> None:
        self._budget = budget
        self._size_of = size_of
        self._held: OrderedDict[Hashable, T] = OrderedDict()
        self.size = 0  # of all that is held

    def __getitem__(self, key: Hashable) -> T | None:
        if key in self._held:
            self._held.move_to_end(key)
        return self._held.get(key)

    def __setitem__(self, key: Hashable, thing: T) -> None:
        self._forget(key)
        self._held[key] = thing
        self.size += self._size_of(thing)
        while self.size > self._budget:
            self._forget(next(iter(self._held)))

    def _forget(self, key: Hashable) -> None:
        if key in self._held:
            self.size -= self._size_of(self._held.pop(key))
