"""HTTP with a time by which every request has to be there and every answer has to be taken."""

import asyncio
import json
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

_SECONDS = 30.0  # for 20 MB from the same machine
_MOST_CONNECTIONS = 512  # half the files that a process may usually have open
_NO_HTTP = "the request is no valid HTTP, or its headers have more than 16 kB"


class PunctualProtocol(H11Protocol):
    """Closes a connection whose request is not whole in time, from its first byte on, or from the connection's start.

    uvicorn itself waits for ever, and any byte that comes prolongs the life of an idle connection. One whose client
    does not take what it is sent in that time is closed too, and one beyond `most` that are open at a time is refused.
    """

    seconds: ClassVar[float] = _SECONDS
    most: ClassVar[int] = _MOST_CONNECTIONS

    def connection_made(self, transport: Any) -> None:
        """Take a connection, whose first request is due; refuse it where there are too many."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)  # so that whatever is not taken at once is noticed
        self._due: asyncio.TimerHandle | None = None
        self._leaving: asyncio.TimerHandle | None = None
        self._expect()
        if len(self.connections) > self.most:
            refusal = _plain_answer(
                503, "Service Unavailable", "too many connections; try again", b"Retry-After: 1\r\n"
            )
            transport.write(refusal)
            transport.close()

    def data_received(self, data: bytes) -> None:
        """Take bytes; what follows a whole request is the next one, due in turn."""
        if self.transport.is_closing():  # of a request that was refused before it was there
            return
        super().data_received(data)
        if self.conn.their_state in (h11.DONE, h11.MUST_CLOSE):
            self._expect_nothing()
        elif self._due is None:
            self._expect()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP in one line of JSON, and close; only close where an answer is under way."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.write(_plain_answer(400, "Bad Request", _NO_HTTP))
        self.transport.close()
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def pause_writing(self) -> None:
        """Note that the client has not taken all that it was sent, which it has to before long."""
        super().pause_writing()
        if self._leaving is None:
            self._leaving = self.loop.call_later(self.seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Note that it has."""
        super().resume_writing()
        self._cancel_leaving()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget what was due."""
        self._expect_nothing()
        super().connection_lost(exc)
        self._cancel_leaving()

    def _expect(self) -> None:
        self._due = self.loop.call_later(self.seconds, self._cut)

    def _expect_nothing(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _cancel_leaving(self) -> None:
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None

    def _cut(self) -> None:
        self._due = None
        self.transport.abort()


def _plain_answer(status: int, phrase: str, line: str, headers: bytes = b"") -> bytes:
    """Return an answer for a connection that is closed after it, before there was a request to answer."""
    body = json.dumps({"error": line}).encode()
    head = f"HTTP/1.1 {status} {phrase}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + headers + b"Connection: close\r\n\r\n" + body
