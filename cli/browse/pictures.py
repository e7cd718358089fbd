"""The pictures of the page of `toolkit browse`, as encoded bytes."""

import io
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from cli.browse.photos import EmbeddedPhoto
from discovery.charts import frames, offsets
from generators.layered import mixed
from generators.protocol import Generator, Latents, every_shift, layers_named, layers_of, rendered
from generators.styled import StyledGenerator
from toolkit.compute.engine import Engine
from toolkit.directions import DirectionSet
from toolkit.errors import UserError
from toolkit.files.workplace import temporary_folder
from toolkit.masks.filters import large_components
from toolkit.masks.rules import MaskRule
from toolkit.moves import AnyShift, together
from toolkit.pictures.animation import write_animation
from toolkit.pictures.outlines import outlined
from toolkit.pictures.pixels import grid, mask_picture, resized_to, to_bytes
from toolkit.streams import Stream

FRAMES_A_SIDE = 4
_STRIP_SIDE = 128  # pixels of a frame; larger images are shrunk to it
_DETAIL_SIDE = 160  # pixels of a frame; smaller ones grow, so that the outline of a mask is fine
_SINGLE_SIDE = 256  # the same of an image that is shown alone
_SAVED_SIDES = (128, 1024)  # between which the images of a saved picture keep their own side
_ANIMATED_SIDES = (128, 256)
_ANIMATED_FRAMES, _ANIMATED_RATE = 16, 12.0  # of one way; frames a second


class Edit(NamedTuple):
    """The sum of shifts along directions, and the one against it.

    An opposed mask rule compares with the latter.
    """

    forth: AnyShift
    back: AnyShift

    @classmethod
    def along(cls, directions: DirectionSet, shifts: list[tuple[int, float]]) -> "Edit":
        """Return the edit along pairs (direction, alpha)."""
        return cls(
            together([directions.shift(index, alpha) for index, alpha in shifts]),
            together([directions.opposite_shift(index, alpha) for index, alpha in shifts]),
        )


@dataclass(frozen=True)
class Start:
    """The latents that are moved: a photo's, or the first `count` of a seed. A strip shows the first one.

    `psi`, `mix` and `donor` are as in cli.browse.requests.Beginning.
    """

    seed: int = 0
    count: int = 1
    photo: EmbeddedPhoto | None = None
    psi: float | None = None
    mix: str = ""
    donor: int = 0


class Pictures:
    """Renders what one generator makes of shifts."""

    def __init__(self, generator: Generator, engine: Engine) -> None:
        self.generator = generator
        self._engine = engine

    @property
    def psi(self) -> float | None:
        """Return how far the generator draws latents towards their mean; None for one that has no such truncation."""
        return self.generator.psi if isinstance(self.generator, StyledGenerator) else None

    def strip(self, directions: DirectionSet, index: int, reach: float, start: Start) -> bytes:
        """Return one row of frames along direction `index`, from -reach to reach, without gaps, as WebP."""
        lengths = offsets(reach, FRAMES_A_SIDE).tolist()
        shifts = [directions.shift(index, length).to(self._engine.device) for length in lengths]
        with self._engine.autocast():
            images = frames(self._truncated(start), self._latents(start), shifts).float()
        side = min(_STRIP_SIDE, max(images.shape[-2:]))
        return webp(grid(to_bytes(resized_to(images, side)), columns=len(images), gap=0))

    def shifted(self, edit: Edit, start: Start, rule: MaskRule | None) -> bytes:
        """Return images before and after an edit and, where there is a rule, the outlined mask, without gaps, as WebP.

        Each kind is a row of all latents. Of one latent all kinds stand in one row, that of a photo behind the photo.
        """
        before, after, masks = self._twins(edit, start, rule)
        side = _DETAIL_SIDE if len(before) > 1 else _SINGLE_SIDE
        rows = [_shown(before, side), _shown(after, side)]
        if masks is not None:
            rows.append(outlined(rows[0], _grown(masks, side)))
        if start.photo is not None:
            rows.insert(0, np.asarray(Image.fromarray(start.photo.square).resize((side, side)))[None])
        return webp(grid(np.concatenate(rows), columns=len(before) if len(before) > 1 else len(rows), gap=0))

    def picture(self, edit: Edit, start: Start) -> bytes:
        """Return the images after an edit, side by side, as PNG."""
        after = self._twins(edit, start, None)[1]
        return png(grid(_shown(after, self._side(*_SAVED_SIDES)), columns=len(after), gap=0))

    def mask(self, edit: Edit, start: Start, rule: MaskRule) -> bytes:
        """Return the masks that an edit gives, white on black, as PNG: to the pixel those of the `picture`."""
        masks = self._twins(edit, start, rule)[2]
        assert masks is not None
        grown = _grown(masks, self._side(*_SAVED_SIDES))
        return png(grid(mask_picture(grown), columns=len(grown), gap=0))

    def animation(self, edit: Edit, start: Start) -> bytes:
        """Return the way from before an edit to after it, and back, as GIF."""
        side, latents, forth = self._side(*_ANIMATED_SIDES), self._latents(start), edit.forth.to(self._engine.device)
        way = []
        for share in torch.linspace(0, 1, _ANIMATED_FRAMES).tolist():
            images = self._images(latents.shifted(share * forth), start)
            way.append(grid(_shown(images, side), columns=len(images), gap=0))
        with temporary_folder() as folder:
            write_animation(folder / "way.gif", way + way[-2:0:-1], _ANIMATED_RATE)
            return (folder / "way.gif").read_bytes()

    def _twins(
        self, edit: Edit, start: Start, rule: MaskRule | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Return images (B, 3, H, W) before and after an edit, and masks (B, H, W) where there is a rule."""
        opposed = rule is not None and rule.opposed
        latents, shifts = self._latents(start), [edit.forth, *([edit.back] if opposed else [])]
        moved = every_shift(latents, [shift.to(self._engine.device) for shift in shifts])
        before, after, *opposite = self._images(Latents.cat([latents, moved]), start).chunk(1 + len(shifts))
        if rule is None:
            return before, after, None
        return before, after, large_components(rule(opposite[0] if opposed else before, after))

    def _images(self, latents: Latents, start: Start) -> torch.Tensor:
        with self._engine.autocast():
            return torch.cat([part for _, part in rendered(self._truncated(start), latents)])

    def _latents(self, start: Start) -> Latents:
        generator = self._truncated(start)
        if start.photo is not None:
            own = Latents(start.photo.z)
        else:
            own = generator.sample(start.count, Stream(start.seed, "browse"))
        if start.mix:
            layers, others = layers_named(start.mix, generator), generator.sample(1, Stream(start.donor, "browse"))
            own = mixed(own, others, layers, layers_of(generator) or 0)
        return own.to(self._engine.device)

    def _truncated(self, start: Start) -> Generator:
        """Return the generator as it is truncated where one asks for it; UserError for one that cannot be."""
        if start.psi is None:
            return self.generator
        if not isinstance(self.generator, StyledGenerator):
            raise UserError(f"{self.generator.name} has no truncation by psi, as style-based generators have; omit psi")
        return self.generator.restyled(start.psi, self.generator.styling.cutoff)

    def _side(self, least: int, most: int) -> int:
        return min(max(self.generator.image_size, least), most)


def _shown(images: torch.Tensor, side: int) -> np.ndarray:
    """Return images (B, 3, H, W) as uint8 pictures (B, h, w, 3) whose longer side is `side`."""
    return to_bytes(resized_to(images, side))


def _grown(masks: torch.Tensor, side: int) -> np.ndarray:
    """Return masks (B, H, W) as bool (B, h, w), their longer side `side`."""
    return (resized_to(masks[:, None].float(), side)[:, 0] > 0.5).cpu().numpy()


def webp(pixels: np.ndarray) -> bytes:
    """Return uint8 pixels (H, W, 3) or (H, W) as the bytes of a WebP file."""
    return _encoded(pixels, "WEBP", quality=90, method=2)


def png(pixels: np.ndarray) -> bytes:
    """Return uint8 pixels (H, W, 3) as the bytes of a PNG file."""
    return _encoded(pixels, "PNG")


def _encoded(pixels: np.ndarray, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=kind, **options)
    return buffer.getvalue()
