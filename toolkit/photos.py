"""Photos and masks on disk: found, named, and read right whatever the format."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from toolkit.errors import UserError
from toolkit.files import existing_file, replacing

PHOTO_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".avif")
_WIDE_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
_SEE_THROUGH_MODES = ("LA", "PA", "RGBA", "La", "RGBa")


def list_photos(folder: Path) -> list[Path]:
    """Return every photo below `folder`, sorted by path, hidden files left out; UserError when there is none."""
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"no folder at {folder}; name a folder of photos ({', '.join(PHOTO_ENDINGS)})")
    found = sorted(p for p in folder.rglob("[!.]*") if p.suffix.lower() in PHOTO_ENDINGS and p.is_file())
    if not found:
        raise UserError(f"no photos below {folder}; it should hold files ending in {', '.join(PHOTO_ENDINGS)}")
    return found


def _read(path: Path, as_wanted: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    existing_file(path, "photo")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a stray EXIF field is no reason to trouble anybody
            with Image.open(path) as image:
                image.load()
                return np.array(as_wanted(_eight_bit(ImageOps.exif_transpose(image))))
    except Exception as error:  # for damaged files Pillow's decoders raise ten kinds, RuntimeError and TypeError too
        raise UserError(f"cannot read the photo {path} ({error}); repair or remove the file") from error


def _eight_bit(image: Image.Image) -> Image.Image:
    # Pillow's own conversion saturates 16-bit greys at 255 instead of scaling them.
    if image.mode not in _WIDE_MODES:
        return image
    values = np.nan_to_num(np.asarray(image, np.float64))
    top = values.max(initial=0)
    # Masks are often stored as 0 and 255, whatever the type.
    ceiling = 255.0 if top <= 255 else max(65535.0, top)
    if image.mode == "F" and top <= 1:
        ceiling = 1.0
    return Image.fromarray((values / ceiling * 255).round().clip(0, 255).astype(np.uint8))


def read_photo(path: Path, ground: tuple[int, int, int] = (255, 255, 255)) -> np.ndarray:
    """Return a photo as uint8 (H, W, 3), turned upright by its EXIF tag.

    Grey, palette, CMYK and 16-bit pictures are converted, transparency is laid over `ground`. UserError names a
    file that cannot be read whole.
    """

    def laid_over_ground(image: Image.Image) -> Image.Image:
        if image.mode in _SEE_THROUGH_MODES or "transparency" in image.info:
            base = Image.new("RGBA", image.size, (*ground, 255))
            image = Image.alpha_composite(base, image.convert("RGBA"))
        return image.convert("RGB")

    return _read(path, laid_over_ground)


def read_gray(path: Path) -> np.ndarray:
    """Return a picture's first channel as uint8 (H, W): a mask, or a grey-level prediction."""
    return _read(path, lambda image: image.convert("RGB"))[..., 0]


def read_square(path: Path, size: int) -> np.ndarray:
    """Return uint8 (size, size, 3): the photo's centre square, brought to `size` by Lanczos."""
    image = Image.fromarray(read_photo(path))
    return np.asarray(ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS))


def read_centre(path: Path, size: int) -> np.ndarray:
    """Return uint8 (size, size, 3): the photo with its shorter side brought to `size` bilinearly, then its centre.

    To the pixel what torchvision's Resize and CenterCrop make of it, with which the published embeddings were computed.
    """
    image = Image.fromarray(read_photo(path))
    shorter = min(image.size)
    width, height = (int(size * side / shorter) for side in image.size)
    left, top = round((width - size) / 2), round((height - size) / 2)
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized.crop((left, top, left + size, top + size)))


def write_picture(path: Path, pixels: np.ndarray) -> None:
    """Write uint8 (H, W, 3) or (H, W) pixels as an image whose format is told by the file's ending."""
    with replacing(path) as temporary:
        quality: dict[str, Any] = {"quality": 92} if temporary.suffix.lower() in (".jpg", ".jpeg") else {}
        Image.fromarray(pixels).save(temporary, **quality)
