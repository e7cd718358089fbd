"""What a cut-out is laid over: a colour, a picture, or the photo's own ground, blurred."""

import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image, ImageColor, ImageOps

from toolkit.errors import UserError, named
from toolkit.pictures.any_photo import Photo, as_photo
from toolkit.pictures.picture_files import refuse_url
from toolkit.untrusted.text import is_there

BLUR = "blur"
_BLURRED_SIDE = 120  # pixels of the shorter side at which a ground is blurred, since nothing finer is left of it
_BLUR = 4.0  # standard deviation there, in pixels: a thirtieth of the photo's shorter side
_SAMPLED = 4  # pixels across and down that at least are looked at for each one there
_LEAST_WEIGHT = 1e-3  # of pixels behind the thing, so that there is some colour in its middle too


class Ground(Protocol):
    """Something that a thing can be laid over."""

    def behind(self, photo: np.ndarray, alpha: np.ndarray) -> Image.Image:
        """Return a new "RGB" picture of the size of a photo uint8 (H, W, 3); alpha uint8 (H, W) is the thing's."""
        ...


@dataclass(frozen=True)
class Plain:
    """One colour."""

    colour: tuple[int, int, int] = (255, 255, 255)

    def behind(self, photo: np.ndarray, alpha: np.ndarray) -> Image.Image:
        """Return the colour everywhere."""
        return Image.new("RGB", alpha.shape[::-1], self.colour)


@dataclass(frozen=True, eq=False)
class Scenery:
    """The middle of a picture uint8 (H, W, 3), brought to the size that just covers the photo."""

    pixels: np.ndarray

    def behind(self, photo: np.ndarray, alpha: np.ndarray) -> Image.Image:
        """Return as much of the picture as has the photo's shape."""
        return self._fitted(alpha.shape[::-1]).copy()

    # Photos of a folder often have one size, and there is one picture in a process.
    @functools.lru_cache(maxsize=1)  # noqa: B019
    def _fitted(self, size: tuple[int, int]) -> Image.Image:
        return ImageOps.fit(Image.fromarray(self.pixels), size, Image.Resampling.BICUBIC)


@dataclass(frozen=True)
class Blurred:
    """The photo's own ground, blurred; what stands before it leaves no halo in it."""

    def behind(self, photo: np.ndarray, alpha: np.ndarray) -> Image.Image:
        """Return the mean of the ground around each pixel, with weights that fall off as a Gauss curve."""
        step = max(1, min(alpha.shape) // (_SAMPLED * _BLURRED_SIDE))
        certain = (alpha[::step, ::step] == 0).view(np.uint8) * np.uint8(255)  # an edge shows both
        seen = Image.fromarray(np.dstack([photo[::step, ::step], certain]))
        scale = min(1.0, _BLURRED_SIDE / min(seen.size))
        size = max(1, round(seen.width * scale)), max(1, round(seen.height * scale))
        small = np.asarray(seen.resize(size, Image.Resampling.BOX), np.float32)
        weights = small[..., 3:] / 255 + _LEAST_WEIGHT
        summed = _gauss(np.concatenate([small[..., :3] * weights, weights], axis=2), _BLUR)
        colours = np.rint(summed[..., :3] / summed[..., 3:]).astype(np.uint8)
        return Image.fromarray(colours).resize(alpha.shape[::-1], Image.Resampling.BICUBIC)


WHITE_GROUND = Plain()


def ground_of(value: Photo | tuple[int, int, int]) -> Ground:
    """Return the ground that a colour ("white", "#00ff00", (0, 255, 0)), a photo in any form, or "blur" stands for.

    A text that is no colour is a picture's path. UserError for anything else, and for a colour that lets light through.

    >>> ground_of("navy")
    Plain(colour=(0, 0, 128))
    """
    if isinstance(value, tuple):
        return _plain(value, str(value))
    if not isinstance(value, str | os.PathLike):
        return Scenery(as_photo(value))
    text = os.fspath(value)
    ground = _of_words(text)
    if ground is not None:
        return ground
    if is_there(Path(text)):
        return Scenery(as_photo(text))
    refuse_url(text)
    raise UserError(
        f"{named('background')} is {text!r}, neither a colour nor the path of a picture; give one such as white, "
        f"#00ff00 or beach.jpg, or {BLUR}"
    )


def described_ground(text: str) -> Ground:
    """Return the ground that a colour's name or #rrggbb, or "blur", stands for; UserError for anything else.

    Text of somebody else's, that is: nothing is ever opened for it.
    """
    ground = _of_words(text)
    if ground is None:
        raise UserError(
            f"{named('background')} is {text!r}, which is no colour; give one as white or #00ff00, or {BLUR}"
        )
    return ground


def _of_words(text: str) -> Ground | None:
    if text == BLUR:
        return Blurred()
    try:
        colour = ImageColor.getrgb(text)
    except ValueError:
        return None
    return _plain(colour, text)


def _plain(colour: tuple[int, ...], text: str) -> Plain:
    if len(colour) == 4 and colour[3] < 255:
        raise UserError(f"{named('background')} is {text!r}, which lets light through; a cut-out has a clear ground")
    if len(colour) not in (3, 4) or not all(isinstance(c, int) and 0 <= c <= 255 for c in colour):
        raise UserError(f"{named('background')} is {text}; a colour is three whole numbers from 0 to 255")
    return Plain((colour[0], colour[1], colour[2]))


def _gauss(values: np.ndarray, sigma: float) -> np.ndarray:
    """Return values (H, W, C) blurred along both axes; beyond the border the outermost go on."""
    reach = round(3 * sigma)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1, dtype=np.float32) / sigma) ** 2)
    weights /= weights.sum()
    for axis in (0, 1):
        padding = [(reach, reach) if axis == along else (0, 0) for along in range(3)]
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(values, padding, mode="edge"), len(weights), axis)
        values = windows @ weights
    return values
