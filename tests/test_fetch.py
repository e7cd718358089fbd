"""A download ends with the whole file or with one line and no file, whatever the server does."""

import errno
import hashlib
import os
import socket
import urllib.request
from collections import namedtuple
from email.message import Message

import pytest
from mirror import Mirror, chunked, part, ranged, redirect, stalled, status, whole

from toolkit.errors import UserError
from toolkit.files.fetch import Transfer, _SafeRedirects, fetch
from toolkit.files.partial_file import PartialFile

CONTENT = bytes(range(256)) * 4  # 1,024 bytes that begin with a zero
OTHER = CONTENT[::-1]


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def mirror(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Mirror()
    yield server
    server.close()


class Calls(list):
    """Waits and lines of a download, in place of a clock and a screen."""

    def transfer(self, **changes):
        return Transfer(**{"sleep": self.append, **changes})


@pytest.fixture
def waits():
    return Calls()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cache" / "weights.pth"


def names(path):
    return sorted(one.name for one in path.parent.iterdir())


def refusal(addresses, path, *arguments, **changes):
    """Return the line of a refused download, after checking that it leaves no file of that name."""
    changes = {"sleep": lambda seconds: None, **changes}
    with pytest.raises(UserError) as caught:
        fetch(addresses, path, *arguments, transfer=Transfer(**changes))
    assert "\n" not in str(caught.value)
    assert not path.exists()
    return str(caught.value)


def test_a_file_comes_whole(mirror, path):
    heard = []
    address = mirror.serve("w", whole(CONTENT))
    digest = fetch([address], path, transfer=Transfer(progress=lambda *now: heard.append(now)))
    assert digest == sha256(CONTENT)
    assert path.read_bytes() == CONTENT
    assert names(path) == ["weights.pth"]
    assert (heard[0], heard[-1]) == ((0, 1024), (1024, 1024))


def test_after_a_break_only_the_rest_is_asked_for(mirror, path, waits):
    address = mirror.serve("w", ranged(CONTENT, sent=400), ranged(CONTENT, sent=300), ranged(CONTENT))
    lines = []
    assert fetch([address], path, transfer=waits.transfer(notice=lines.append)) == sha256(CONTENT)
    assert path.read_bytes() == CONTENT
    assert mirror.ranges("w") == [None, "bytes=400-", "bytes=700-"]
    assert waits == [1, 1]  # each brought something
    assert lines[0] == f"{address}: the connection closed after 400 of 1024 bytes; trying again in 1 s"


def test_a_stopped_download_goes_on_in_the_next_call(mirror, path):
    address = mirror.serve("w", ranged(CONTENT, sent=400), ranged(CONTENT))
    with pytest.raises(KeyboardInterrupt):
        fetch([address], path, transfer=Transfer(sleep=interrupt))
    assert names(path) == ["weights.pth.part", "weights.pth.part.json"]
    heard = []
    assert fetch([address], path, transfer=Transfer(progress=lambda *now: heard.append(now))) == sha256(CONTENT)
    assert mirror.ranges("w") == [None, "bytes=400-"]
    assert heard[0] == (400, 1024)
    assert names(path) == ["weights.pth"]


def interrupt(seconds):
    raise KeyboardInterrupt


def test_a_server_that_knows_no_ranges_sends_all_again(mirror, path, waits):
    address = mirror.serve("w", whole(CONTENT, sent=400), whole(CONTENT))
    assert fetch([address], path, transfer=waits.transfer()) == sha256(CONTENT)
    assert mirror.ranges("w") == [None, "bytes=400-"]
    assert path.read_bytes() == CONTENT


def test_a_new_version_is_not_mixed_with_the_old(mirror, path, waits):
    address = mirror.serve("w", ranged(OTHER, '"1"', sent=400), ranged(CONTENT, '"2"'))
    assert fetch([address], path, transfer=waits.transfer()) == sha256(CONTENT)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    "strange",
    [
        part("bytes 400-1023/1024", CONTENT[400:], etag='"2"'),
        part("bytes 300-1023/1024", CONTENT[300:]),
        part("bytes 400-2047/2048", CONTENT[400:]),
        part("something", CONTENT[400:]),
        status(416),
    ],
    ids=["another version", "another start", "another length", "no range", "416"],
)
def test_a_part_that_does_not_fit_is_dropped(strange, mirror, path, waits):
    address = mirror.serve("w", whole(CONTENT, sent=400), strange, whole(CONTENT))
    assert fetch([address], path, transfer=waits.transfer()) == sha256(CONTENT)
    assert mirror.ranges("w") == [None, "bytes=400-", None]
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("etag", [None, 'W/"1"'])
def test_bytes_of_no_known_version_are_read_again(etag, mirror, path, waits):
    address = mirror.serve("w", whole(CONTENT, etag, sent=400), whole(CONTENT, etag))
    fetch([address], path, transfer=waits.transfer())
    assert mirror.ranges("w") == [None, None]
    assert path.read_bytes() == CONTENT


def test_a_file_that_always_breaks_off_at_the_same_place(mirror, path, waits):
    address = mirror.serve("w", whole(CONTENT, sent=400))
    message = refusal([address], path, sleep=waits.append)
    assert "the connection closed after 400 of 1024 bytes" in message
    assert waits == [1, 2, 4]
    assert "weights.pth" not in names(path)


def test_the_next_mirror_is_asked(mirror, path):
    addresses = [mirror.address("gone"), mirror.serve("w", whole(CONTENT))]
    assert fetch(addresses, path) == sha256(CONTENT)
    assert [where for where, _ in mirror.asked] == ["/gone", "/w"]


def test_no_mirror_has_it(mirror, path):
    addresses = [mirror.address("gone"), mirror.serve("secret", status(403))]
    message = refusal(addresses, path)
    assert message == (
        f"cannot download weights.pth ({addresses[0]}: HTTP 404 Not Found; {addresses[1]}: HTTP 403 Forbidden); "
        f"get {addresses[0]} or {addresses[1]} by hand and save it as {path}"
    )
    assert names(path) == []


def test_what_one_mirror_sent_is_kept_until_another_sends_something(mirror, path):
    first = mirror.serve("a", ranged(CONTENT, sent=400), status(404), ranged(CONTENT))
    refusal([first, mirror.address("gone")], path)
    assert fetch([first], path) == sha256(CONTENT)
    assert mirror.ranges("a") == [None, "bytes=400-", "bytes=400-"]


@pytest.mark.parametrize(("asked", "waited"), [(None, 1), ("7", 7), ("86400", 60), ("Fri, 31 Dec 1999", 1)])
def test_a_busy_server_is_waited_for(asked, waited, mirror, path, waits):
    address = mirror.serve("w", status(503, Retry_After=asked), whole(CONTENT))
    assert fetch([address], path, transfer=waits.transfer()) == sha256(CONTENT)
    assert waits == [waited]


def test_a_server_that_stays_busy(mirror, path, waits):
    message = refusal([mirror.serve("w", status(503))], path, sleep=waits.append)
    assert "HTTP 503 Service Unavailable" in message
    assert waits == [1, 2, 4]


def test_redirects_are_followed_to_the_rest(mirror, path, waits):
    address = mirror.serve("short", redirect(mirror.serve("long", ranged(CONTENT, sent=400), ranged(CONTENT))))
    assert fetch([address], path, transfer=waits.transfer()) == sha256(CONTENT)
    assert mirror.ranges("long") == [None, "bytes=400-"]


def test_redirects_in_a_loop(mirror, path):
    mirror.serve("b", redirect(mirror.address("a")))
    message = refusal([mirror.serve("a", redirect(mirror.address("b")))], path)
    assert "HTTP 302 it redirects without end" in message


@pytest.mark.parametrize(
    ("begin", "end"),
    [("https://a.org/w", "http://a.org/w"), ("http://a.org/w", "ftp://a.org/w"), ("http://a.org/w", "file:///w")],
)
def test_redirects_that_could_be_tampered_with(begin, end):
    with pytest.raises(urllib.request.HTTPError):
        _SafeRedirects().redirect_request(urllib.request.Request(begin), None, 302, "Found", Message(), end)


def test_redirects_to_a_file_of_this_machine(mirror, path):
    assert "HTTP 302 it redirects" in refusal([mirror.serve("a", redirect("file:///etc/hostname"))], path)


def test_wrong_bytes(mirror, path):
    message = refusal([mirror.serve("w", whole(OTHER))], path, sha256(CONTENT))
    assert f"it sent another file, SHA-256 {sha256(OTHER)} where {sha256(CONTENT)} is expected" in message
    assert names(path) == []


def test_wrong_bytes_here_and_the_right_ones_there(mirror, path):
    addresses = [mirror.serve("a", whole(OTHER)), mirror.serve("b", whole(CONTENT))]
    assert fetch(addresses, path, sha256(CONTENT)) == sha256(CONTENT)
    assert names(path) == ["weights.pth"]


def test_a_part_that_was_damaged_is_read_again(mirror, path, waits):
    address = mirror.serve("w", ranged(CONTENT, sent=400), ranged(CONTENT))
    with pytest.raises(KeyboardInterrupt):
        fetch([address], path, transfer=Transfer(sleep=interrupt))
    (path.parent / "weights.pth.part").write_bytes(OTHER[:400])
    assert fetch([address], path, sha256(CONTENT), waits.transfer()) == sha256(CONTENT)
    assert mirror.ranges("w") == [None, "bytes=400-", None]


def test_a_note_that_was_damaged_costs_the_part_only(mirror, path):
    address = mirror.serve("w", ranged(CONTENT, sent=400), ranged(CONTENT))
    with pytest.raises(KeyboardInterrupt):
        fetch([address], path, transfer=Transfer(sleep=interrupt))
    (path.parent / "weights.pth.part.json").write_text('{"address": ')
    assert fetch([address], path) == sha256(CONTENT)
    assert mirror.ranges("w") == [None, None]


@pytest.mark.parametrize(
    "page",
    [whole(CONTENT, kind="text/html; charset=utf-8"), whole(b"\n <!DOCTYPE html><title>Too many</title>")],
    ids=["by its type", "by its text"],
)
def test_a_web_page_is_no_file(page, mirror, path):
    assert "it sent a web page instead of the file" in refusal([mirror.serve("w", page)], path)
    assert names(path) == []


def test_a_web_page_does_not_cost_what_came_before(mirror, path):
    page = whole(b"<html>sign in to this network</html>", kind="text/html")
    address = mirror.serve("w", ranged(CONTENT, sent=400), page, ranged(CONTENT))
    refusal([address], path)
    assert fetch([address], path) == sha256(CONTENT)
    assert mirror.ranges("w") == [None, "bytes=400-", "bytes=400-"]


def test_safetensors_may_begin_with_the_sign_of_pages(mirror, path):
    content = (0x3C).to_bytes(8, "little") + b'{"w":'.ljust(0x3C) + bytes(16)
    fetch([mirror.serve("w", whole(content))], path)
    assert path.read_bytes() == content


def test_an_empty_file(mirror, path):
    assert "it sent an empty file" in refusal([mirror.serve("w", whole(b""))], path)
    assert names(path) == []


def test_a_file_of_unknown_length(mirror, path):
    heard = []
    address = mirror.serve("w", chunked(CONTENT[:600], CONTENT[600:]))
    assert fetch([address], path, transfer=Transfer(progress=lambda *now: heard.append(now))) == sha256(CONTENT)
    assert heard[-1] == (1024, None)


@pytest.mark.parametrize("end", [b"", b"3e8\r\nab"])
def test_a_file_of_unknown_length_that_breaks_off(end, mirror, path, waits):
    address = mirror.serve("w", chunked(CONTENT[:600], end=end), chunked(CONTENT))
    assert fetch([address], path, transfer=waits.transfer()) == sha256(CONTENT)
    assert path.read_bytes() == CONTENT
    assert waits == [1]


def test_a_server_that_falls_silent(mirror, path, waits):
    address = mirror.serve("w", stalled(CONTENT, 400, mirror), ranged(CONTENT))
    lines = []
    assert fetch([address], path, transfer=waits.transfer(timeout=0.3, notice=lines.append)) == sha256(CONTENT)
    assert mirror.ranges("w") == [None, "bytes=400-"]
    assert "no answer in time" in lines[0]


def test_nobody_listens(path, waits, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}/w"
        message = refusal([address], path, sleep=waits.append)
    assert f"{address}: Connection refused" in message
    assert f"by hand and save it as {path}" in message
    assert waits == [1, 2, 4]


def test_what_is_no_address(path):
    assert "it is no address" in refusal(["http://a.org:port/w"], path)


def test_a_disk_that_is_full(mirror, path, monkeypatch):
    def full(part, chunk):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(PartialFile, "append", full)
    message = refusal([mirror.serve("w", whole(CONTENT))], path)
    assert message == (
        f"cannot write {path}: No space left on device; free it, or choose another folder with TOOLKIT_CACHE"
    )


def test_a_file_too_large_for_the_disk_is_not_begun(mirror, path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage(1000, 1000, 1000))
    message = refusal([mirror.serve("w", whole(bytes(2_000_000)))], path)
    assert "it needs 2 MB, but 0 MB are free" in message
    assert names(path) == []


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="no /proc")
def test_a_folder_that_takes_nothing(mirror, tmp_path):
    address = mirror.serve("w", whole(CONTENT))
    (tmp_path / "file").write_text("x")
    for place in (tmp_path / "file" / "w.pth", type(tmp_path)("/proc/nowhere/w.pth")):
        with pytest.raises(UserError, match=r"^cannot write .*w\.pth: .*; free it, or choose another folder"):
            fetch([address], place)
    assert mirror.asked == []


def test_another_process_at_the_same_file(mirror, path):
    pytest.importorskip("fcntl")
    address = mirror.serve("w", whole(CONTENT))
    path.parent.mkdir()
    other = PartialFile(path)
    assert "another process is downloading" in refusal([address], path)
    other.close()
    assert fetch([address], path) == sha256(CONTENT)


def test_the_old_file_stays_until_the_new_one_is_whole(mirror, path, waits):
    path.parent.mkdir()
    path.write_bytes(OTHER)
    address = mirror.serve("w", whole(CONTENT, sent=400), status(404), whole(CONTENT))
    with pytest.raises(UserError, match="HTTP 404"):
        fetch([address], path, transfer=waits.transfer())
    assert path.read_bytes() == OTHER
    fetch([address], path, transfer=waits.transfer())
    assert path.read_bytes() == CONTENT
