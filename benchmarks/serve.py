"""A server under load: photos a second and waiting times of many clients against one, memory, and a kill.

    OMP_NUM_THREADS=1 python -m benchmarks.serve [--clients 100] [--requests 20] [--kind mask] [--segmenter flowers64]

Starts `toolkit serve` in a process of its own. First one client asks again and again, then all at once, each on one
connection; every answer is compared with that of the photo alone (pixels, to one level). Then as many ask while the
server is told to end (what it took on is answered) and while it is killed (no file is left).
"""

import argparse
import contextlib
import http.client
import io
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import record

ROOT = Path(__file__).resolve().parent.parent
SHAPES = [(300, 400), (300, 400), (300, 400), (400, 300)]
PATIENCE = 120  # seconds


@dataclass
class Load:
    """What clients saw: seconds of each answer, and how many were other than expected or did not come.

    `memory` is that of the server in bytes after each quarter of the answers, `work` its seconds of processor time.
    """

    seconds: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    wrong: int = 0
    lost: int = 0
    wall: float = 0.0
    work: float = 0.0

    @property
    def rate(self) -> float:
        return len(self.seconds) / self.wall

    def at(self, share: float) -> float:
        return float(np.quantile(self.seconds, share))


class Served:
    """A server's process, whose working and temporary folder is `folder`."""

    def __init__(self, folder: Path, flags: list[str]) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", "toolkit", "serve", "--port", "0", *flags],
            cwd=folder,
            env={**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        started = re.search(r":(\d+) ", self.process.stdout.readline())
        assert started, "the server did not start"
        self.port = int(started[1])

    def connected(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)

    def memory(self) -> int:
        """Return the bytes that the process holds, 0 where nobody says."""
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
            return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) * 1024
        return 0

    def work(self) -> float:
        """Return the seconds of processor time that the process has taken, 0 where nobody says."""
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return 0.0

    def count(self, name: str) -> float:
        with contextlib.closing(self.connected()) as connection:
            connection.request("GET", "/metrics")
            (value,) = re.findall(rf"^{name} (\S+)$", connection.getresponse().read().decode(), re.MULTILINE)
        return float(value)

    def end(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        status = self.process.wait(PATIENCE)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status


@contextlib.contextmanager
def served(flags: list[str]) -> Iterator[Served]:
    with tempfile.TemporaryDirectory() as folder:
        server = Served(Path(folder), flags)
        try:
            yield server
        finally:
            if server.process.poll() is None:
                server.end(signal.SIGKILL)


def drawn_photos() -> list[bytes]:
    """Return JPEG files, every fourth upright: parts of the shipped flower."""
    files = []
    with Image.open(ROOT / "assets" / "photos" / "flower.jpg") as flower:
        for index, (height, width) in enumerate(SHAPES * 2):
            left, top = index * 7, index * 5
            box = (left, top, left + flower.width * 3 // 4, top + flower.height * 3 // 4)
            file = io.BytesIO()
            flower.resize((width, height), Image.Resampling.BICUBIC, box=box).save(file, "JPEG", quality=92)
            files.append(file.getvalue())
    return files


def posted(connection: http.client.HTTPConnection, kind: str, photo: bytes) -> bytes:
    """Return what comes back for a photo; ConnectionError where it is no answer with a picture."""
    connection.request("POST", f"/{kind}", photo)
    answer = connection.getresponse()
    content = answer.read()
    if answer.status != 200:
        raise ConnectionError(f"{answer.status}: {content[:200]!r}")
    return content


def same(found: bytes, expected: bytes) -> bool:
    """Return whether two pictures are, but for one level; a sum in another order may round otherwise."""
    if found == expected:
        return True
    first, second = (np.asarray(Image.open(io.BytesIO(content)), int) for content in (found, expected))
    return first.shape == second.shape and bool((np.abs(first - second) > 1).mean() < 1e-4)


def loaded(server: Served, kind: str, photos: list[bytes], expected: list[bytes], clients: int, requests: int) -> Load:
    """Return what so many clients at once saw, each of which asks so many times, one after the other."""
    load, lock = Load(), threading.Lock()
    ready = threading.Barrier(clients + 1)

    def ask(client: int) -> None:
        connection = server.connected()
        connection.connect()
        ready.wait()
        for number in range(requests):
            which = (client + number) % len(photos)
            start = time.perf_counter()
            try:
                content = posted(connection, kind, photos[which])
            except (OSError, http.client.HTTPException):
                with lock:
                    load.lost += 1
                connection.close()
                continue
            took = time.perf_counter() - start
            with lock:
                load.seconds.append(took)
                load.wrong += not same(content, expected[which])
                if len(load.seconds) >= (len(load.memory) + 1) * clients * requests / 4:
                    load.memory.append(server.memory())
        connection.close()

    with ThreadPoolExecutor(clients) as pool:
        asking = [pool.submit(ask, client) for client in range(clients)]
        ready.wait()
        start, before = time.perf_counter(), server.work()
        for each in asking:
            each.result()
        load.wall, load.work = time.perf_counter() - start, server.work() - before
    return load


def under_load(server: Served, kind: str, photos: list[bytes], clients: int, how: signal.Signals) -> tuple[int, int]:
    """Return how many of so many waiting clients were answered when the process is sent a signal; its exit status."""
    answered: list[bytes] = []

    def ask(client: int) -> None:
        with (
            contextlib.suppress(OSError, http.client.HTTPException),
            contextlib.closing(server.connected()) as connection,
        ):
            answered.append(posted(connection, kind, photos[client % len(photos)]))

    threads = [threading.Thread(target=ask, args=(client,)) for client in range(clients)]
    for thread in threads:
        thread.start()
    while server.count("toolkit_photos_held") < clients // 2:
        time.sleep(0.001)
    status = server.end(how)
    for thread in threads:
        thread.join()
    return len(answered), status


def measured(kind: str, clients: int, requests: int, flags: list[str]) -> dict[str, float]:
    """Return the figures of one server: rates, waiting times, photos a batch, and bytes of memory on the way."""
    photos = drawn_photos()
    with served(flags) as server:
        connection = server.connected()
        expected = [posted(connection, kind, photo) for photo in photos]
        connection.close()
        alone = loaded(server, kind, photos, expected, 1, 5 * requests)
        batches, through = (server.count(f"toolkit_batch_photos_{name}") for name in ("count", "sum"))
        load = loaded(server, kind, photos, expected, clients, requests)
        more, photos_more = (server.count(f"toolkit_batch_photos_{name}") for name in ("count", "sum"))
        server.end(signal.SIGTERM)
    return {
        "alone, photos/s": alone.rate,
        "alone, CPU ms/photo": 1000 * alone.work / len(alone.seconds),
        "alone, p50": alone.at(0.5),
        "alone, p99": alone.at(0.99),
        "together, photos/s": load.rate,
        "together, CPU ms/photo": 1000 * load.work / len(load.seconds),
        "together, p50": load.at(0.5),
        "together, p99": load.at(0.99),
        "photos a batch": (photos_more - through) / (more - batches),
        "lost": alone.lost + load.lost,
        "wrong": alone.wrong + load.wrong,
        **{f"memory after {number + 1}/4": float(held) for number, held in enumerate(load.memory)},
    }


def ended(kind: str, clients: int, flags: list[str], how: signal.Signals) -> dict[str, float]:
    """Return how many waiting clients were answered by a server that is ended, its status, and files it left."""
    with served(flags) as server:
        answered, status = under_load(server, kind, drawn_photos(), clients, how)
        return {"answered": answered, "exit status": status, "files left": len(list(server.folder.rglob("*")))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--requests", type=int, default=20, help="of each client")
    parser.add_argument("--kind", default="mask")
    parser.add_argument("--segmenter", default="flowers64")
    parser.add_argument("--together", default="16")
    record.add_flag(parser)
    given = parser.parse_args()
    flags = ["--segmenter", given.segmenter, "--together", given.together]
    found = measured(given.kind, given.clients, given.requests, flags)
    for name, value in found.items():
        unit = " s" if name.endswith(("p50", "p99")) else ""
        print(f"{name:<24} {f'{value / 1e6:.1f} MB' if 'memory' in name else f'{value:.4g}{unit}'}", flush=True)
    record.write(given.json, "serve", {given.kind: {f"{given.clients} clients": found}})
    for how in (signal.SIGTERM, signal.SIGKILL):
        print(f"{how.name} under load: {ended(given.kind, given.clients, flags, how)}", flush=True)


if __name__ == "__main__":
    main()
