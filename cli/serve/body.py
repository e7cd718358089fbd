"""The photo in a request: its body as it is, or the one file of a form, of bounded size."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.exceptions import HTTPException

from cli.web.guard import too_large

_FORM = "multipart/form-data"
# What curl says of --data-binary where nothing else is said, what programs say that do not know, and nothing.
_ANYTHING = ("", "application/octet-stream", "application/x-www-form-urlencoded")
_MOST_HELD = 2**28  # bytes of all requests' bodies together
_PIECE = 2**16  # bytes that a form is taken apart by, before others have their turn
_LONGEST_BOUNDARY = 256  # bytes; RFC 2046 has 70
_RETRY = {"Retry-After": "1"}


class Bodies:
    """The bodies of requests that are under way: each of at most `most` bytes, all together of a few hundred MB."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._room = max(_MOST_HELD, 2 * most)
        self.held = 0  # bytes

    def hold(self, count: int) -> None:
        """Add so many bytes that came; HTTPException 503 where there is no room for them."""
        if self.held + count > self._room:
            raise HTTPException(503, "the photos that are under way fill the memory there is for them", _RETRY)
        self.held += count

    def let_go(self, count: int) -> None:
        """Take away so many bytes."""
        self.held -= count


class Upload:
    """The body of one request, held while it is used as a context."""

    def __init__(self, request: Request, bodies: Bodies, most: int) -> None:
        self._request, self._bodies, self._most = request, bodies, most
        self._size = 0

    def __enter__(self) -> "Upload":
        return self

    def __exit__(self, *exception: object) -> None:
        self._bodies.let_go(self._size)

    async def photo(self) -> bytes:
        """Return the content of the photo's file; HTTPException 413, 415 or 422 for what is none that is taken."""
        kind = self._request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if self._request.headers.get("content-encoding", "identity").lower() != "identity":
            raise HTTPException(415, "the body is compressed; send the photo's file as it is")
        if kind == _FORM:
            content = await self._file_of_form()
        elif kind in _ANYTHING or kind.startswith("image/"):
            content = b"".join([piece async for piece in self._pieces()])
        else:
            raise HTTPException(415, f"the body is {kind[:80]!r}; send a photo as image/... or as a form's file")
        if not content:
            raise HTTPException(422, "the request holds no photo; send a photo's file as its body")
        return content

    async def _pieces(self) -> AsyncGenerator[bytes, None]:
        async for piece in self._request.stream():
            if self._size + len(piece) > self._most:  # of a body in chunks, which says no length
                raise HTTPException(413, too_large(self._size + len(piece), self._most))
            self._bodies.hold(len(piece))
            self._size += len(piece)
            yield piece

    async def _file_of_form(self) -> bytes:
        form = _Form(self._request.headers["content-type"])
        async for piece in self._pieces():
            for start in range(0, len(piece), _PIECE):
                form.write(piece[start : start + _PIECE])
                await asyncio.sleep(0)
        return form.file


class _Form:
    """A form whose only part is a file, taken apart as it comes; HTTPException 422 for another.

    starlette's own writes large files to disk, takes a form without its end for whole, and leaves files open where
    sending them is broken off.
    """

    def __init__(self, content_type: str) -> None:
        boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
        if not 1 <= len(boundary) <= _LONGEST_BOUNDARY:
            raise _no_form("its Content-Type says no boundary")
        names = ("part_begin", "header_field", "header_value", "header_end", "headers_finished", "part_data", "end")
        callbacks: Any = {f"on_{name}": getattr(self, f"_{name}") for name in names}
        self._parser = MultipartParser(boundary, callbacks)
        self._name, self._value, self._disposition = b"", b"", b""
        self._content = bytearray()
        self._parts, self._ended = 0, False

    def write(self, piece: bytes) -> None:
        """Take a piece."""
        try:
            self._parser.write(piece)
        except FormParserError as error:
            raise _no_form(str(error).rstrip(".")) from error

    @property
    def file(self) -> bytes:
        """Return the file's content."""
        if not self._parts or not self._ended:
            raise _no_form("it has no end" if self._parts else "it is empty")
        return bytes(self._content)

    def _part_begin(self) -> None:
        self._parts += 1
        if self._parts > 1:
            raise _no_form("it has several parts; values belong into the address")
        self._disposition = b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = self._value
        self._name, self._value = b"", b""

    def _headers_finished(self) -> None:
        if b"filename" not in parse_options_header(self._disposition)[1]:
            raise _no_form("its part is no file; values belong into the address")

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        self._content += data[start:end]

    def _end(self) -> None:
        self._ended = True


def _no_form(reason: str) -> HTTPException:
    return HTTPException(422, f"cannot read the form: {reason}; send one file, as curl -F photo=@photo.jpg does")
