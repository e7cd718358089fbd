"""The photo in a request: its body as it is, or the one file of a form, of bounded size."""

import asyncio
from collections.abc import AsyncGenerator

from fastapi import Request
from starlette.datastructures import Headers, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser

from cli.web.guard import too_large

_FORM = "multipart/form-data"
# What curl says of --data-binary where nothing else is said, what programs say that do not know, and nothing.
_ANYTHING = ("", "application/octet-stream", "application/x-www-form-urlencoded")
_MOST_HELD = 2**28  # bytes of all requests' bodies together
_PIECE = 2**16  # bytes that a form is taken apart by, before others have their turn
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
        try:
            form = await _InMemory(self._request.headers, _by_turns(self._pieces()), max_files=1, max_fields=0).parse()
        except MultiPartException as error:
            raise HTTPException(422, f"cannot read the form: {error.message.rstrip('.')}") from error
        files = [part for part in form.values() if isinstance(part, UploadFile)]
        if len(files) != 1:
            raise HTTPException(422, "the form holds no whole file; send one, as curl -F photo=@photo.jpg does")
        content = await files[0].read()
        await form.close()
        return content


class _InMemory(MultiPartParser):
    """Writes no file for a large photo: what is held is bounded, and nothing is left where the process is killed."""

    spool_max_size = 2**62

    def __init__(self, headers: Headers, stream: AsyncGenerator[bytes, None], **most: int) -> None:
        super().__init__(headers, stream, **most)


async def _by_turns(pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async for piece in pieces:
        for start in range(0, len(piece), _PIECE):
            yield piece[start : start + _PIECE]
            await asyncio.sleep(0)
