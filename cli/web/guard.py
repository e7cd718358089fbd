"""Who may talk to a page or server on this machine: its own browser tab or a program here, and nobody else."""

import re
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse

from toolkit.untrusted.text import whole_number

_HERE = re.compile(r"(127\.0\.0\.1|localhost)(:\d+)?")
_MOST_HEADERS = 100  # h11 bounds their bytes only while they come in pieces
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class LocalOnly:
    """ASGI middleware that refuses what other sites can make a browser send, and adds headers to every answer.

    A name that an attacker lets resolve to 127.0.0.1 shows in Host, which has to be one of `hosts`, or may be any where
    there are none; a form or script of another site shows in Origin. A page's own scripts always send that; programs
    never do, so that where they may ask too nothing `needs_origin`. A request's body has at most `largest_body` bytes,
    and, where it `needs_length`, says so before it is read.
    """

    app: Any
    largest_body: int  # bytes
    hosts: re.Pattern[str] | None = _HERE
    needs_origin: bool = True
    needs_length: bool = True

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""

        async def send_secured(message: Any) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        refusal = self._refusal(scope["method"], Headers(scope=scope)) if scope["type"] == "http" else None
        answer = self.app if refusal is None else JSONResponse({"error": refusal[1]}, refusal[0])
        await answer(scope, receive, send_secured)

    def _refusal(self, method: str, headers: Headers) -> tuple[int, str] | None:
        """Return the status and the line with which a request is refused, or None."""
        if len(headers.raw) > _MOST_HEADERS:
            return 431, f"the request has {len(headers.raw)} headers; send at most {_MOST_HEADERS}"
        host = headers.get("host", "").lower()
        if self.hosts is not None and not self.hosts.fullmatch(host):
            return 403, f"the host is {host!r}, but this page is served to 127.0.0.1 and localhost only"
        if method in ("GET", "HEAD"):
            return None
        origin = headers.get("origin", "")
        if origin != f"http://{host}" and (origin or self.needs_origin):
            return 403, f"the request comes from {origin or 'nowhere'!r}, but only http://{host} may change anything"
        return self._length_refusal(headers)

    def _length_refusal(self, headers: Headers) -> tuple[int, str] | None:
        length = whole_number(headers.get("content-length", ""))
        if "transfer-encoding" in headers:  # with it, the length is not heeded
            length = None
        said = "content-length" in headers and "transfer-encoding" not in headers
        if length is None and (self.needs_length or said):
            return 411, "the request does not say its length in bytes"
        if length is not None and length > self.largest_body:
            return 413, too_large(length, self.largest_body)
        return None


def too_large(length: int, most: int) -> str:
    """Return the line about a body of so many bytes, of which there may be at most so many."""
    return f"the file has {length / 1e6:.0f} MB; choose one of at most {most / 1e6:g} MB"
