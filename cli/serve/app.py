"""The application of `toolkit serve`: a photo is posted, and comes back as a picture or as figures."""

import asyncio
import json
import re
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any

import numpy as np
from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from cli.serve.body import Bodies, Upload
from cli.serve.metrics import CONTENT_TYPE, Meters
from cli.serve.page import page_of
from cli.serve.pipeline import BusyError, Finish, Pipeline, TooManyPixelsError
from cli.serve.settings import ServeSettings
from cli.serve.token import Token
from cli.serve.watching import HEALTH, Counted, WithToken
from cli.web.errors import bare_app, invalid_line, said
from cli.web.guard import LocalOnly
from segmentation.objects.settings import ObjectSettings
from segmentation.predict.kinds import KINDS, OBJECTS
from segmentation.predict.photos import Pictures
from segmentation.predict.results import PhotoResult
from segmentation.predict.unlike import unlike_line
from toolkit import __version__
from toolkit.errors import UserError
from toolkit.pictures.grounds import described_ground

RESULT = "result"
_FIGURES = "Toolkit-Result"  # the header that carries the figures beside a picture
_LONGEST_COLOUR = 40
_BODY = {
    "required": True,
    "content": {
        "image/*": {"schema": {"type": "string", "format": "binary"}},
        "multipart/form-data": {
            "schema": {"type": "object", "properties": {"photo": {"type": "string", "format": "binary"}}}
        },
    },
}
_PICTURE = {"description": "A PNG of the photo's size.", "content": {"image/png": {}}}
_REFUSALS: dict[int | str, dict[str, Any]] = {
    413: {"description": "The file or the photo is too large."},
    415: {"description": "The body is neither a photo nor a form."},
    422: {"description": "The photo cannot be read, or a value does not fit."},
    503: {"description": "Too much is under way; Retry-After says when to ask again."},
}


class Asked(BaseModel):
    """How a photo is to be predicted."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    threshold: float = Field(
        0.5, ge=0, le=1, allow_inf_nan=False, description="Probability from which a pixel is foreground."
    )
    refine: bool = Field(False, description="Let the mask follow the photo's edges.")


class AskedComposite(Asked):
    """How a composite is to be made."""

    background: str = Field("white", max_length=_LONGEST_COLOUR, description="A colour, as white or #00ff00, or blur.")


class Service:
    """What is asked for, one method a kind of route."""

    def __init__(self, pipeline: Pipeline, settings: ServeSettings, meters: Meters, name: str) -> None:
        self._pipeline, self._settings, self._meters, self._name = pipeline, settings, meters, name
        self._bodies = Bodies(settings.most_bytes)

    def picture(self, kind: str) -> Callable[..., Any]:
        """Return the route that answers with one kind of picture."""

        async def draw(request: Request, asked: Annotated[Asked, Query()]) -> Response:
            things = ObjectSettings() if kind == OBJECTS else None
            return await self._answer(request, asked, _drawing(Pictures((kind,), asked.threshold, objects=things)))

        async def compose(request: Request, asked: Annotated[AskedComposite, Query()]) -> Response:
            pictures = Pictures((kind,), asked.threshold, ground=described_ground(asked.background))
            return await self._answer(request, asked, _drawing(pictures))

        return compose if kind == "composite" else draw

    async def result(self, request: Request, asked: Annotated[Asked, Query()]) -> Response:
        """Answer with the figures of a photo's mask."""
        return await self._answer(request, asked, _reporting(asked.threshold))

    def health(self) -> Response:
        """Answer whether photos are being predicted."""
        stuck = self._pipeline.stuck
        described = {"status": "stuck" if stuck else "ok", "segmenter": self._name, "photos": self._pipeline.held}
        return JSONResponse(described, 503 if stuck else 200)

    def metrics(self) -> Response:
        """Answer with what was counted."""
        gauges = {
            "toolkit_photos_held": ("Photos that wait or are under way.", float(self._pipeline.held)),
            "toolkit_body_bytes": ("Bytes of requests that are under way.", float(self._bodies.held)),
        }
        return Response(self._meters.text(gauges), media_type=CONTENT_TYPE)

    async def _answer(self, request: Request, asked: Asked, finish: Finish) -> Response:
        """Answer with what is made of the photo in a request."""
        start = time.monotonic()
        with Upload(request, self._bodies, self._settings.most_bytes) as upload:
            content = await upload.photo()
            future = asyncio.wrap_future(self._pipeline.submit(content, finish, asked.refine))
            del content
            answer = await self._in_time(request, future)
        self._meters.took(time.monotonic() - start)
        return answer

    async def _in_time(self, request: Request, future: "asyncio.Future[Response]") -> Response:
        """Return a future answer; given up after the time for it, and where the client has gone."""
        gone = asyncio.ensure_future(request.receive())  # after the body nothing comes but its going
        first: set[asyncio.Future[Any]] = {future, gone}
        try:
            await asyncio.wait(first, timeout=self._settings.work_seconds, return_when="FIRST_COMPLETED")
            if future.done():
                return future.result()
        finally:
            gone.cancel()
            future.cancel()
        if gone.done() and not gone.cancelled():
            raise ClientDisconnect
        seconds = self._settings.work_seconds
        raise HTTPException(
            503, f"the photo was not done in {seconds:g} s", {"Retry-After": str(self._pipeline.advice)}
        )


def _drawing(pictures: Pictures) -> Finish:
    def draw(photo: np.ndarray, soft: np.ndarray, familiarity: float | None) -> Response:
        (content,) = pictures.encoded(photo, soft)
        figures = json.dumps(_figures(soft, familiarity, pictures.threshold))
        return Response(content, media_type="image/png", headers={_FIGURES: figures})

    return draw


def _reporting(threshold: float) -> Finish:
    return lambda photo, soft, familiarity: JSONResponse(_figures(soft, familiarity, threshold))


def _figures(soft: np.ndarray, familiarity: float | None, threshold: float) -> dict[str, Any]:
    found = PhotoResult.of(soft, threshold, familiarity)
    warning = None if familiarity is None else unlike_line([familiarity])
    figures = {name: value for name, value in asdict(found).items() if name != "objects"}  # which were not looked for
    return {**figures, "note": found.note, "warning": warning}


def serve_app(
    service: Service, meters: Meters, settings: ServeSettings, token: str | None, hosts: re.Pattern[str]
) -> FastAPI:
    """Return the application; with a token anybody who brings it may ask, else those on this machine, at `hosts`."""
    app = bare_app(title="toolkit serve", version=__version__, openapi_url="/openapi.json", redirect_slashes=False)
    for kind, name in KINDS.items():
        app.add_api_route(
            f"/{kind}",
            service.picture(kind),
            methods=["POST"],
            name=kind,
            summary=f"{name.capitalize()} of a photo",
            response_class=Response,
            responses={200: _PICTURE, **_REFUSALS},
            openapi_extra={"requestBody": _BODY},
        )
    app.add_api_route(
        f"/{RESULT}",
        service.result,
        methods=["POST"],
        summary="Area, box, confidence and familiarity of a photo's mask",
        responses=_REFUSALS,
        openapi_extra={"requestBody": _BODY},
    )
    app.add_api_route(HEALTH, service.health, summary="Whether photos are being predicted")
    app.add_api_route("/metrics", service.metrics, summary="Counts for Prometheus", response_class=PlainTextResponse)
    page = lambda: HTMLResponse(page_of(app.openapi()))  # noqa: E731
    for path in ("/", "/docs"):
        app.add_api_route(path, page, include_in_schema=False)
    for kind_of_error in (UserError, RequestValidationError, BusyError, ClientDisconnect):
        app.add_exception_handler(kind_of_error, _refused)
    if token is not None:
        app.add_middleware(WithToken, token=Token(token))
    whoever = None if token is not None else hosts
    app.add_middleware(
        LocalOnly, largest_body=settings.most_bytes + _FORMS_OWN, hosts=whoever, needs_origin=False, needs_length=False
    )
    routes = frozenset([*(f"/{name}" for name in (*KINDS, RESULT, "metrics", "docs", "openapi.json")), "/", HEALTH])
    app.add_middleware(Counted, meters=meters, routes=routes)
    return app


_FORMS_OWN = 10_000  # bytes that a form may have besides its file


async def _refused(_: Request, error: Exception) -> Response:
    """Answer with what is wrong with a request."""
    if isinstance(error, BusyError):
        return JSONResponse({"error": str(error)}, 503, {"Retry-After": str(error.seconds)})
    if isinstance(error, RequestValidationError):
        return JSONResponse({"error": invalid_line(error)}, 422)
    bomb = isinstance(error.__cause__, Image.DecompressionBombError)
    return JSONResponse({"error": said(error)}, 413 if bomb or isinstance(error, TooManyPixelsError) else 422)
