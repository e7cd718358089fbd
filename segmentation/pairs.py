"""Photos (or predicted maps) and their masks, brought together by file name."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
from PIL import Image

from toolkit.errors import UserError
from toolkit.photos import list_photos, read_gray

_SHOWN = 3


@dataclass(frozen=True)
class Pair:
    """The files of one image (a photo or a predicted map) and of its mask."""

    image: Path
    mask: Path

    @property
    def name(self) -> str:
        """Return the name both files share, without ending."""
        return self.image.stem


@dataclass(frozen=True)
class Pairs(Sequence[Pair]):
    """Pairs in the order of the image paths, and the files that found no partner."""

    items: tuple[Pair, ...]
    unpaired_images: tuple[Path, ...] = ()
    extra_masks: tuple[Path, ...] = ()

    @overload
    def __getitem__(self, index: int) -> Pair: ...
    @overload
    def __getitem__(self, index: slice) -> "Pairs": ...
    def __getitem__(self, index: int | slice) -> "Pair | Pairs":
        if isinstance(index, slice):
            return Pairs(self.items[index], self.unpaired_images, self.extra_masks)
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Pair]:
        return iter(self.items)

    def notes(self) -> list[str]:
        """Return one line for each kind of file left out, to be shown to the user; often none."""
        found = (
            ("images without a mask", self.unpaired_images),
            ("masks without an image", self.extra_masks),
        )
        return [f"left out {len(paths)} {what}: {_first(paths)}" for what, paths in found if paths]


def pair_folders(images: Path, masks: Path, ignore_unpaired: bool = False) -> Pairs:
    """Return the pairs of all images below `images` with the masks below `masks` of the same name.

    Names are compared without folder and ending, so a photo `a/1.JPG` goes with the mask `1.png`. Masks
    without an image are left out and reported. UserError when an image has no mask (with `ignore_unpaired` it
    is left out instead), when two files in one folder share a name, or when nothing pairs up.
    """
    image_of, mask_of = _by_stem(list_photos(images), "images"), _by_stem(list_photos(masks), "masks")
    unpaired = tuple(path for stem, path in image_of.items() if stem not in mask_of)
    items = tuple(Pair(path, mask_of[stem]) for stem, path in image_of.items() if stem in mask_of)
    if not items:
        raise UserError(
            f"none of the {len(image_of)} images below {images} ({_first(image_of.values())}) has a mask "
            f"below {masks} ({_first(mask_of.values())}); both need the same name but for the ending"
        )
    if unpaired and not ignore_unpaired:
        raise UserError(
            f"{len(unpaired)} of the {len(image_of)} images below {images} have no mask of the same name "
            f"below {masks}: {_first(unpaired)}; add the masks, or give --ignore-unpaired"
        )
    return Pairs(items, unpaired, tuple(path for stem, path in mask_of.items() if stem not in image_of))


def read_truth(pair: Pair, size: tuple[int, int], threshold: float = 0.5, resize: bool = False) -> np.ndarray:
    """Return the pair's mask as bool (H, W): its first channel, at least `threshold` of full white.

    `size` is the image's (height, width). A mask of another size is a UserError, or with `resize` brought to
    it by nearest neighbours. UserError also for a mask of the codes 0 and 1, which would read as empty.
    """
    codes = read_gray(pair.mask)
    if codes.max() == 1:
        raise UserError(
            f"the mask {pair.mask} holds only the codes 0 and 1; multiply by 255: masks are black and white"
        )
    if codes.shape != size:
        if not resize:
            raise UserError(
                f"the mask {pair.mask} is {codes.shape[1]} x {codes.shape[0]} pixels, but {pair.image} is "
                f"{size[1]} x {size[0]}; give a mask of the same size, or --resize-masks"
            )
        codes = np.asarray(Image.fromarray(codes).resize((size[1], size[0]), Image.Resampling.NEAREST))
    return codes >= threshold * 255


def _by_stem(paths: list[Path], what: str) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in paths:
        first = found.setdefault(path.stem, path)
        if first is not path:
            raise UserError(f"two {what} are named {path.stem}: {first} and {path}; names have to differ, remove one")
    return found


def _first(paths: Iterable[Path]) -> str:
    names = [path.name for path in paths]
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
