"""Serving the page of `toolkit browse` on this machine alone, and ending in good order."""

import socket

import uvicorn

from cli.browse.app import Page, browse_app
from cli.web.protocol import PunctualProtocol

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
