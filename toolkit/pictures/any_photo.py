"""A photo in whatever form a program holds it: a path, a file's content, a PIL image, an array or a tensor."""

import io
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
from PIL import Image

from toolkit.errors import UserError
from toolkit.pictures.photo_folder import list_photos
from toolkit.pictures.photos import as_rgb, read_photo
from toolkit.pictures.picture_files import refuse_url

_CHANNELS = (1, 3, 4)  # grey, RGB, RGBA
_ROUNDING = 1e-3  # that floats from resizing may lie beyond 0 and 1
_EXPECTED = "uint8 [height, width, 3], grey, RGBA, channels first, or floats from 0 to 1"


@runtime_checkable
class ArrayLike(Protocol):
    """What numpy can take for an array."""

    def __array__(self) -> np.ndarray:
        """Return the array."""
        ...


Photo = str | os.PathLike[str] | bytes | bytearray | Image.Image | ArrayLike


def is_one_photo(value: object) -> bool:
    """Return whether a value has the type of one photo, rather than being several or nothing of the kind."""
    return isinstance(value, str | os.PathLike | bytes | bytearray | Image.Image | ArrayLike)


def named_photos(photos: "Photo | Iterable[Photo]") -> Iterator[tuple[str, Photo]]:
    """Yield name and photo of those in a folder, of one photo, or of several; what is no path is named by its number.

    UserError for a folder without photos. What is no photo is refused when it is read.
    """
    if isinstance(photos, str | os.PathLike):
        paths = list_photos(Path(photos)) if Path(photos).is_dir() else [photos]
        yield from ((str(path), path) for path in paths)
    elif is_one_photo(photos) or not isinstance(photos, Iterable):
        yield "0", cast(Photo, photos)
    else:
        for number, photo in enumerate(cast(Iterable[Photo], photos)):
            yield str(photo) if isinstance(photo, str | os.PathLike) else str(number), photo


def as_photo(photo: Photo) -> np.ndarray:
    """Return a photo as uint8 (H, W, 3) in sRGB.

    It is the path of a picture file, the content of one, a PIL image, or an array or tensor: uint8, uint16 or floats
    from 0 to 1; grey (H, W), with channels last or first, with transparency, which is laid over white. UserError for
    anything else, and where a shape or range could mean two things.

    >>> as_photo(np.zeros((4, 6), np.uint8)).shape
    (4, 6, 3)
    >>> as_photo(np.ones((3, 8, 8)))[0, 0].tolist()
    [255, 255, 255]
    """
    if isinstance(photo, str | os.PathLike):
        refuse_url(photo)  # while both slashes are there
        return read_photo(Path(photo))
    if isinstance(photo, bytes | bytearray):
        return read_photo(io.BytesIO(photo))
    if isinstance(photo, Image.Image):
        return as_rgb(photo)
    torch: Any = sys.modules.get("torch")  # not imported for this: whoever has a tensor has imported it
    if torch is not None and isinstance(photo, torch.Tensor):
        held: Any = photo.detach().cpu()
        return _from_array((held.float() if held.dtype == torch.bfloat16 else held).numpy())
    if isinstance(photo, ArrayLike):
        array = np.asarray(photo)
        own_form = array.dtype == np.uint8 and array.ndim == 3 and array.shape[2] == 3 and array.size > 0
        return array if own_form else _from_array(array)
    raise UserError(
        f"a photo is {_shown(photo)}; pass a path, the bytes of a picture file, a PIL image, or an array: {_EXPECTED}"
    )


def _shown(value: Any) -> str:
    text = repr(value)
    return f"{text} ({type(value).__name__})" if len(text) < 60 else f"a {type(value).__name__}"


def _from_array(array: np.ndarray) -> np.ndarray:
    levels = _levels(_channels_last(array))
    channels = levels.shape[2]
    if channels == 4:
        return as_rgb(Image.fromarray(levels))
    return np.repeat(levels, 3, axis=2) if channels == 1 else levels


def _channels_last(array: np.ndarray) -> np.ndarray:
    """Return an array as (H, W, C); UserError where it can be no photo, or the channels could be first or last."""
    if array.ndim == 2 and array.size:
        return array[..., None]
    if array.ndim != 3 or not array.size:
        one = "; pass one photo at a time" if array.ndim == 4 else ""
        raise UserError(f"a photo is {array.dtype} {list(array.shape)}, expected {_EXPECTED}{one}")
    first, last = array.shape[0] in _CHANNELS, array.shape[2] in _CHANNELS
    if first == last:
        meaning = "could have its channels first or last" if first else "has no axis of 1, 3 or 4 channels"
        raise UserError(f"a photo is {array.dtype} {list(array.shape)}, which {meaning}; pass uint8 [height, width, 3]")
    return np.moveaxis(array, 0, 2) if first else array


def _levels(array: np.ndarray) -> np.ndarray:
    """Return values as uint8; UserError for a range that is no photo's, or of which it is not clear what is white."""
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if array.dtype == np.uint16 and (array.max() > 255 or not array.any()):
        return (array / 65535 * 255).round().astype(np.uint8)
    if not np.issubdtype(array.dtype, np.floating):
        unclear = f" up to {array.max()}, whose white is 255 or 65535" if array.dtype == np.uint16 else ""
        raise UserError(f"a photo has {array.dtype} values{unclear}; pass uint8, or floats from 0 to 1")
    low, high = float(array.min()), float(array.max())
    if not (low >= -_ROUNDING and high <= 1 + _ROUNDING):  # nor where some are no numbers
        raise UserError(f"a photo has floats from {low:g} to {high:g}, expected 0 to 1; {_remedy(low, high)}")
    return (array.clip(0, 1) * 255).round().astype(np.uint8)


def _remedy(low: float, high: float) -> str:
    if low >= -1 and high <= 1:
        return "if black is -1, pass (photo + 1) / 2"
    if low >= 0 and high <= 255:
        return "if white is 255, pass photo / 255"
    return "check what it holds"
