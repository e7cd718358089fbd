"""Items made by a thread while those before them are used."""

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")
_END: Any = object()


def ahead(items: Iterator[Item], most: int) -> Generator[Item, None, None]:
    """Yield the items, at most so many of them made in advance; what goes wrong in making one is raised in its place.

    Ended early, it waits for the item that is being made.
    """
    with ThreadPoolExecutor(1) as thread:
        waiting: deque[Future[Item]] = deque(thread.submit(next, items, _END) for _ in range(most))
        try:
            while (item := waiting.popleft().result()) is not _END:
                waiting.append(thread.submit(next, items, _END))
                yield item
        finally:
            thread.shutdown(cancel_futures=True)
