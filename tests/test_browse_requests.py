"""Requests to `toolkit browse` that no page sends: values of other types, and requests that never end."""

import http.client
import json
import socket
import time

import pytest
from test_browse import browser, run  # noqa: F401 (fixtures)

from cli.web.protocol import PunctualProtocol
from cli.web.sockets import ADDRESS

SECONDS = 0.5


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(PunctualProtocol, "seconds", SECONDS)


@pytest.mark.parametrize("direction", [True, "0", 0.0, None, [0], 10**400, -1], ids=lambda value: str(value)[:9])
def test_a_direction_is_a_whole_number(browser, run, direction):  # noqa: F811
    before = (run / "directions.safetensors").read_bytes()
    assert "direction: " in browser.refused("/api/name", direction=direction, name="sky")
    assert "direction: " in browser.refused("/api/choose", direction=direction, alpha=2.0, rule="lighting")
    assert (run / "directions.safetensors").read_bytes() == before


@pytest.mark.parametrize("alpha", [True, "2", 0, 1e-320, -1e-320, 1e-9])
def test_a_length_shifts_something(browser, run, alpha):  # noqa: F811
    before = (run / "directions.safetensors").read_bytes()
    assert "alpha" in browser.refused("/api/choose", direction=0, alpha=alpha, rule="lighting")
    assert (run / "directions.safetensors").read_bytes() == before


@pytest.mark.parametrize("name", ["a\x1b[31m", "a\x00b", "\x7f", "\ud800", "\u202egpj"])
def test_a_name_holds_no_control_character(browser, run, name):  # noqa: F811
    message = browser.refused("/api/name", direction=0, name=name)
    assert "name" in message
    assert message.isprintable()
    assert not (run / "human_annotation.txt").exists()


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"direction": ' + b"9" * 5000 + b"}", b"\xff", b"{", b'{"direction": NaN}']
)
def test_bodies_that_are_no_request(browser, body):  # noqa: F811
    status, answer, _ = browser.ask("/api/name", body, Content_Type="application/json")
    assert status == 400
    assert "\n" not in json.loads(answer)["error"]


PHOTO = b'--edge\r\nContent-Disposition: form-data; name="photo"; filename="x.png"\r\n\r\nx\r\n--edge--\r\n'
FORM = "multipart/form-data; boundary=edge"


@pytest.mark.parametrize("route", ["segment", "embed"])
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", FORM),
        (b"x", "text/plain"),
        (b'{"photo": "x"}', "application/json"),
        (PHOTO.replace(b"photo", b"other"), FORM),
        (PHOTO.replace(b'; filename="x.png"', b""), FORM),
        (PHOTO[:40], FORM),
        (PHOTO, "multipart/form-data"),
    ],
    ids=["empty", "text", "json", "other field", "no file", "torn", "no boundary"],
)
def test_uploads_that_hold_no_photo(browser, route, body, kind):  # noqa: F811
    status, answer, _ = browser.ask(f"/api/{route}?tab=a", body, Content_Type=kind)
    assert status == 400
    assert "\n" not in json.loads(answer)["error"]


@pytest.mark.parametrize("refine", ["-1", "501", "1.5", "true", "", "9" * 5000])
def test_steps_of_refining_are_a_whole_number_within_bounds(browser, refine):  # noqa: F811
    status, answer, _ = browser.ask(f"/api/embed?tab=a&refine={refine}", PHOTO, Content_Type=FORM)
    assert status == 400
    assert json.loads(answer)["error"].startswith("refine: ")


@pytest.mark.parametrize("route", ["segment", "embed"])
@pytest.mark.parametrize("origin", ["", "null", "http://evil.example"])
def test_photos_of_another_origin_are_refused(browser, route, origin):  # noqa: F811
    assert browser.ask(f"/api/{route}?tab=a", PHOTO, Origin=origin, Content_Type=FORM)[0] == 403


@pytest.mark.parametrize("path", ["shifted", "save/picture", "save/mask", "save/animation"])
def test_edits_of_another_host_are_refused(browser, path):  # noqa: F811
    asked = f"/api/{path}?direction=0&alpha=1&rule=lighting&tab=a"
    assert browser.ask(asked)[0] == 200
    assert browser.ask(asked, Host="evil.example")[0] == 403
    assert browser.ask(f"{asked}&photo={'0' * 16}-0")[0] == 400  # of a photo that nobody has sent


def test_whole_numbers_are_no_other_spellings(browser):  # noqa: F811
    for wrong in ("seed=1e3", "seed=0x1", "images=2.5", "direction=1e0", "alpha=nan", "alpha=1e-300"):
        query = f"/api/shifted?direction=0&alpha=1&tab=a&{wrong}"
        assert wrong.partition("=")[0] in browser.refused(query)


def _head(browser, *lines: str) -> bytes:  # noqa: F811
    host = browser.origin.removeprefix("http://")
    return "\r\n".join([*lines, f"Host: {host}", f"Origin: {browser.origin}", "", ""]).encode()


@pytest.mark.parametrize("length", ["9" * 5000, "\u0661", "-1", "1e3"])
def test_lengths_that_are_none(browser, length):  # noqa: F811
    with socket.create_connection((ADDRESS, browser.port), timeout=20) as line:
        line.sendall(_head(browser, "POST /api/copy HTTP/1.1", "Connection: close", f"Content-Length: {length}"))
        assert line.recv(100).split()[1] in (b"400", b"411", b"413")


def test_a_body_in_chunks_has_no_length(browser):  # noqa: F811
    with socket.create_connection((ADDRESS, browser.port), timeout=20) as line:
        line.sendall(_head(browser, "POST /api/copy HTTP/1.1", "Transfer-Encoding: chunked", "Content-Length: 5"))
        assert line.recv(100).split()[1] in (b"400", b"411")


@pytest.mark.parametrize(
    "begun",
    [
        (),
        ("GET / HTTP/1.1",),
        ("POST /api/copy HTTP/1.1", "Content-Length: 1000"),
        ("GET / HTTP/1.1", "Content-Length: 1000"),
    ],
    ids=["nothing", "headers", "body", "body of a get"],
)
def test_requests_that_never_end_are_cut(browser, begun):  # noqa: F811
    with socket.create_connection((ADDRESS, browser.port), timeout=20) as line:
        content = _head(browser, *begun)[: -2 if len(begun) == 1 else None] if begun else b""
        line.sendall(content)
        started = time.monotonic()
        assert _dripped_until_closed(line, started + 20)
        assert time.monotonic() - started > SECONDS / 2
    assert browser.ask("/api/set")[0] == 200


def _dripped_until_closed(line: socket.socket, end: float) -> bool:
    """Return whether the server closes a connection on which a byte comes every tenth of a second."""
    line.settimeout(0.1)
    while time.monotonic() < end:
        try:
            line.sendall(b"x")
            if not line.recv(10_000):
                return True
        except TimeoutError:
            continue
        except OSError:
            return True
    return False


def test_a_connection_that_is_used_again_is_not_cut(browser):  # noqa: F811
    line = http.client.HTTPConnection(ADDRESS, browser.port, timeout=20)
    line.connect()
    first = line.sock
    for _ in range(4):
        line.request("GET", "/api/set")
        answer = line.getresponse()
        assert answer.status == 200
        answer.read()
        time.sleep(SECONDS * 0.6)
    assert line.sock is first
    line.close()
