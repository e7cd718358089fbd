"""Photos that the page of `toolkit browse` sends: segmented, or embedded as `toolkit embed` does."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import torch
from PIL import Image

from generators.encoder.embedding import Embedder, LatentRefiner, Refinement, embed_images
from generators.projection.photos import STEPS, PhotoProjector
from generators.protocol import Generator
from generators.styled import StyledGenerator
from segmentation.predict.segmenter import Segmenter
from segmentation.predict.unlike import unlike_line
from toolkit.compute.engine import Engine
from toolkit.errors import UserError
from toolkit.files.workplace import temporary_folder
from toolkit.pictures.outlines import outlined
from toolkit.pictures.photos import read_photo, read_square
from toolkit.pictures.picture_files import opened
from toolkit.pictures.pixels import from_bytes
from toolkit.streams import Stream
from toolkit.watch import Watch

_LONGER_SIDE = 1024  # pixels of a photo as it is segmented and shown
_SQUARE_SIDE = 256  # pixels of an embedded photo as it is shown
_MOST_PIXELS = 50_000_000
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class EmbeddedPhoto:
    """A photo's latent z (1, D) on the CPU, its centre square uint8 (H, H, 3), and the error of its reconstruction."""

    z: torch.Tensor
    square: np.ndarray
    error: float


class PhotoEmbedder(Protocol):
    """What embeds photos for the page; `note` is what the page says while it does."""

    note: str

    def embed(self, content: bytes, name: str, steps: int) -> EmbeddedPhoto:
        """Return the photo in a file's `content`, its latent refined by so many steps; `name` is its name in errors."""
        ...


class EncodedPhotos:
    """Estimates latents of photos as `toolkit embed` does with its defaults, in 32 bits."""

    note = ""

    def __init__(self, embedder: Embedder, generator: Generator, device: torch.device) -> None:
        self._embedder, self._generator, self._device = embedder, generator, device

    @cached_property
    def _refiner(self) -> LatentRefiner:
        return LatentRefiner(self._generator, self._embedder.image_size, self._device)

    def embed(self, content: bytes, name: str, steps: int) -> EmbeddedPhoto:
        """Return the photo in a file's `content`, its latent refined by so many steps; `name` is its name in errors."""
        read = partial(_read_squares, side=self._embedder.image_size)
        seen, shown = _read_upload(content, name, read)
        z, errors = embed_images(
            from_bytes(seen[None]).to(self._device),
            self._embedder,
            self._refiner,
            False,
            Refinement(steps),
            Stream(0, "embedding"),
        )
        return EmbeddedPhoto(z.cpu(), shown, float(errors["error"]))


class ProjectedPhotos:
    """Finds latents of photos in steps where a style-based generator has no encoder, as `--photo` does.

    Steps of refining come on top of those. The terminal shows how long it takes yet.
    """

    note = f"in {STEPS} steps or more; the terminal shows the time left"

    def __init__(self, generator: StyledGenerator, record: Mapping[str, str], engine: Engine, watch: Watch) -> None:
        self._open = partial(PhotoProjector, generator, record, engine, watch=watch)
        self._side = self._open(STEPS).side

    def embed(self, content: bytes, name: str, steps: int) -> EmbeddedPhoto:
        """Return the photo in a file's `content`, its latent refined by so many steps; `name` is its name in errors."""
        seen, shown = _read_upload(content, name, partial(_read_squares, side=self._side))
        z, (error,) = self._open(STEPS + steps).embed(seen[None])
        return EmbeddedPhoto(z, shown, error)


def segmented(segmenter: Segmenter, content: bytes, name: str) -> tuple[dict[str, np.ndarray], float, str | None]:
    """Return the photo, its outlined mask and its soft map as uint8 pixels, and the foreground's share of the photo.

    The last is what to say where the photo looks unlike the training photos. `content` is the photo's file, `name` what
    the user calls it. UserError when it cannot be read.
    """
    ((_, photo, soft, familiarity),) = segmenter.judged_predictions([(name, _read_upload(content, name, _read_shrunk))])
    mask = soft >= 0.5
    pictures = {"photo": photo, "mask": outlined(photo, mask), "soft": (soft * 255).round().astype(np.uint8)}
    return pictures, float(mask.mean()), None if familiarity is None else unlike_line([familiarity])


def _read_shrunk(path: Path) -> np.ndarray:
    photo = Image.fromarray(read_photo(path))
    photo.thumbnail((_LONGER_SIDE, _LONGER_SIDE))
    return np.asarray(photo)


def _read_squares(path: Path, side: int) -> tuple[np.ndarray, np.ndarray]:
    return read_square(path, side), read_square(path, _SQUARE_SIDE)


def _read_upload(content: bytes, name: str, read: Callable[[Path], T]) -> T:
    """Return what `read` makes of a photo's file; UserError with its `name` where it is none, or too large."""
    with temporary_folder() as folder:
        path = folder / "photo"
        path.write_bytes(content)
        try:
            with opened(path) as header:
                pixels = header.width * header.height
            if pixels > _MOST_PIXELS:
                most = _MOST_PIXELS / 1e6
                raise UserError(f"{path} has {pixels / 1e6:.0f} megapixels; choose a photo of at most {most:.0f}")
            return read(path)
        except UserError as error:
            raise UserError(error.marked.replace(str(path), name)) from error
