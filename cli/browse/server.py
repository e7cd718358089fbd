"""Serving the page of `toolkit browse` on this machine alone, and ending in good order."""

import os
import socket

import uvicorn

from cli.browse.app import Page, browse_app
from cli.browse.protocol import PunctualProtocol
from toolkit.errors import UserError

ADDRESS = "127.0.0.1"
_USUAL_PORT = 8000
_SECONDS_TO_FINISH = 2
_MOST_AT_ONCE = 128  # connections; a browser opens six


class BrowseServer(uvicorn.Server):
    """Serves a page where `run(sockets=...)` listens; asked to end, it waits for no picture."""

    def __init__(self, page: Page) -> None:
        config = uvicorn.Config(
            browse_app(page),
            loop="asyncio",
            http=PunctualProtocol,
            limit_concurrency=_MOST_AT_ONCE,
            ws="none",
            lifespan="off",
            log_level="error",
            access_log=False,
            timeout_graceful_shutdown=_SECONDS_TO_FINISH,
        )
        super().__init__(config)
        self._page = page

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End, and answer every request that waits for a picture with nothing."""
        self._page.close()
        await super().shutdown(sockets)


def bound_socket(port: int | None) -> socket.socket:
    """Return a socket that listens on this machine alone: at `port`, or at 8000 or else a free one if it is None.

    UserError when the port asked for is taken.
    """
    for wanted in (_USUAL_PORT, 0) if port is None else (port,):
        bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if os.name == "posix":  # elsewhere it would share the port with whoever holds it
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((ADDRESS, wanted))
            bound.listen()
        except OSError as error:
            bound.close()
            reason = error.strerror or str(error)
        else:
            return bound
    raise UserError(f"cannot listen at port {port}: {reason}; choose another --port, or omit it")
