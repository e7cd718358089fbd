"""How a server says what is wrong: as one line of JSON, {"error": "..."}, whatever it is."""

from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from toolkit.command_line import as_flags
from toolkit.errors import UserError


def bare_app(**options: Any) -> FastAPI:
    """Return an application without pages of its own that says errors in one line, those of requests with status 400.

    FastAPI's pages fetch scripts from the network. Nothing is reported to anybody, whatever the environment says.
    """
    silent: Any = dict.fromkeys(("tracing", "metrics", "logs", "auto_configure"), False)
    app = FastAPI(docs_url=None, redoc_url=None, telemetry=silent, **{"openapi_url": None, **options})
    app.add_exception_handler(UserError, _user_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _fault)
    return app


def said(error: Exception) -> str:
    """Return the line for an error, with flags for the settings that it names."""
    return as_flags(error.marked) if isinstance(error, UserError) else str(error)


async def _user_error(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": said(error)}, 400)


def invalid_line(error: Exception) -> str:
    """Return the line about the first of what is wrong with a request's values."""
    first = error.errors()[0] if isinstance(error, RequestValidationError) else {}
    place = next(part for part in reversed(first["loc"]) if isinstance(part, str))  # numbers count a list's entries
    return str(UserError(f"{place}: {first['msg'][:1].lower()}{first['msg'][1:]}"))


async def _invalid(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": invalid_line(error)}, 400)


async def _http_error(_: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        return await _fault(_, error)
    return JSONResponse({"error": str(error.detail)}, error.status_code, error.headers)


async def _fault(_: Request, error: Exception) -> Response:
    """Answer where a bug shows; what it was stands in the terminal, not in the answer."""
    return JSONResponse({"error": "the server failed; its terminal says why"}, 500)
