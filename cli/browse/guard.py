"""Who may talk to the page of `toolkit browse`: its own browser tab on this machine, and nobody else."""

import re
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse

from toolkit.untrusted.text import whole_number

LARGEST_BODY = 20_000_000  # bytes
_HOST = re.compile(r"(127\.0\.0\.1|localhost)(:\d+)?")
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class LocalOnly:
    """ASGI middleware that refuses what other sites can make a browser send, and adds headers to every answer.

    A name that an attacker lets resolve to 127.0.0.1 shows in Host; a form or script of another site shows in Origin.
    """

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""

        async def send_secured(message: Any) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        refusal = _refusal(scope["method"], Headers(scope=scope)) if scope["type"] == "http" else None
        answer = self._app if refusal is None else JSONResponse({"error": refusal[1]}, refusal[0])
        await answer(scope, receive, send_secured)


def _refusal(method: str, headers: Headers) -> tuple[int, str] | None:
    """Return the status and the line with which a request is refused, or None."""
    host = headers.get("host", "").lower()
    if not _HOST.fullmatch(host):
        return 403, f"the host is {host!r}, but this page is served to 127.0.0.1 and localhost only"
    if method in ("GET", "HEAD"):
        return None
    origin = headers.get("origin", "")
    if origin != f"http://{host}":
        return 403, f"the request comes from {origin or 'nowhere'!r}, but only http://{host} may change anything"
    length = whole_number(headers.get("content-length", ""))
    if length is None or "transfer-encoding" in headers:  # with it, the length is not heeded
        return 411, "the request does not say its length"
    if length > LARGEST_BODY:
        return 413, f"the file has {length / 1e6:.0f} MB; choose one of at most {LARGEST_BODY / 1e6:.0f} MB"
    return None
