"""The pictures of the page of `toolkit browse`, as encoded bytes."""

import io

import numpy as np
import torch
from PIL import Image

from discovery.charts import frames, walk
from discovery.picking.rendering import every_shift, rendered
from generators.protocol import Generator, Latents
from segmentation.predict.segmenter import Segmenter
from toolkit.compute.engine import Engine
from toolkit.directions import DirectionSet
from toolkit.errors import UserError
from toolkit.files.workplace import temporary_folder
from toolkit.masks.filters import large_components
from toolkit.masks.rules import MaskRule
from toolkit.pictures.photos import read_photo
from toolkit.pictures.picture_files import opened
from toolkit.pictures.pixels import grid, overlay, resize, to_bytes
from toolkit.streams import Stream

FRAMES_A_SIDE = 4
NUM_LATENTS = 5
_STRIP_SIDE = 128  # pixels of a frame; larger images are shrunk to it
_DETAIL_SIDE = 160  # pixels of a frame; smaller ones grow, so that the outline of a mask is fine
_PHOTO_SIDE = 1024  # pixels of the longer side of a photo as it is segmented and shown
_MOST_PIXELS = 50_000_000


class Pictures:
    """Renders what one generator makes of shifts. The first latent of a seed is the one that its strips show."""

    def __init__(self, generator: Generator, engine: Engine) -> None:
        self._generator = generator
        self._engine = engine

    def strip(self, directions: DirectionSet, index: int, reach: float, seed: int) -> bytes:
        """Return one row of frames along direction `index`, from -reach to reach, without gaps, as WebP."""
        shifts = walk(directions.vectors[index][None], reach, FRAMES_A_SIDE)[0].to(self._engine.device)
        with self._engine.autocast():
            images = frames(self._generator, self._latents(1, seed), shifts).float()
        side = min(_STRIP_SIDE, images.shape[-1])
        return webp(grid(to_bytes(resize(images, (side, side))), columns=len(images), gap=0))

    def shifted(
        self, directions: DirectionSet, shifts: list[tuple[int, float]], seed: int, rule: MaskRule | None
    ) -> bytes:
        """Return NUM_LATENTS columns of images as WebP: before, after the sum of `shifts`, and the mask by `rule`.

        `shifts` are pairs (direction, alpha). Without a rule there is no third row.
        """
        forth = torch.stack([directions.shift(index, alpha) for index, alpha in shifts]).sum(dim=0)
        back = torch.stack([directions.opposite_shift(index, alpha) for index, alpha in shifts]).sum(dim=0)
        latents = self._latents(NUM_LATENTS, seed)
        before, after, opposite = self._images(latents, torch.stack([0 * forth, forth, back]), rule)
        rows = [_shown(before), _shown(after)]
        if rule is not None:
            masks = large_components(rule(opposite if rule.opposed else before, after))
            soft = resize(masks[:, None].float(), (_DETAIL_SIDE, _DETAIL_SIDE))[:, 0]
            rows.append(overlay(rows[0], (soft > 0.5).cpu().numpy()))
        return webp(grid(np.concatenate(rows), columns=NUM_LATENTS, gap=0))

    def _images(self, latents: Latents, shifts: torch.Tensor, rule: MaskRule | None) -> tuple[torch.Tensor, ...]:
        """Return images at each of three shifts (3, D); the last ones are empty unless the rule is opposed."""
        needed = shifts if rule is not None and rule.opposed else shifts[:2]
        moved = every_shift(latents, needed.to(self._engine.device))
        with self._engine.autocast():
            images = torch.cat([part.float() for _, part in rendered(self._generator, moved)])
        return tuple(images[len(latents) * i : len(latents) * (i + 1)] for i in range(len(shifts)))

    def _latents(self, count: int, seed: int) -> Latents:
        return self._generator.sample(count, Stream(seed, "browse")).to(self._engine.device)


def segmented(segmenter: Segmenter, content: bytes, name: str) -> tuple[dict[str, bytes], float]:
    """Return the photo, its mask over it and its soft map as WebP, and the foreground's share of the photo.

    `content` is the photo's file, `name` what the user calls it. UserError when it cannot be read.
    """
    photo = _decoded(content, name)
    soft = segmenter.probability(photo)
    mask = soft >= 0.5
    pictures = {"photo": photo, "mask": overlay(photo, mask), "soft": (soft * 255).round().astype(np.uint8)}
    return {kind: webp(pixels) for kind, pixels in pictures.items()}, float(mask.mean())


def _decoded(content: bytes, name: str) -> np.ndarray:
    with temporary_folder() as folder:
        path = folder / "photo"
        path.write_bytes(content)
        try:
            with opened(path) as header:
                pixels = header.width * header.height
            photo = Image.fromarray(read_photo(path)) if pixels <= _MOST_PIXELS else None
        except UserError as error:
            raise UserError(str(error).replace(str(path), name)) from error
    if photo is None:
        raise UserError(f"{name} has {pixels / 1e6:.0f} megapixels; choose a photo of at most {_MOST_PIXELS / 1e6:.0f}")
    photo.thumbnail((_PHOTO_SIDE, _PHOTO_SIDE))
    return np.asarray(photo)


def _shown(images: torch.Tensor) -> np.ndarray:
    return to_bytes(resize(images, (_DETAIL_SIDE, _DETAIL_SIDE)))


def webp(pixels: np.ndarray) -> bytes:
    """Return uint8 pixels (H, W, 3) or (H, W) as the bytes of a WebP file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="WEBP", quality=90, method=2)
    return buffer.getvalue()
