"""Picture files on disk: which formats are opened, and what to do about a file that cannot be read.

Every picture is opened here, with a list of formats: left alone, Pillow hands PostScript to an outside interpreter too,
whatever ending the file has.
"""

import contextlib
import functools
import io
import os
import re
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

# Pillow imports plugins as it needs them, and all 44 of them where one of several formats is not there yet.
from PIL import (  # noqa: F401
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TgaImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from toolkit.errors import UserError
from toolkit.untrusted.text import existing_file, is_there

# Of Pillow's own 16 MB, glibc keeps those of a large photo for later in each thread; larger ones it gives back.
Image.core.set_block_size(2**26)  # bytes
CLIP_ENDINGS = (  # of what is no photo, but many
    *(".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mts", ".m2ts", ".mpg", ".mpeg", ".wmv", ".flv", ".ogv"),
    ".3gp",
)
HEIF_ENDINGS = (".heic", ".heif", ".hif")
HEIF_NEEDS = "the heif extra: pip install 'latent-segmentation-toolkit[heif]'"
PHOTO_ENDINGS = (
    *(".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".avif"),
    *(".jp2", ".j2k", ".ppm", ".pgm", ".pbm", ".pnm", ".tga"),
)
Source = Path | io.BytesIO  # a file, or the content of one
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/{1,3}[^/]")  # as a path, it has lost a slash; C:/ is a drive
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "AVIF", "JPEG2000", "PPM", "TGA")
_LARGEST_SIDE = {".webp": 16_383, ".gif": 65_535, ".jpg": 65_500, ".jpeg": 65_500, ".mp4": 16_384}
MOST_PIXELS = 178_956_970  # of a picture that Pillow opens again
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_OTHERS = {  # what files of a photo's ending turn out to be, by their first bytes
    b"%!PS": "PostScript",
    b"\xc5\xd0\xd3\xc6": "PostScript",
    b"%PDF": "a PDF",
    b"8BPS": "a Photoshop file",
    b"version https://git-lfs": "a Git LFS pointer; fetch the photo itself with git lfs pull",
    b"<?xml": "an XML or SVG file",
    b"<svg": "an SVG file",
    b"<!doc": "an HTML page; download the photo again",
    b"<html": "an HTML page; download the photo again",
}


def photo_endings() -> tuple[str, ...]:
    """Return the endings of files that are taken for photos here; HEIC is one of them where its extra is installed."""
    return PHOTO_ENDINGS + (HEIF_ENDINGS if find_spec("pillow_heif") else ())


@contextlib.contextmanager
def opened(source: Source) -> Iterator[Image.Image]:
    """Yield the picture in a file, not yet decoded; UserError for whatever is wrong with it, while it is used too."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a stray EXIF field is no reason to trouble anybody
            if not isinstance(source, io.BytesIO) and not Path(source).is_dir():
                refuse_url(source)
                existing_file(source, "photo")  # a pipe would be waited for
            with _open(source) as image:
                yield image
    except UserError:
        raise
    except Exception as error:  # for damaged files Pillow's decoders raise ten kinds, RuntimeError and TypeError too
        why = str(error).replace(f" {source!r}", "")  # Pillow names the object, and its address, that bytes are read by
        raise UserError(f"cannot read the photo {_named(source)} ({why}); {_advice(source, error)}") from error


def refuse_url(source: str | os.PathLike[str]) -> None:
    """Raise UserError for an address in place of a path: nothing is downloaded."""
    text = os.fspath(source)
    if _URL.match(text) and not is_there(Path(text)):
        raise UserError(
            f"{text} is an address, and no photo is downloaded here; download it (curl -LO) and name the file, or pass "
            "its bytes"
        )


def _named(source: Source) -> str:
    return f"of {source.getbuffer().nbytes} bytes" if isinstance(source, io.BytesIO) else str(source)


def _open(source: Source) -> Image.Image:
    try:
        return Image.open(source, formats=_FORMATS)
    except Image.UnidentifiedImageError:
        start = _start(source)
        if start[4:8] != b"ftyp" or start[8:12] not in _HEIF_BRANDS:
            raise
        return _open_heif(source)


def _start(source: Source) -> bytes:
    if isinstance(source, io.BytesIO):
        return bytes(source.getbuffer()[:32])
    with Path(source).open("rb") as handle:
        return handle.read(32)


@functools.cache
def _register_heif() -> None:
    from pillow_heif import register_heif_opener

    register_heif_opener()


def _open_heif(source: Source) -> Image.Image:
    if not find_spec("pillow_heif"):
        raise UserError(
            f"cannot read the photo {_named(source)}: it is HEIC, which needs {HEIF_NEEDS}; or convert it to JPEG"
        )
    _register_heif()
    return Image.open(source, formats=("HEIF",))


def _advice(source: Source, error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return f"it is larger than the {MOST_PIXELS // 10**6} million pixels that are read: make it smaller"
    if isinstance(error, Image.UnidentifiedImageError):
        return _what_it_is(source)
    if isinstance(error, IsADirectoryError):
        return "it is a folder; name a file in it"
    if isinstance(error, PermissionError):
        return "let it be read"
    if isinstance(error, MemoryError):
        return "it does not fit into memory: make it smaller"
    if "decoder" in str(error) and "not available" in str(error):
        return "the Pillow installed here cannot read this format: convert it to JPEG or PNG"
    return "it is cut off or damaged: copy or download it again"


def _what_it_is(source: Source) -> str:
    start = _start(source)
    if start[4:8] == b"ftyp":
        return "it is cut off or damaged: copy or download it again"
    if not start:
        return "the file is empty: copy or download it again"
    names = [name for magic, name in _OTHERS.items() if start.lower().startswith(magic.lower())]
    if names:
        return f"it is {names[0]}" if ";" in names[0] else f"it is {names[0]}: convert it to JPEG or PNG"
    return (
        "it is no picture of a known format, or its beginning is damaged: convert it to JPEG or PNG, or copy it again"
    )


def require_side(path: Path, width: int, height: int, advice: str) -> None:
    """Raise UserError, ending in `advice`, when a picture of so many pixels does not fit the format of `path`."""
    ending = Path(path).suffix.lower()
    most = _LARGEST_SIDE.get(ending)
    if most is not None and max(width, height) > most:
        raise UserError(
            f"{path} would be {width} x {height} pixels, but a {ending} has at most {most} a side; {advice}"
        )
    if ending == ".png" and width * height > MOST_PIXELS:
        raise UserError(
            f"{path} would be {width} x {height} pixels, and few programs open pictures of more than "
            f"{MOST_PIXELS // 10**6} million; {advice}"
        )


def largest_side(path: Path) -> int:
    """Return the largest side in pixels that the format of `path` takes, as far as one is known; else 2**31 - 1."""
    return _LARGEST_SIDE.get(Path(path).suffix.lower(), 2**31 - 1)
