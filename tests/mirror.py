"""A web server on this machine whose answers are scripted: whole files, parts, breaks, redirects, wrong bytes."""

import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[[BaseHTTPRequestHandler], None]


class Mirror:
    """Serves `answers[path]` one after the other, the last one for ever; `asked` lists (path, Range header)."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.released = threading.Event()
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                mirror.asked.append((self.path, self.headers["Range"]))
                left = mirror.answers.get(self.path, [status(404)])
                (left.pop(0) if len(left) > 1 else left[0])(self)

            def log_message(self, *arguments: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *arguments: object) -> None:
                pass  # a client that hangs up is part of the tests

        self.server = Server(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def serve(self, path: str, *answers: Answer) -> str:
        """Return the address that gives these answers."""
        self.answers[f"/{path}"] = list(answers)
        return self.address(path)

    def address(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/{path}"

    def ranges(self, path: str) -> list[str | None]:
        """Return the Range headers of the requests for `path`, None where the whole file was asked for."""
        return [asked for where, asked in self.asked if where == f"/{path}"]

    def close(self) -> None:
        self.released.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def _head(handler: BaseHTTPRequestHandler, code: int, **headers: object) -> None:
    handler.send_response(code)
    for name, value in headers.items():
        if value is not None:
            handler.send_header(name.replace("_", "-"), str(value))
    handler.end_headers()


def whole(content: bytes, etag: str | None = '"1"', sent: int | None = None, kind: str = "binary/data") -> Answer:
    """A server that knows no ranges: the whole file, or its first `sent` bytes and then a closed connection."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        _head(handler, 200, ETag=etag, Content_Length=len(content), Content_Type=kind)
        handler.wfile.write(content[:sent])

    return answer


def ranged(content: bytes, etag: str = '"1"', sent: int | None = None) -> Answer:
    """A server that sends what is asked for, `sent` bytes of it at most, and heeds If-Range."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        start = int(re.fullmatch(r"bytes=(\d+)-", handler.headers["Range"] or "bytes=0-")[1])
        if start == 0 or handler.headers["If-Range"] != etag:
            whole(content, etag, sent)(handler)
            return
        span = f"bytes {start}-{len(content) - 1}/{len(content)}"
        _head(handler, 206, ETag=etag, Content_Range=span, Content_Length=len(content) - start)
        handler.wfile.write(content[start:][:sent])

    return answer


def part(content_range: str, content: bytes, etag: str = '"1"') -> Answer:
    """A part whatever was asked for."""
    return lambda handler: (
        _head(handler, 206, ETag=etag, Content_Range=content_range, Content_Length=len(content)),
        handler.wfile.write(content),
    )[0]


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> Answer:
    """A file whose length the server does not say."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.protocol_version = "HTTP/1.1"
        handler.close_connection = True
        _head(handler, 200, ETag='"1"', Transfer_Encoding="chunked", Connection="close")
        handler.wfile.write(b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + end)

    return answer


def status(code: int, **headers: object) -> Answer:
    """An empty answer."""
    return lambda handler: _head(handler, code, Content_Length=0, **headers)


def redirect(address: str) -> Answer:
    """A pointer to another address."""
    return status(302, Location=address)


def stalled(content: bytes, sent: int, mirror: Mirror) -> Answer:
    """The first bytes, then silence until the mirror is closed."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        whole(content, sent=sent)(handler)
        mirror.released.wait()

    return answer
