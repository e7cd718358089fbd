"""What every request to the server passes: it is counted, and where there is a token it has to bring that."""

from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import JSONResponse

from cli.serve.metrics import Meters
from cli.serve.token import Token

HEALTH = "/health"  # which those who watch over servers ask without a secret
_REFUSAL = "this server asks for its token; send Authorization: Bearer TOKEN"


@dataclass(frozen=True)
class Counted:
    """ASGI middleware that counts answers, by the route if it is one of `routes`."""

    app: Any
    meters: Meters
    routes: frozenset[str]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        route = scope["path"] if scope.get("path") in self.routes else "other"

        async def send_counted(message: Any) -> None:
            if message["type"] == "http.response.start":
                self.meters.answered(route, message["status"])
            await send(message)

        await self.app(scope, receive, send_counted)


@dataclass(frozen=True)
class WithToken:
    """ASGI middleware that refuses requests without the token, before anything of their body is read."""

    app: Any
    token: Token

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        answer = self.app
        if scope["type"] == "http" and scope["path"] != HEALTH:
            given = Headers(scope=scope).get("authorization", "").encode("latin-1")
            if not self.token.opens(given):
                answer = JSONResponse({"error": _REFUSAL}, 401, {"WWW-Authenticate": "Bearer"})
        await answer(scope, receive, send)
