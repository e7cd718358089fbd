"""HTTP for the page of `toolkit browse`, with a time by which every request has to be there."""

import asyncio
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

_SECONDS_TO_ARRIVE = 30.0  # for 20 MB from the same machine


class PunctualProtocol(H11Protocol):
    """Closes a connection whose request is not whole in time, from its first byte on, or from the connection's start.

    uvicorn itself waits for ever, and any byte that comes prolongs the life of an idle connection.
    """

    seconds: ClassVar[float] = _SECONDS_TO_ARRIVE

    def connection_made(self, transport: Any) -> None:
        """Take a connection, whose first request is due."""
        super().connection_made(transport)
        self._due: asyncio.TimerHandle | None = None
        self._expect()

    def data_received(self, data: bytes) -> None:
        """Take bytes; what follows a whole request is the next one, due in turn."""
        super().data_received(data)
        if self.conn.their_state in (h11.DONE, h11.MUST_CLOSE):
            self._expect_nothing()
        elif self._due is None:
            self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget what was due."""
        self._expect_nothing()
        super().connection_lost(exc)

    def _expect(self) -> None:
        self._due = self.loop.call_later(self.seconds, self._cut)

    def _expect_nothing(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _cut(self) -> None:
        self._due = None
        self.transport.abort()
