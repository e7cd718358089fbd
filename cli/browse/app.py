"""The web application of `toolkit browse`: what the page may ask for, checked, and answered one picture at a time."""

import asyncio
import base64
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

from fastapi import Body, FastAPI, Path, Query, Request, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from pydantic import AfterValidator
from starlette.exceptions import HTTPException

from cli.browse.guard import LARGEST_BODY, LocalOnly
from cli.browse.pictures import FRAMES_A_SIDE, NUM_LATENTS, Pictures, segmented
from cli.browse.set import LONGEST, BrowsedSet
from cli.browse.worker import NewestFirst, Recent
from cli.reports.hints import command
from segmentation.predict.segmenter import Segmenter
from toolkit.command_line import as_flags
from toolkit.directions import SHORTEST
from toolkit.errors import UserError
from toolkit.files.shipped import shipped_file
from toolkit.masks.rules import MASK_RULES, MaskRule

_PICTURE_MEMORY = 64_000_000  # bytes
_LONGEST_NAME = 80
_LAST_SEED = 2**31 - 1


def _zero_or_a_length(alpha: float) -> float:
    """Return a shift length; ValueError where it is not 0, yet too short to shift anything."""
    if 0 < abs(alpha) < SHORTEST:
        raise ValueError(f"has to be 0, or {SHORTEST:g} and more in length")
    return alpha


Tab = Annotated[str, Query(pattern="^[a-z0-9]{1,16}$")]  # tells the page's tabs apart: one does not overtake another
Index = Annotated[int, Path(ge=0, le=_LAST_SEED)]
Direction = Annotated[int, Body(ge=0, le=_LAST_SEED, strict=True)]  # strict: true is no 1
Reach = Annotated[float, Query(ge=SHORTEST, le=LONGEST, allow_inf_nan=False)]
Alpha = Annotated[float, Query(ge=-LONGEST, le=LONGEST, allow_inf_nan=False), AfterValidator(_zero_or_a_length)]
Seed = Annotated[int, Query(ge=0, le=_LAST_SEED)]


class Page:
    """What the page asks for, one method a route."""

    def __init__(
        self, shown: BrowsedSet, pictures: Pictures, segmenter: Segmenter | None = None, segmenter_name: str = ""
    ) -> None:
        self._set = shown
        self._pictures = pictures
        self._segmenter = segmenter
        self._segmenter_name = segmenter_name
        self._worker = NewestFirst()
        self._recent = Recent(_PICTURE_MEMORY)

    def close(self) -> None:
        """Draw no further picture; requests that wait for one are answered with nothing (204)."""
        self._worker.close()

    def described(self) -> dict[str, Any]:
        """Return everything the page shows besides pictures."""
        return {
            **self._set.described(),
            "rules": list(MASK_RULES),
            "frames": 2 * FRAMES_A_SIDE + 1,
            "latents": NUM_LATENTS,
            "segmenter": self._segmenter_name if self._segmenter else None,
            "largest_upload": LARGEST_BODY,
        }

    async def strip(self, index: Index, reach: Reach, seed: Seed, tab: Tab) -> Response:
        """Answer with a row of frames along one direction."""
        index = self._known(index)
        draw = partial(self._pictures.strip, self._set.directions, index, reach, seed)
        return await self._picture(f"{tab}:{index}", ("strip", index, reach, seed), draw)

    async def shifted(
        self,
        index: Index,
        alpha: Alpha,
        seed: Seed,
        tab: Tab,
        second: Annotated[int | None, Query(ge=0)] = None,
        second_alpha: Alpha = 0.0,
        rule: str = "",
    ) -> Response:
        """Answer with images before and after a shift, or the sum of two, and their masks where a rule is given."""
        shifts = [(self._known(index), alpha)]
        if second is not None:
            shifts.append((self._known(second), second_alpha))
        mask_rule = _mask_rule(rule) if rule else None
        directions = self._set.directions
        draw = partial(self._pictures.shifted, directions, shifts, seed, mask_rule)
        return await self._picture(f"{tab}:shifted", ("shifted", *shifts, seed, rule, directions.choice), draw)

    def name(self, direction: Direction, name: Annotated[str, Body(max_length=_LONGEST_NAME)]) -> dict[str, Any]:
        """Name a direction."""
        message, command = self._set.name(self._known(direction), name)
        return {"message": message, "next": command, "set": self.described()}

    def choose(
        self,
        direction: Direction,
        alpha: Annotated[float, Body(ge=-LONGEST, le=LONGEST, allow_inf_nan=False, strict=True)],
        rule: Annotated[str, Body()],
    ) -> dict[str, Any]:
        """Choose a direction, with sign and length, for segmentation."""
        _mask_rule(rule)
        if abs(alpha) < SHORTEST:
            raise UserError(f"alpha is {alpha:g}, which shifts nowhere; move its slider first")
        message, command = self._set.choose(self._known(direction), alpha, rule)
        return {"message": message, "next": command, "set": self.described()}

    def copy(self) -> dict[str, Any]:
        """Copy a read-only set, so that it can be changed."""
        message = self._set.copy()
        return {"message": message, "next": command("browse", self._set.run), "set": self.described()}

    async def segment(self, photo: UploadFile, tab: Tab) -> Response:
        """Answer with a photo, its mask and its soft map as data addresses, and the foreground's share."""
        segmenter = self._segmenter
        if segmenter is None:
            raise UserError("there is no segmenter; start toolkit browse with --segmenter")
        content, name = await photo.read(), (photo.filename or "the file")[:_LONGEST_NAME]
        job = self._worker.submit(f"{tab}:photo", partial(segmented, segmenter, content, name))
        found = await asyncio.wrap_future(job)
        if found is None:
            return Response(status_code=204)
        pictures, share = found
        sources = {kind: f"data:image/webp;base64,{base64.b64encode(p).decode()}" for kind, p in pictures.items()}
        return JSONResponse({**sources, "share": share})

    async def _picture(self, slot: str, key: tuple, draw: Callable[[], bytes]) -> Response:
        """Answer with a picture, from memory if it is there; with nothing (204) where a newer one was asked for."""
        picture = self._recent[key]
        if picture is None:
            picture = await asyncio.wrap_future(self._worker.submit(slot, draw))
            if picture is None:
                return Response(status_code=204)
            self._recent[key] = picture
        return Response(picture, media_type="image/webp")

    def _known(self, index: int) -> int:
        return self._set.directions.index_of(index)


def _mask_rule(name: str) -> MaskRule:
    if name not in MASK_RULES:
        raise UserError(f"the mask rule is {name[:_LONGEST_NAME]!r}; choose one of {', '.join(MASK_RULES)}")
    return MASK_RULES[name]


def browse_app(page: Page) -> FastAPI:
    """Return the application: the page's files, its routes, and every error a user can fix as one line of JSON."""
    # Nothing is reported to anybody, whatever the environment says.
    silent: Any = dict.fromkeys(("tracing", "metrics", "logs", "auto_configure"), False)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, telemetry=silent)
    app.add_middleware(LocalOnly)
    app.add_exception_handler(UserError, _user_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_api_route("/api/set", page.described)
    app.add_api_route("/api/strip/{index}", page.strip)
    app.add_api_route("/api/shifted/{index}", page.shifted)
    for change in (page.name, page.choose, page.copy, page.segment):
        app.add_api_route(f"/api/{change.__name__}", change, methods=["POST"])
    app.mount("/", StaticFiles(directory=shipped_file("browse"), html=True))
    return app


async def _user_error(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": as_flags(error.marked) if isinstance(error, UserError) else str(error)}, 400)


async def _invalid(_: Request, error: Exception) -> Response:
    first = error.errors()[0] if isinstance(error, RequestValidationError) else {}
    message = f"{first['loc'][-1]}: {first['msg'][:1].lower()}{first['msg'][1:]}"
    return JSONResponse({"error": str(UserError(message))}, 400)


async def _http_error(_: Request, error: Exception) -> Response:
    status, detail = (error.status_code, error.detail) if isinstance(error, HTTPException) else (500, str(error))
    return JSONResponse({"error": str(detail)}, status)
