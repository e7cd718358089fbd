"""Colours of photos brought to sRGB, by the ICC profile that a photo carries."""

import functools
import io
from typing import Any

import numpy as np
from PIL import Image, ImageCms

WHITE = (255, 255, 255)
GREEN = (0, 255, 0)
MAGENTA = (255, 0, 255)
RED = (255, 0, 0)
_GRID = np.linspace(0, 255, 9).round().astype(np.uint8)
_ALIKE = 3  # levels that profiles of sRGB by different makers differ in at most


def to_srgb(image: Image.Image) -> Image.Image:
    """Return a picture in sRGB, "RGB" or "RGBA", where it carries the profile of another colour space; else itself.

    A profile that is sRGB, damaged, or of another number of channels than the picture changes nothing.
    """
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or not profile:
        return image
    space = profile[16:20]
    if space == b"RGB ":
        return _converted(image, profile, "RGB")
    if space == b"GRAY" and image.mode in ("1", "L", "LA"):
        return _converted(image, profile, "L")
    if space == b"CMYK" and image.mode == "CMYK":
        return _converted(image, profile, "CMYK")
    return image


def _converted(image: Image.Image, profile: bytes, mode: str) -> Image.Image:
    if mode == "RGB" and image.mode in ("CMYK", "LAB"):
        return image
    transform = _transform(profile, mode)
    if transform is None:
        return image
    see_through = image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info
    plain = image.convert("RGBA") if see_through else image
    colours = ImageCms.applyTransform(plain.convert(mode), transform)
    if colours is None:
        return image
    if see_through:
        colours.putalpha(plain.getchannel("A"))
    return colours


@functools.lru_cache(8)
def _transform(profile: bytes, mode: str) -> Any:
    """Return Pillow's transform from `profile` to sRGB, None where it changes nothing or cannot be made."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
        swatch = _swatch(mode)
        shown = ImageCms.applyTransform(swatch, transform)
    except Exception:  # PyCMSError, OSError, TypeError or ValueError, as the damage has it
        return None
    same = shown is None or np.abs(_levels(shown) - _levels(swatch)).max() <= _ALIKE
    return None if same and mode != "CMYK" else transform


def _swatch(mode: str) -> Image.Image:
    """Return a picture of colours from all over the space."""
    channels = {"L": 1, "RGB": 3, "CMYK": 4}[mode]
    colours = np.stack(np.meshgrid(*[_GRID] * channels, indexing="ij"), axis=-1).reshape(1, -1, channels)
    return Image.frombytes(mode, (colours.shape[1], 1), colours.tobytes())


def _levels(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"), np.int16)
