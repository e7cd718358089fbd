"""What one picture file holds, before anybody decides what of it is object: codes, kind, alpha."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from segmentation.objects.coco_writing import RECORD
from toolkit.pictures.photos import eight_bit
from toolkit.pictures.picture_files import opened

_WIDE_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
_ALPHA_MODES = ("LA", "La", "PA", "RGBA", "RGBa")
_MOST_COLOURS = 256
_MAIN_COLOURS, _MAIN_SHARE = 16, 0.9  # colours that make up nearly all of a picture of blended or lossy codes
_LEAST_SHARE, _APART = 0.005, 64  # of such colours: share of the picture, distance from each other
_TINT = 24  # levels between the channels of a grey that was saved as colours, with loss
_FEW = 64  # distinct values of a wide picture that are codes; more are grey levels
_NEARLY_WHITE = 0.98
_VISIBLE = 128


@dataclass(frozen=True)
class Held:
    """A picture's codes (H, W), and how often each occurs where the picture is not transparent.

    Of kind "grey" they are levels 0..255 (uint8) or codes of more bits (int32), of "index" a palette's indices (uint8),
    of "colour" 0xRRGGBB (int32), few of them, of "photo" the same, but very many, of "labels" the
    numbers of things in our own labelled pictures (int32). `alpha` (H, W) uint8 is there where
    the file has such a channel; `lossy` says that neighbours of a code may be noise.
    """

    kind: str
    codes: np.ndarray
    counts: dict[int, int]
    alpha: np.ndarray | None = None
    lossy: bool = False

    @property
    def alpha_varies(self) -> bool:
        """Tell whether the alpha channel holds anything."""
        return self.alpha is not None and self.alpha.min() != self.alpha.max()


def read_held(path: Path, by_colour: bool = False) -> Held:
    """Return what the file holds, upright by its EXIF tag; with `by_colour` palettes are read as their colours.

    UserError when it cannot be read.
    """
    with opened(path) as image:
        lossy = image.format in ("JPEG", "MPO")
        image.load()
        upright = ImageOps.exif_transpose(image)
        if RECORD in upright.info and upright.mode in ("L", "I;16"):
            return _labels(np.asarray(upright, np.int32))
        if upright.mode in _WIDE_MODES:
            return _wide(upright)
        if upright.mode in _ALPHA_MODES or "transparency" in upright.info:
            return _with_alpha(upright, by_colour)
        return _opaque(upright, lossy, by_colour)


def _labels(codes: np.ndarray) -> Held:
    values, counts = np.unique(codes, return_counts=True)
    return Held("labels", codes, dict(zip(values.tolist(), counts.tolist(), strict=True)))


def _opaque(image: Image.Image, lossy: bool, by_colour: bool) -> Held:
    if image.mode in ("1", "L"):
        return _grey(np.asarray(image.convert("L")), lossy)
    if image.mode == "P" and not by_colour:
        return _indexed(image)
    return _coloured(image.convert("RGB"), lossy)


def _grey(levels: np.ndarray, lossy: bool = False) -> Held:
    counts = Image.fromarray(levels).histogram()
    return Held("grey", levels, {level: count for level, count in enumerate(counts) if count}, lossy=lossy)


def _indexed(image: Image.Image) -> Held:
    """Return indices, or grey levels where the palette is one of greys: it then says no more than that."""
    palette = np.array(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
    counts = {index: count for index, count in enumerate(image.histogram()) if count}
    used = palette[[index for index in counts if index < len(palette)]]
    white_used = len(used) > 1 and (used == 255).all(axis=1).any()
    if _is_grey(used) and len(used) == len(counts) and (_is_grey(palette) or white_used):
        return _grey(np.pad(palette[:, 0], (0, 256 - len(palette)))[np.asarray(image)])
    return Held("index", np.asarray(image), counts)


def _is_grey(colours: np.ndarray) -> bool:
    return bool((colours == colours[:, :1]).all())


def _coloured(image: Image.Image, lossy: bool = False) -> Held:
    colours = image.getcolors(_MOST_COLOURS)
    pixels = np.asarray(image)
    if colours is not None and all(red == green == blue for _, (red, green, blue) in colours):  # type: ignore[misc]
        return _grey(np.ascontiguousarray(pixels[..., 0]), lossy)
    if (colours is None or lossy or pixels.max() >= _VISIBLE) and np.ptp(pixels, axis=-1).max() <= _TINT:
        return _grey(np.ascontiguousarray(pixels[..., 0]), True)
    packed = pixels.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)
    if colours is None or lossy:
        return _main_colours(packed)
    counts = {red << 16 | green << 8 | blue: count for count, (red, green, blue) in colours}  # type: ignore[misc]
    return Held("colour", packed, counts)


def _main_colours(packed: np.ndarray) -> Held:
    """Return colours of which very many occur as the few that make up the picture, else as those of a photo."""
    values, counts = np.unique(packed, return_counts=True)
    order = np.argsort(-counts)[:_MAIN_COLOURS]
    if counts[order].sum() < _MAIN_SHARE * packed.size:
        return Held("photo", packed, {})
    channels = np.stack([values >> shift & 255 for shift in (16, 8, 0)], axis=-1)
    mains: list[int] = []
    for index in order[counts[order] >= _LEAST_SHARE * packed.size]:
        if all(np.linalg.norm(channels[index] - channels[main]) >= _APART for main in mains):
            mains.append(int(index))
    order = np.array(mains)
    distances = ((channels[:, None] - channels[order][None]) ** 2).sum(axis=-1)
    nearest = values[order][distances.argmin(axis=1)]
    codes = nearest[np.searchsorted(values, packed)].astype(np.int32)
    found, times = np.unique(codes, return_counts=True)
    return Held("colour", codes, dict(zip(found.tolist(), times.tolist(), strict=True)), lossy=True)


def _with_alpha(image: Image.Image, by_colour: bool) -> Held:
    alpha = np.asarray(image.convert("RGBA").getchannel("A"))
    plain = image.convert("P" if image.mode == "PA" else "L" if image.mode in ("LA", "La") else "RGBA")
    if alpha.min() == alpha.max():
        plain.info.pop("transparency", None)
        held = _opaque(image if image.mode == "P" else plain, False, by_colour)
        return Held(held.kind, held.codes, held.counts, alpha)
    held = _coloured(image.convert("RGBA").convert("RGB"))
    values, counts = np.unique(held.codes[alpha >= _VISIBLE], return_counts=True)
    seen = dict(zip(values.tolist(), counts.tolist(), strict=True)) if held.kind != "photo" else {}
    return Held(held.kind, held.codes, seen, alpha)


def _wide(image: Image.Image) -> Held:
    """Return grey levels of 8 bits of a wider picture, or the numbers themselves where they are few and not white."""
    values = np.nan_to_num(np.asarray(image, np.float64))
    if not (values == np.rint(values)).all() or values.max(initial=0) <= 1:
        return _grey(np.asarray(eight_bit(image)))
    distinct, counts = np.unique(values.clip(0), return_counts=True)
    if distinct[-1] <= 255:
        return _grey(values.clip(0).astype(np.uint8))
    if len(distinct) > _FEW or distinct[-1] >= _NEARLY_WHITE * 65535:
        return _grey(np.asarray(eight_bit(image)))
    held = dict(zip(distinct.astype(int).tolist(), counts.tolist(), strict=True))
    return Held("grey", values.clip(0).astype(np.int32), held)
