"""The web application of `toolkit browse`: what the page may ask for, checked, and answered one picture at a time."""

import asyncio
import base64
import hashlib
import mimetypes
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, TypeVar

import numpy as np
from fastapi import Body, FastAPI, Query, Response, UploadFile
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles

from cli.browse.photos import EmbeddedPhoto, PhotoEmbedder, segmented
from cli.browse.pictures import FRAMES_A_SIDE, Edit, Pictures, Start, webp
from cli.browse.requests import (
    FURTHEST_PSI,
    LAST_SEED,
    LONGEST,
    LONGEST_NAME,
    MOST_DIRECTIONS,
    MOST_IMAGES,
    MOST_STEPS,
    Beginning,
    Direction,
    Index,
    Layers,
    Length,
    Saved,
    ShiftQuery,
    Steps,
    StripQuery,
    Tab,
)
from cli.browse.set import BrowsedSet
from cli.browse.worker import NewestFirst, Recent
from cli.reports.hints import command
from cli.web.errors import bare_app
from cli.web.guard import LocalOnly
from generators.protocol import fitting, layers_of
from segmentation.predict.segmenter import Segmenter
from toolkit.directions import DirectionSet
from toolkit.errors import UserError
from toolkit.files.shipped import shipped_file
from toolkit.masks.rules import MASK_RULES, MaskRule
from toolkit.shifts import SHORTEST

LARGEST_BODY = 20_000_000  # bytes
_PICTURE_MEMORY = 64_000_000  # bytes
_MOST_PHOTOS = 16  # embedded ones that are remembered
_ENDINGS: dict[Saved, str] = {"picture": "png", "mask": "png", "animation": "gif"}
T = TypeVar("T")


class Page:
    """What the page asks for, one method a route.

    `no_embedder` says why photos cannot be embedded where there is no `embedder`.
    """

    def __init__(
        self,
        shown: BrowsedSet,
        pictures: Pictures,
        segmenter: Segmenter | None = None,
        segmenter_name: str = "",
        embedder: PhotoEmbedder | None = None,
        no_embedder: str = "",
    ) -> None:
        self._set = shown
        self._pictures = pictures
        self._segmenter = segmenter
        self._segmenter_name = segmenter_name
        self._embedder = embedder
        self._no_embedder = no_embedder
        self._worker = NewestFirst()
        self._recent = Recent[bytes](_PICTURE_MEMORY, len)
        self._photos = Recent[EmbeddedPhoto](_MOST_PHOTOS, lambda _: 1)

    def close(self) -> None:
        """Draw no further picture; requests that wait for one are answered with nothing (204)."""
        self._worker.close()

    def described(self) -> dict[str, Any]:
        """Return everything the page shows besides pictures."""
        return {
            **self._set.described(),
            "rules": list(MASK_RULES),
            "frames": 2 * FRAMES_A_SIDE + 1,
            "segmenter": self._segmenter_name if self._segmenter else None,
            "no_embedder": None if self._embedder else self._no_embedder,
            "embedding_note": self._embedder.note if self._embedder else "",
            "largest_upload": LARGEST_BODY,
            "last_seed": LAST_SEED,
            "longest_alpha": LONGEST,
            "num_layers": layers_of(self._pictures.generator),
            "psi": self._pictures.psi,
            "furthest_psi": FURTHEST_PSI,
            "most": {"directions": MOST_DIRECTIONS, "images": MOST_IMAGES, "steps": MOST_STEPS},
        }

    async def strip(self, index: Index, asked: Annotated[StripQuery, Query()]) -> Response:
        """Answer with a row of frames along one direction."""
        index = self._known(index)
        draw = partial(self._pictures.strip, self._set.directions, index, asked.reach, self._start(asked))
        key = ("strip", index, asked.reach, *asked.key, self._set.directions.place_of(index))
        return await self._picture(f"{asked.tab}:{index}", key, draw)

    async def shifted(self, asked: Annotated[ShiftQuery, Query()]) -> Response:
        """Answer with images before and after the sum of shifts, and their masks where a rule is named."""
        shifts, start, moving = self._shifts(asked), self._start(asked, asked.images), self._moving(asked)
        rule = _mask_rule(asked.rule) if asked.rule else None
        draw = partial(self._pictures.shifted, Edit.along(moving, shifts), start, rule)
        places = [moving.place_of(index) for index, _ in shifts]
        key = ("shifted", *shifts, *places, *asked.key, asked.images, asked.rule, self._set.directions.choice)
        return await self._picture(f"{asked.tab}:shifted", key, draw)

    async def save(self, kind: Saved, asked: Annotated[ShiftQuery, Query()]) -> Response:
        """Answer with a file to keep: the images after the shifts, their masks, or the way there as an animation."""
        shifts, start = self._shifts(asked), self._start(asked, asked.images)
        edit = Edit.along(self._moving(asked), shifts)
        job: Callable[[], bytes]
        match kind:
            case "picture":
                job = partial(self._pictures.picture, edit, start)
            case "mask":
                job = partial(self._pictures.mask, edit, start, _mask_rule(asked.rule))
            case "animation":
                job = partial(self._pictures.animation, edit, start)
        content = await self._done(f"{asked.tab}:save:{kind}", job)
        if content is None:
            return Response(status_code=204)
        along = "_".join(f"{index}{alpha:+g}" for index, alpha in shifts)
        beginning = "photo" if asked.photo else f"seed{asked.seed}"
        file = f"{beginning}_direction_{along}_{kind}.{_ENDINGS[kind]}"
        named = {"Content-Disposition": f'attachment; filename="{file}"'}
        return Response(content, media_type=f"image/{_ENDINGS[kind]}", headers=named)

    def name(self, direction: Direction, name: Annotated[str, Body(max_length=LONGEST_NAME)]) -> dict[str, Any]:
        """Name a direction."""
        message, command = self._set.name(self._known(direction), name)
        return {"message": message, "next": command, "set": self.described()}

    def choose(
        self, direction: Direction, alpha: Length, rule: Annotated[str, Body()], layers: Layers = ""
    ) -> dict[str, Any]:
        """Choose a direction, with sign, length and the layers it moves, for segmentation."""
        _mask_rule(rule)
        if abs(alpha) < SHORTEST:
            raise UserError(f"alpha is {alpha:g}, which shifts nowhere; move its slider first")
        message, command = self._set.choose(
            self._known(direction), alpha, rule, layers or None, self._pictures.generator
        )
        return {"message": message, "next": command, "set": self.described()}

    def copy(self) -> dict[str, Any]:
        """Copy a read-only set, so that it can be changed."""
        message = self._set.copy()
        return {"message": message, "next": command("browse", self._set.run), "set": self.described()}

    async def embed(self, photo: UploadFile, tab: Tab, refine: Steps = 0) -> Response:
        """Answer with the key under which a photo's latent is remembered, the error of its reconstruction, the photo.

        The key stands for the photo's content and the steps of refining, so that the same photo is embedded once.
        """
        embedder = self._embedder
        if embedder is None:
            raise UserError(self._no_embedder)
        content, name = await photo.read(), _name_of(photo)
        key = f"{hashlib.sha256(content).hexdigest()[:16]}-{refine}"
        embedded = self._photos[key]
        if embedded is None:
            embedded = await self._done(f"{tab}:photo", partial(embedder.embed, content, name, refine))
        if embedded is None:
            return Response(status_code=204)
        self._photos[key] = embedded
        return JSONResponse({"photo": key, "error": embedded.error, "square": _data_address(embedded.square)})

    async def segment(self, photo: UploadFile, tab: Tab) -> Response:
        """Answer with a photo, its mask and soft map as data addresses, the foreground's share, and what is unusual."""
        segmenter = self._segmenter
        if segmenter is None:
            raise UserError("there is no segmenter; start toolkit browse with --segmenter")
        content, name = await photo.read(), _name_of(photo)
        answer = await self._done(f"{tab}:photo", partial(segmented, segmenter, content, name))
        if answer is None:
            return Response(status_code=204)
        pictures, share, unlike = answer
        shown = {kind: _data_address(pixels) for kind, pixels in pictures.items()}
        return JSONResponse({**shown, "share": share, "unlike": unlike})

    async def _done(self, slot: str, job: Callable[[], T]) -> T | None:
        """Return what a job comes to, one job at a time; None where a newer one took its place, or at the end."""
        return await asyncio.wrap_future(self._worker.submit(slot, job))

    async def _picture(self, slot: str, key: tuple, draw: Callable[[], bytes]) -> Response:
        """Answer with a picture, from memory if it is there; with nothing (204) where a newer one was asked for."""
        picture = self._recent[key]
        if picture is None:
            picture = await self._done(slot, draw)
            if picture is None:
                return Response(status_code=204)
            self._recent[key] = picture
        return Response(picture, media_type="image/webp")

    def _known(self, index: int) -> int:
        return self._set.directions.index_of(index)

    def _shifts(self, asked: ShiftQuery) -> list[tuple[int, float]]:
        if len(asked.direction) != len(asked.alpha):
            raise UserError(f"{len(asked.direction)} directions have {len(asked.alpha)} alphas; give each one its own")
        return [(self._known(index), alpha) for index, alpha in zip(asked.direction, asked.alpha, strict=True)]

    def _moving(self, asked: ShiftQuery) -> DirectionSet:
        """Return the set, its directions moving the layers that were asked for."""
        if len(asked.layers) not in (0, len(asked.direction)):
            raise UserError(f"{len(asked.direction)} directions have {len(asked.layers)} layers; give each one its own")
        moving = self._set.directions
        for index, layers in zip(asked.direction, asked.layers, strict=False):
            moving = fitting(moving, self._pictures.generator, layers or None, self._known(index))
        return moving

    def _start(self, asked: Beginning, count: int = 1) -> Start:
        if not asked.photo:
            return Start(asked.seed, count, None, asked.psi, asked.mix, asked.donor)
        photo = self._photos[asked.photo]
        if photo is None:
            raise UserError("the photo is not remembered any more; open it on the page again")
        return Start(0, 1, photo, None, asked.mix, asked.donor)


def _name_of(photo: UploadFile) -> str:
    return (photo.filename or "the file")[:LONGEST_NAME]


def _data_address(pixels: np.ndarray) -> str:
    return f"data:image/webp;base64,{base64.b64encode(webp(pixels)).decode()}"


def _mask_rule(name: str) -> MaskRule:
    if name not in MASK_RULES:
        raise UserError(f"the mask rule is {name[:LONGEST_NAME]!r}; choose one of {', '.join(MASK_RULES)}")
    return MASK_RULES[name]


def browse_app(page: Page) -> FastAPI:
    """Return the application: the page's files, its routes, and every error a user can fix as one line of JSON."""
    mimetypes.add_type("text/javascript", ".js")  # Windows' registry may say text/plain, which browsers do not run
    app = bare_app()
    app.add_middleware(LocalOnly, largest_body=LARGEST_BODY)
    app.add_api_route("/api/set", page.described)
    app.add_api_route("/api/strip/{index}", page.strip)
    app.add_api_route("/api/shifted", page.shifted)
    app.add_api_route("/api/save/{kind}", page.save)
    for change in (page.name, page.choose, page.copy, page.embed, page.segment):
        app.add_api_route(f"/api/{change.__name__}", change, methods=["POST"])
    app.mount("/", StaticFiles(directory=shipped_file("browse"), html=True))
    return app
