"""Photos and masks on disk: found, named, and read right whatever the format."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps

from toolkit.errors import UserError
from toolkit.files.writing import replacing
from toolkit.pictures.colour import to_srgb
from toolkit.pictures.photo_folder import list_photos
from toolkit.pictures.picture_files import PHOTO_ENDINGS, Source, opened, require_side
from toolkit.watch import SILENT, Watch

if TYPE_CHECKING:
    import torch

__all__ = [
    "PHOTO_ENDINGS",
    "as_rgb",
    "centre",
    "eight_bit",
    "list_photos",
    "read_centre",
    "read_gray",
    "read_photo",
    "read_square",
    "read_squares",
    "square",
    "write_picture",
]

_WIDE_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
_SEE_THROUGH_MODES = ("LA", "PA", "RGBA", "La", "RGBa")


_WHITE = (255, 255, 255)
_BAND_PIXELS = 2**20
_LOOKED_AT = 16  # photos whose size stands for all of a folder


def _read(source: Source, as_wanted: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    with opened(source) as image:
        image.load()
        ImageOps.exif_transpose(image, in_place=True)  # nobody else holds it: a copy would take as much memory again
        return _array(as_wanted(eight_bit(image)))


def _array(image: Image.Image) -> np.ndarray:
    """Return an RGB picture as uint8 (H, W, 3), taken over in bands: at once it would be held three times more."""
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    rows = max(1, _BAND_PIXELS // image.width)
    for top in range(0, image.height, rows):
        bottom = min(image.height, top + rows)
        pixels[top:bottom] = np.asarray(image.crop((0, top, image.width, bottom)))
    return pixels


def _rgb(image: Image.Image) -> Image.Image:
    return image if image.mode == "RGB" else image.convert("RGB")  # which copies in either case


def eight_bit(image: Image.Image) -> Image.Image:
    """Return a picture of 16 bits, integers or floats in 8 bits of grey; any other as it is."""
    # Pillow's own conversion saturates 16-bit greys at 255 instead of scaling them.
    if image.mode not in _WIDE_MODES:
        return image
    values = np.nan_to_num(np.asarray(image, np.float64))
    top = values.max(initial=0)
    # Masks are often stored as 0 and 255, whatever the type.
    ceiling = 255.0 if top <= 255 else max(65535.0, top)
    if image.mode == "F" and top <= 1:
        ceiling = 1.0
    levels = Image.fromarray((values / ceiling * 255).round().clip(0, 255).astype(np.uint8))
    levels.info.update(image.info)
    return levels


def read_photo(source: Source, ground: tuple[int, int, int] = _WHITE) -> np.ndarray:
    """Return the photo in a file as uint8 (H, W, 3), turned upright by its EXIF tag.

    Grey, palette, CMYK and 16-bit pictures are converted, colours brought to sRGB by the profile that the file carries,
    transparency is laid over `ground`. Of several pages or frames the first is read. UserError names a file that cannot
    be read whole.
    """
    return _read(source, lambda image: _laid_over(image, ground))


def as_rgb(image: Image.Image) -> np.ndarray:
    """Return a picture that Pillow has opened as `read_photo` returns the file; UserError if it cannot be decoded."""
    try:
        return _array(_laid_over(eight_bit(ImageOps.exif_transpose(image)), _WHITE))
    except Exception as error:  # of a file that is decoded only now, ten kinds
        raise UserError(f"cannot use the picture {image!r} ({error}); open it again") from error


def _laid_over(image: Image.Image, ground: tuple[int, int, int]) -> Image.Image:
    image = to_srgb(image)
    if image.mode in _SEE_THROUGH_MODES or "transparency" in image.info:
        base = Image.new("RGBA", image.size, (*ground, 255))
        image = Image.alpha_composite(base, image.convert("RGBA"))
    return _rgb(image)


def read_gray(path: Path) -> np.ndarray:
    """Return a picture's first channel as uint8 (H, W): a mask, or a grey-level prediction."""
    return _read(path, _rgb)[..., 0]


def read_square(path: Path, size: int) -> np.ndarray:
    """Return uint8 (size, size, 3): the photo's centre square, brought to `size` by Lanczos."""
    return square(read_photo(path), size)


def square(photo: np.ndarray, size: int) -> np.ndarray:
    """Return uint8 (size, size, 3) of a photo uint8 (H, W, 3): its centre square, brought to `size` by Lanczos."""
    return np.asarray(ImageOps.fit(Image.fromarray(photo), (size, size), Image.Resampling.LANCZOS))


def read_centre(path: Path, size: int) -> np.ndarray:
    """Return uint8 (size, size, 3): the `centre` of the photo in a file."""
    return centre(read_photo(path), size)


def centre(photo: np.ndarray, size: int) -> np.ndarray:
    """Return uint8 (size, size, 3) of a photo uint8 (H, W, 3): its shorter side brought to `size` bilinearly, cropped.

    To the pixel what torchvision's Resize and CenterCrop make of it, with which the published embeddings were computed.
    """
    image = Image.fromarray(photo)
    shorter = min(image.size)
    width, height = (int(size * side / shorter) for side in image.size)
    left, top = round((width - size) / 2), round((height - size) / 2)
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized.crop((left, top, left + size, top + size)))


def read_squares(paths: Sequence[Path], size: int, watch: Watch = SILENT) -> "torch.Tensor":
    """Return the photos' centre squares, uint8 (N, 3, size, size) on the CPU; UserError naming one that is broken."""
    import torch  # which reading one photo does without

    pixels = np.empty((len(paths), size, size, 3), np.uint8)
    for index, path in enumerate(watch.over(paths, "reading photos", "photos")):
        pixels[index] = read_square(path, size)
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()


def usual_side(photos: Sequence[Path | np.ndarray]) -> int:
    """Return the median of the shorter sides, in pixels, of sixteen photos (files, or (H, W, 3)) spread over these."""
    step = max(1, len(photos) // _LOOKED_AT)
    seen = [photo if isinstance(photo, np.ndarray) else read_photo(photo) for photo in photos[::step][:_LOOKED_AT]]
    return int(np.median([min(photo.shape[:2]) for photo in seen]))


def write_picture(path: Path, pixels: np.ndarray) -> None:
    """Write uint8 (H, W, 3) or (H, W) pixels as an image whose format is told by the file's ending."""
    require_side(path, pixels.shape[1], pixels.shape[0], "name a file of another format")
    with replacing(path) as temporary:
        quality: dict[str, Any] = {"quality": 92} if temporary.suffix.lower() in (".jpg", ".jpeg") else {}
        Image.fromarray(pixels).save(temporary, **quality)
