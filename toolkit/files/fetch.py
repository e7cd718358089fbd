"""Downloading one file from a list of mirrors: resumed, tried again, hashed while it is read, whole or not at all."""

import contextlib
import errno
import http.client
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any

from toolkit import __version__
from toolkit.errors import UserError
from toolkit.files.partial_file import PartialFile

_HEADERS = {"User-Agent": f"latent-segmentation-toolkit/{__version__}", "Accept-Encoding": "identity"}
_PASSING = (408, 425, 429, 500, 502, 503, 504)  # statuses of a server that may answer later
_LONGEST_WAIT = 60.0  # seconds, whatever a server asks for
_CHUNK = 1 << 16


def _unheard(*values: Any) -> None:
    """Take what nobody listens to."""


@dataclass(frozen=True)
class Transfer:
    """How long a mirror is waited for before the next one is asked, and who hears how it goes."""

    attempts: int = 4  # in a row that bring no new byte
    timeout: float = 30.0  # seconds without a byte
    sleep: Callable[[float], None] = time.sleep  # seconds between attempts: 1, 2, 4, or what the server asks for
    progress: Callable[[int, int | None], None] = _unheard  # bytes so far, bytes in all (None: the server does not say)
    notice: Callable[[str], None] = _unheard  # a line a person should see


class _RefusedError(Exception):
    """This mirror does not give the file; the next one may."""


class _InterruptedError(Exception):
    """The same mirror may give the rest after `wait` seconds; `stale` when what lies here is not part of it."""

    def __init__(self, reason: str, wait: float | None = None, stale: bool = False) -> None:
        super().__init__(reason)
        self.wait, self.stale = wait, stale


def fetch(addresses: Sequence[str], path: Path, sha256: str | None = None, transfer: Transfer | None = None) -> str:
    """Return the SHA-256, 64 hexadecimal digits, of the file at `path` after downloading it from the first good mirror.

    What came stays in `<name>.part` when the download stops, and the next call resumes from there where the server
    still has the same version. UserError when no mirror gives the file (of that `sha256`), when another process is
    downloading it, and when it cannot be written; then there is nothing at `path` that was not there before.
    """
    path, transfer = Path(path), transfer or Transfer()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(PartialFile(path)) as part:
            failures = []
            for address in addresses:
                try:
                    digest = _from_mirror(address, part, sha256, transfer)
                    part.become(path)
                    return digest
                except _RefusedError as refusal:
                    failures.append(f"{address}: {refusal}")
    except OSError as error:  # of the disk: those of the network have become one of the two above
        raise UserError(
            f"cannot write {path}: {error.strerror or error}; free it, or choose another folder with TOOLKIT_CACHE"
        ) from error
    raise UserError(f"cannot download {path.name} ({'; '.join(failures)}); {by_hand(addresses, path)}")


def by_hand(addresses: Sequence[str], path: Path) -> str:
    """Return what a person can do where `fetch` cannot."""
    return f"get {' or '.join(addresses)} by hand and save it as {path}"


def _from_mirror(address: str, part: PartialFile, sha256: str | None, transfer: Transfer) -> str:
    """Return the digest of the whole file, asking one mirror for the rest as long as that brings new bytes."""
    furthest, idle = part.held(address), 0
    while True:
        resumed = part.held(address) > 0
        try:
            digest = _attempt(address, part, transfer)
            if sha256 in (None, digest):
                return digest
            part.empty()
            other = f"it sent another file, SHA-256 {digest} where {sha256} is expected"
            # A resumed file may have been damaged here; one read in one go is what the mirror has.
            raise _InterruptedError(other) if resumed else _RefusedError(other)
        except _InterruptedError as interruption:
            if interruption.stale:
                part.empty()
            idle = 1 if part.size > furthest else idle + 1
            furthest = max(furthest, part.size)
            if idle >= transfer.attempts:
                raise _RefusedError(str(interruption)) from interruption
            wait = 2.0 ** (idle - 1) if interruption.wait is None else interruption.wait
            transfer.notice(f"{address}: {interruption}; trying again in {wait:g} s")
            transfer.sleep(wait)


def _attempt(address: str, part: PartialFile, transfer: Transfer) -> str:
    """Return the digest of the whole file after one request for what is missing of it."""
    with _opened(address, part.request_headers(address), transfer.timeout) as response:
        chunk = _read(response)
        _refuse_page(response, chunk)
        if not part.accept(address, response.status, response.headers):
            raise _InterruptedError("it sent another part than the one asked for", stale=True)
        total = part.total
        _require_room(part.path, (total or 0) - part.size)
        digest = part.digest()
        transfer.progress(part.size, total)
        while chunk:
            part.append(chunk)
            digest.update(chunk)
            transfer.progress(part.size, total)
            chunk = _read(response)
    if total is not None and part.size < total:
        raise _InterruptedError(f"the connection closed after {part.size} of {total} bytes")
    if part.size == 0:
        raise _RefusedError("it sent an empty file")
    return digest.hexdigest()


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http and https; from https, which nobody on the way can alter, to https only."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if not newurl.startswith(("https:",) if req.type == "https" else ("http:", "https:")):
            raise urllib.error.HTTPError(newurl, code, msg, headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opened(address: str, headers: dict[str, str], timeout: float) -> http.client.HTTPResponse:
    """Return the answer of the server that `address` leads to, its body still unread."""
    try:
        request = urllib.request.Request(address, headers=_HEADERS | headers)
        return urllib.request.build_opener(_SafeRedirects).open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:
            raise _InterruptedError("the file has changed there since the first part came", stale=True) from error
        if error.code in _PASSING:
            raise _InterruptedError(f"HTTP {error.code} {error.reason}", _asked_wait(error.headers)) from error
        lost = "it redirects without end, or to an address that is not safe"
        raise _RefusedError(f"HTTP {error.code} {lost if error.code < 400 else error.reason}") from error
    except (http.client.InvalidURL, ValueError) as error:
        raise _RefusedError(f"it is no address ({error})") from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise _RefusedError(f"its certificate is not valid ({reason.verify_message})") from error
        raise _InterruptedError(_in_words(reason)) from error


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read1(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise _InterruptedError(f"the connection broke ({_in_words(error)})") from error


def _in_words(reason: object) -> str:
    if isinstance(reason, TimeoutError):
        return "no answer in time"
    return getattr(reason, "strerror", None) or str(reason) or type(reason).__name__


def _asked_wait(headers: Message) -> float | None:
    asked = headers.get("Retry-After", "")
    return min(float(asked), _LONGEST_WAIT) if asked.isdecimal() else None


def _refuse_page(response: http.client.HTTPResponse, chunk: bytes) -> None:
    """Refuse a web page: servers show one for what is gone, for too many visitors and for the terms of a network."""
    # A safetensors file may begin with "<" too, but its first eight bytes are a number with zeros.
    marked_up = response.status != 206 and chunk.lstrip().startswith(b"<") and b"\0" not in chunk[:512]
    if marked_up or response.headers.get_content_type() == "text/html":
        raise _RefusedError("it sent a web page instead of the file")


def _require_room(path: Path, size: int) -> None:
    free = shutil.disk_usage(path.parent).free
    if size > free:
        raise OSError(errno.ENOSPC, f"it needs {size / 1e6:.0f} MB, but {free / 1e6:.0f} MB are free")
