"""Serving photos: started with one that is tried out, and ended after what is under way is answered."""

import contextlib
import re
import signal
import socket
import threading
from collections.abc import Iterator

import uvicorn
from uvicorn.server import HANDLED_SIGNALS

from cli.runs.progress import ending_signals
from cli.serve.app import Service, serve_app
from cli.serve.metrics import Meters
from cli.serve.pipeline import Pipeline
from cli.serve.settings import ServeSettings
from cli.web.protocol import PunctualProtocol
from segmentation.predict.photos import Predictor

_SECONDS_MORE = 5  # at the end, for answers on their way


class PhotoServer(uvicorn.Server):
    """Serves where `run(sockets=...)` listens; asked to end, it answers what it holds first.

    Asked once more by Ctrl-C, it ends at once. UserError where a first photo cannot be predicted.
    """

    def __init__(
        self,
        segmenter: Predictor,
        name: str,
        settings: ServeSettings,
        address: str,
        token: str | None = None,
        bf16: bool = False,
    ) -> None:
        meters = Meters()
        self.pipeline = Pipeline(segmenter, settings, bf16, meters.batch)
        self.pipeline.try_out()
        service = Service(self.pipeline, settings, meters, name)
        protocol = type("Protocol", (PunctualProtocol,), {"seconds": settings.upload_seconds})
        config = uvicorn.Config(
            serve_app(service, meters, settings, token, _hosts(address)),
            loop="asyncio",
            http=protocol,
            ws="none",
            lifespan="off",
            log_level="error",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=int(settings.upload_seconds + settings.work_seconds) + _SECONDS_MORE,
        )
        super().__init__(config)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take a terminal that closes for a wish to end, as uvicorn takes SIGINT and SIGTERM."""
        mine = threading.current_thread() is threading.main_thread()
        others = [number for number in ending_signals() if mine and number not in HANDLED_SIGNALS]
        before = {number: signal.signal(number, self.handle_exit) for number in others}
        try:
            with super().capture_signals():
                yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End after what is under way; the address is free at once."""
        await super().shutdown(sockets)
        self.pipeline.close()


def _hosts(address: str) -> re.Pattern[str]:
    """Return the names under which this machine alone reaches an address, with any port."""
    own = f"[{address}]" if ":" in address else address
    return re.compile(rf"({re.escape(own)}|127\.0\.0\.1|localhost)(:\d+)?")
