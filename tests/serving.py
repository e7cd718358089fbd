"""A photo server of the tests' own process, asked through a real socket, and predictors that do as they are told."""

import contextlib
import http.client
import io
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from cli.serve.server import PhotoServer
from cli.serve.settings import ServeSettings
from cli.web.sockets import ADDRESS, bound_socket
from segmentation.predict.photos import Predictor
from toolkit.files.shipped import shipped_file


@dataclass
class Answer:
    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def line(self) -> str:
        """Return the error, after checking that it is one line."""
        said = json.loads(self.body)["error"]
        assert said
        assert "\n" not in said
        return said


class Client:
    """Asks a server as a program does: no Origin, one connection a request."""

    def __init__(self, port: int, server: PhotoServer) -> None:
        self.port, self.server = port, server

    def ask(self, method: str, path: str, body: object = None, timeout: float = 30, **headers: str) -> Answer:
        connection = http.client.HTTPConnection(ADDRESS, self.port, timeout=timeout)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, answer.read(), found)
        finally:
            connection.close()

    def post(self, path: str, content: bytes, **headers: str) -> Answer:
        return self.ask("POST", path, content, **headers)

    def result(self, content: bytes, query: str = "") -> dict:
        answer = self.post(f"/result{query}", content)
        assert answer.status == 200, answer.body
        return json.loads(answer.body)

    def raw(self, content: bytes, seconds: float = 20) -> bytes:
        """Return all that comes back for bytes until the server closes."""
        with socket.create_connection((ADDRESS, self.port), timeout=seconds) as line:
            with contextlib.suppress(ConnectionError):
                line.sendall(content)
            return _until_closed(line)


def _until_closed(line: socket.socket) -> bytes:
    got = b""
    with contextlib.suppress(ConnectionError):
        while piece := line.recv(65536):
            got += piece
    return got


@contextlib.contextmanager
def serving(segmenter: Predictor, token: str | None = None, **settings: float) -> Iterator[Client]:
    """Serve a segmenter on a free port while what is inside runs."""
    server = PhotoServer(segmenter, "tiny", ServeSettings(**settings), ADDRESS, token)
    with bound_socket(0) as bound:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        try:
            until(lambda: server.started)
            yield Client(bound.getsockname()[1], server)
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()


def until(true, seconds: float = 10) -> None:
    """Wait for a condition that comes true in milliseconds."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def photo(width: int = 40, height: int = 30, level: int = 90, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), (level, level, level)).save(file, kind)
    return file.getvalue()


def flower(width: int, height: int, left: int) -> bytes:
    """Return a part of the shipped photo, which holds some flower and some ground."""
    file = io.BytesIO()
    with Image.open(shipped_file("photos") / "flower.jpg") as whole:
        whole.resize((width, height), box=(left, 20, left + 300, 20 + 300 * height // width)).save(file, "PNG")
    return file.getvalue()


class Grey:
    """Predicts a photo's first level over 255 everywhere; waits for `go` where a photo is as dark as `SLOW`.

    A photo of the level `BROKEN` cannot be predicted, alone or in company. `batches` are the levels that went together.
    """

    SLOW, BROKEN = 7, 13
    known = 0

    def __init__(self) -> None:
        self.go, self.busy = threading.Event(), threading.Event()
        self.batches: list[list[int]] = []

    def digest(self) -> str:
        return "grey"

    def judged_predictions(self, photos, *, refine=False, bf16=False):
        photos = list(photos)
        levels = [int(pixels[0, 0, 0]) for _, pixels in photos]
        self.batches.append(levels)
        if self.SLOW in levels:
            self.busy.set()
            self.go.wait(20)
        if self.BROKEN in levels:
            raise ValueError("broken")
        for (key, pixels), level in zip(photos, levels, strict=True):
            yield key, pixels, np.full(pixels.shape[:2], level / 255, np.float32), None
