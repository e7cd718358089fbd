"""What a server counts, as text that Prometheus reads (exposition format 0.0.4)."""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_PHOTOS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)


class Histogram:
    """How many values are at most each bound, and their sum."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * len(bounds)
        self._count, self._sum = 0, 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self._count, self._sum = self._count + 1, self._sum + value
        for place, bound in enumerate(self._bounds):
            self._counts[place] += value <= bound

    def lines(self, name: str) -> Iterator[str]:
        """Yield its samples."""
        for bound, count in zip(self._bounds, self._counts, strict=True):
            yield f'{name}_bucket{{le="{bound}"}} {count}'
        yield f'{name}_bucket{{le="+Inf"}} {self._count}'
        yield f"{name}_sum {self._sum}"
        yield f"{name}_count {self._count}"


class Meters:
    """What was counted since the start."""

    def __init__(self) -> None:
        self._started = time.time()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._seconds = Histogram(_SECONDS)
        self._photos = Histogram(_PHOTOS)
        self._lock = threading.Lock()

    def answered(self, route: str, status: int) -> None:
        """Count an answer; `route` is one of the server's own, or "other"."""
        with self._lock:
            self._requests[route, status] += 1

    def took(self, seconds: float) -> None:
        """Count a photo that was answered, from its arrival to its answer."""
        with self._lock:
            self._seconds.add(seconds)

    def batch(self, photos: int) -> None:
        """Count photos that went through the network together."""
        with self._lock:
            self._photos.add(photos)

    def text(self, gauges: Mapping[str, tuple[str, float]]) -> str:
        """Return all as text, with `gauges`, {name: (help, value)}, as they are now."""
        with self._lock:
            return "\n".join(self._lines(gauges)) + "\n"

    def _lines(self, gauges: Mapping[str, tuple[str, float]]) -> Iterator[str]:
        yield from _head("toolkit_requests_total", "Answers, by route and status.", "counter")
        for (route, status), count in sorted(self._requests.items()):
            yield f'toolkit_requests_total{{route="{route}",status="{status}"}} {count}'
        yield from _head("toolkit_photo_seconds", "From a photo's arrival to its answer.", "histogram")
        yield from self._seconds.lines("toolkit_photo_seconds")
        yield from _head("toolkit_batch_photos", "Photos that went through the network together.", "histogram")
        yield from self._photos.lines("toolkit_batch_photos")
        everything = {**gauges, "toolkit_start_time_seconds": ("When the server started.", self._started)}
        for name, (help_text, value) in everything.items():
            yield from _head(name, help_text, "gauge")
            yield f"{name} {value}"


def _head(name: str, help_text: str, kind: str) -> Iterator[str]:
    yield f"# HELP {name} {help_text}"
    yield f"# TYPE {name} {kind}"
