"""Requests that no honest program sends: each is answered in one line or closed, and the server goes on."""

import contextlib
import io
import socket
import struct
import time
import zlib

import pytest
from PIL import Image
from serving import Client, Grey, photo, serving, until

from cli.web.protocol import PunctualProtocol
from cli.web.sockets import ADDRESS

SECONDS = 0.4
LIMITS = {"upload_seconds": SECONDS, "most_megabytes": 0.1, "most_megapixels": 1.0}


@pytest.fixture(scope="module")
def client():
    with serving(Grey(), **LIMITS) as found:
        yield found


@pytest.fixture(autouse=True)
def _goes_on(client):
    yield
    assert client.post("/mask", photo()).status == 200
    until(lambda: not client.server.pipeline.held)
    until(lambda: client.server.pipeline._pixels == 0)
    assert b"toolkit_body_bytes 0.0" in client.ask("GET", "/metrics").body


def head(*lines: str) -> bytes:
    return "\r\n".join([*lines, f"Host: {ADDRESS}", "", ""]).encode()


def status(answer: bytes) -> int:
    return int(answer.split(maxsplit=2)[1])


# ---------------------------------------------------------------- clients that are slow, or lie


@pytest.mark.parametrize(
    "begun",
    [b"", b"POST /ma", head("POST /mask HTTP/1.1")[:-2], head("POST /mask HTTP/1.1", "Content-Length: 99") + b"x"],
    ids=["nothing", "half a line", "half a head", "half a body"],
)
def test_what_does_not_become_whole_is_closed(client, begun):
    start = time.monotonic()
    assert client.raw(begun) == b""
    assert time.monotonic() - start < 10 * SECONDS


def test_a_byte_now_and_then_does_not_keep_a_connection(client):
    with socket.create_connection((ADDRESS, client.port), timeout=20) as line:
        start = time.monotonic()
        line.sendall(head("POST /mask HTTP/1.1", "Content-Length: 1000"))
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - start < 20:
                line.sendall(b"x")
                time.sleep(SECONDS / 10)
        assert time.monotonic() - start < 10 * SECONDS


def test_an_answer_that_nobody_takes_is_not_kept(client):
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        line.connect((ADDRESS, client.port))
        request = head("GET /openapi.json HTTP/1.1")
        line.sendall(request * 2000)  # their answers fill every buffer on the way
        connections = client.server.server_state.connections
        until(lambda: connections)
        until(lambda: not connections, 20)


def test_a_body_that_is_longer_than_it_says_is_another_request(client):
    body = photo()
    sent = head("POST /mask HTTP/1.1", f"Content-Length: {len(body)}") + body + b"trash\r\n\r\n"
    answer = client.raw(sent)
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"HTTP/1.1 400 Bad Request\r\n" in answer
    assert answer.endswith(b'{"error": "the request is no valid HTTP, or its headers have more than 16 kB"}')


@pytest.mark.parametrize("length", ["9" * 18, "1000000"])
def test_a_body_that_says_it_is_too_large_is_refused_before_it_comes(client, length):
    answer = client.ask("POST", "/mask", Content_Length=length)
    assert (answer.status, "MB; choose one of at most" in answer.line) == (413, True)


@pytest.mark.parametrize(
    "length", ["9" * 30, "9" * 19, "-1", "1e3", "0x10", "1, 2", "+5", "", "\u0661".encode().decode("latin-1")]
)
def test_lengths_that_are_none(client, length):
    answer = client.raw(head("POST /mask HTTP/1.1", f"Content-Length: {length}", "Connection: close"))
    assert status(answer) in (400, 411)


def test_a_body_in_chunks_is_refused_when_it_is_too_large(client):
    def endless():
        for _ in range(2000):
            yield bytes(1000)

    answer = client.ask("POST", "/mask", endless(), timeout=20)
    assert (answer.status, answer.line) == (413, "the file has 0 MB; choose one of at most 0.1 MB")


def test_a_body_in_chunks_without_end_is_closed(client):
    with socket.create_connection((ADDRESS, client.port), timeout=20) as line:
        line.sendall(head("POST /mask HTTP/1.1", "Transfer-Encoding: chunked"))
        start = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - start < 20:
                line.sendall(b"400\r\n" + bytes(0x400) + b"\r\n")
        assert time.monotonic() - start < 10 * SECONDS


@pytest.mark.parametrize(
    "body", [b"zz\r\n", b"-1\r\n", b"fffffffffffffffffffffffff\r\n", b"5;" + b"x" * 100_000], ids=repr
)
def test_chunks_that_are_none(client, body):
    answer = client.raw(head("POST /mask HTTP/1.1", "Transfer-Encoding: chunked") + body)
    assert answer == b"" or status(answer) in (400, 413)


def test_a_length_and_chunks_together_are_no_way_around_the_limit(client):
    sent = head("POST /mask HTTP/1.1", "Transfer-Encoding: chunked", "Content-Length: 5", "Connection: close")
    answer = client.raw(sent + b"0\r\n\r\n")
    assert status(answer) in (400, 422)


def test_a_client_that_goes_in_the_middle_of_its_body_is_forgotten(client):
    with socket.create_connection((ADDRESS, client.port), timeout=20) as line:
        line.sendall(head("POST /mask HTTP/1.1", "Content-Length: 50000") + bytes(20_000))
    until(lambda: client.server.pipeline.held == 0)


def test_more_connections_than_may_be_are_refused(client, monkeypatch):
    monkeypatch.setattr(PunctualProtocol, "most", 2)
    lines = [socket.create_connection((ADDRESS, client.port), timeout=20) for _ in range(2)]
    until(lambda: len(client.server.server_state.connections) == 2)
    answer = client.raw(b"")
    assert status(answer) == 503
    assert b"Retry-After: 1" in answer
    for line in lines:
        line.close()
    until(lambda: not client.server.server_state.connections)


# ---------------------------------------------------------------- heads, paths, methods


def test_ten_thousand_headers(client):
    many = [f"X-{number}: y" for number in range(10_000)]
    answer = client.raw(head("GET /health HTTP/1.1", "Connection: close", *many))
    assert answer == b"" or status(answer) in (400, 431)  # as it comes in pieces or at once, or is closed meanwhile
    assert client.ask("GET", "/health", **{f"X-{number}": "y" for number in range(101)}).status == 431


@pytest.mark.parametrize("line", ["GARBAGE", "GET /health HTTP/2", "GET  /health HTTP/1.1", "\x16\x03\x01\x02\x00"])
def test_what_is_no_http(client, line):
    answer = client.raw(head(line))
    assert status(answer) == 400
    assert answer.endswith(b'{"error": "the request is no valid HTTP, or its headers have more than 16 kB"}')


@pytest.mark.parametrize(
    "path",
    [
        "/../etc/passwd",
        "/mask/../../x",
        "/%2e%2e/%2e%2e/etc/passwd",
        "//",
        "/mask/",
        "/mask%00",
        "/nothing",
        "/MASK",
        "*",
    ],
)
def test_paths_that_are_not_there(client, path):
    for method in ("GET", "POST"):
        answer = client.raw(head(f"{method} {path} HTTP/1.1", "Connection: close", "Content-Length: 0"))
        assert status(answer) in (404, 405)
        assert answer.endswith(b"}")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"])
def test_methods_that_are_not_there(client, method):
    answer = client.ask(method, "/mask")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert method == "HEAD" or answer.line == "Method Not Allowed"


def test_a_wish_for_a_web_socket_is_not_heeded(client):
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    assert client.ask("GET", "/mask", **upgrade).status == 405


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("threshold=2", "threshold: input should be less"),
        ("threshold=nan", "threshold: input should be"),
        ("threshold=", "threshold: input should be"),
        ("threshold=" + "9" * 5000, "threshold: "),
        ("refine=perhaps", "refine: input should be a valid boolean"),
        ("threshhold=0.5", "threshhold: extra inputs are not permitted"),
        ("background=white", "background: extra inputs are not permitted"),
    ],
)
def test_values_that_do_not_fit(client, query, said):
    answer = client.post(f"/mask?{query}", photo())
    assert (answer.status, answer.line.startswith(said)) == (422, True)


@pytest.mark.parametrize(
    "background", ["/etc/passwd", "photo.png", "http://evil.example/x.png", "%00", "x" * 99, "#12"]
)
def test_a_background_is_a_colour_and_never_a_file(client, background, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo.png").write_bytes(photo())
    answer = client.post(f"/composite?background={background.replace('#', '%23')}", photo())
    assert answer.status == 422
    assert "background" in answer.line


# ---------------------------------------------------------------- bodies


@pytest.mark.parametrize("content", [b"x", b"\x89PNG\r\n\x1a\n" + b"x" * 50, photo()[:-30], b"%!PS", b"<svg/>"])
def test_what_is_no_photo(client, content):
    answer = client.post("/mask", content)
    assert answer.status == 422
    assert answer.line.startswith(f"cannot read the photo of {len(content)} bytes (")


@pytest.mark.parametrize("kind", ["application/json", "text/html", "video/mp4", "multipart/mixed; boundary=x", "x"])
def test_bodies_of_another_kind(client, kind):
    assert client.post("/mask", photo(), Content_Type=kind).status == 415


def test_compressed_bodies(client):
    assert client.post("/mask", zlib.compress(photo()), Content_Encoding="deflate").status == 415


def test_no_body(client):
    for headers in ({}, {"Content_Type": "image/png"}):
        answer = client.post("/mask", b"", **headers)
        assert (answer.status, answer.line[:29]) == (422, "the request holds no photo; s")


PART = b'--edge\r\nContent-Disposition: form-data; name="photo"; filename="x.png"\r\n\r\n' + photo() + b"\r\n"
END = b"--edge--\r\n"
FORM = "multipart/form-data; boundary=edge"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (PART + END, "multipart/form-data"),
        (PART + END, "multipart/form-data; boundary="),
        (PART + END, "multipart/form-data; boundary=other"),
        (PART + END, "multipart/form-data; boundary=" + "e" * 5000),
        (PART, FORM),
        (PART[:60], FORM),
        (PART * 2 + END, FORM),
        (b"", FORM),
        (END, FORM),
        (b"--edge\r\nContent-Disposition: form-data\r\n\r\nx\r\n" + END, FORM),
        (b'--edge\r\nContent-Disposition: form-data; name="threshold"\r\n\r\n1\r\n' + PART + END, FORM),
        (b"--edge\r\n" + b"X: y\r\n" * 10_000 + b"\r\nx\r\n" + END, FORM),
        (b"--edge\r\nX: " + b"y" * 90_000 + b"\r\n\r\nx\r\n" + END, FORM),
        (b"--edge\r\nno header\r\n\r\nx\r\n" + END, FORM),
        (b"\r\n--edg" * 12_000, FORM),
    ],
    ids=["no boundary", "an empty one", "another", "a long one", "no end", "torn", "two files", "empty", "no part",
         "no name", "a field", "many headers", "a long header", "a broken header", "nearly boundaries"],
)  # fmt: skip
def test_forms_that_hold_no_photo(client, body, kind):
    answer = client.post("/mask", body, Content_Type=kind)
    assert answer.status == 422
    assert answer.line


def test_a_form_without_end_is_refused(client):
    def endless():
        yield PART
        for _ in range(2000):
            yield b"--edge\r\n" + bytes(1000)

    answer = client.ask("POST", "/mask", endless(), timeout=20, Content_Type=FORM)
    assert answer.status in (413, 422)


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return start + b"".join(chunks) + chunk(b"IEND", b"")


BOMB = zlib.compress(bytes(60_000_000), 9)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (png(20_000, 20_000, chunk(b"IDAT", BOMB)), 413),
        (png(2**31 - 1, 2**31 - 1, chunk(b"IDAT", BOMB)), 413),
        (png(1100, 1000, chunk(b"IDAT", zlib.compress(bytes(1101 * 1000)))), 413),
        (png(8, 8, chunk(b"zTXt", b"t\0\0" + BOMB), chunk(b"IDAT", zlib.compress(bytes(72)))), 422),
        (png(8, 8, chunk(b"iCCP", b"t\0\0" + BOMB), chunk(b"IDAT", zlib.compress(bytes(72)))), 422),
        (png(8, 8, chunk(b"IDAT", BOMB)), 200),
    ],
    ids=["sides", "longest sides", "a few pixels", "text", "profile", "more than its pixels"],
)
def test_photos_that_grow_when_they_are_opened(client, content, expected):
    assert len(content) < 100_000
    assert client.post("/mask", content).status == expected


def test_a_jpeg_of_very_many_scans_is_not_decoded(client):
    file = io.BytesIO()
    Image.new("L", (900, 900), 128).save(file, "JPEG", progressive=True)
    start, scan, last = file.getvalue().rpartition(b"\xff\xda")
    assert client.post("/mask", file.getvalue()).status == 200
    answer = client.post("/mask", start + (scan + last[:-2]) * 1000 + scan + last)
    assert (answer.status, answer.line[:42]) == (422, "the photo is a JPEG of 1006 scans, which w")


def test_an_animation_is_its_first_frame(client):
    file = io.BytesIO()
    frames = [Image.new("L", (8, 8), level) for level in (0, 255) * 500]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    assert client.result(file.getvalue())["area"] == 0


def test_a_server_of_many_hostile_requests_at_once_goes_on():
    with serving(Grey(), **LIMITS, queue=4) as client:
        lines = []
        for number in range(60):
            line = socket.create_connection((ADDRESS, client.port), timeout=20)
            line.sendall(head("POST /mask HTTP/1.1", "Content-Length: 50000") + bytes(number * 100))
            lines.append(line)
        assert client.post("/mask", photo()).status == 200
        until(lambda: not client.server.server_state.connections, 20)
        for line in lines:
            line.close()


def test_the_client_class_itself_sees_a_closed_connection(client):
    assert isinstance(client, Client)
    assert client.raw(head("GET /health HTTP/1.1", "Connection: close")).startswith(b"HTTP/1.1 200")
