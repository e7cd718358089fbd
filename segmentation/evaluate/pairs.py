"""Photos (or predicted maps) and their masks, brought together by file name."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import overload

from segmentation.objects.coco_reading import ENDING, CocoFile
from segmentation.predict.kinds import KINDS
from toolkit.command_line import command
from toolkit.errors import UserError, named
from toolkit.pictures.photo_folder import PhotoFolder, open_folder

_SHOWN = 3


@dataclass(frozen=True)
class Pair:
    """The files of one image (a photo or a predicted map) and of its mask, and the name that results give them."""

    image: Path
    mask: Path
    key: str = field(default="", compare=False)

    @property
    def name(self) -> str:
        """Return what both files are called, without ending, and with folders where names alone do not differ."""
        return self.key or self.image.stem


@dataclass(frozen=True)
class Pairs(Sequence[Pair]):
    """Pairs in the order of the image paths, and the files that found no partner."""

    items: tuple[Pair, ...]
    unpaired_images: tuple[Path, ...] = ()
    extra_masks: tuple[Path, ...] = ()
    remarks: tuple[str, ...] = ()
    masks_folder: Path | None = None
    annotations: CocoFile | None = None  # that the masks are in, where they are no files of their own

    @overload
    def __getitem__(self, index: int) -> Pair: ...
    @overload
    def __getitem__(self, index: slice) -> "Pairs": ...
    def __getitem__(self, index: int | slice) -> "Pair | Pairs":
        return replace(self, items=self.items[index]) if isinstance(index, slice) else self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Pair]:
        return iter(self.items)

    def without_masks(self, masks: frozenset[Path], why: str) -> "Pairs":
        """Return the pairs whose mask is not among `masks`, with a remark on the others that says `why`."""
        dropped = [pair.mask for pair in self if pair.mask in masks]
        if not dropped:
            return self
        kept = tuple(pair for pair in self if pair.mask not in masks)
        return replace(self, items=kept, remarks=(*self.remarks, f"left out {len(dropped)} {why}: {_first(dropped)}"))

    def notes(self) -> list[str]:
        """Return one line for each kind of file left out, to be shown to the user; often none."""
        found = (
            ("images without a mask", self.unpaired_images),
            ("masks without an image", self.extra_masks),
        )
        return [*self.remarks, *(f"left out {len(paths)} {what}: {_first(paths)}" for what, paths in found if paths)]


@dataclass(frozen=True)
class _Named:
    """A file, and its place in the folder without ending, as one string whatever system composed its letters."""

    path: Path
    place: str

    @property
    def name(self) -> str:
        """Return its place without folders."""
        return self.place.rpartition("/")[2]


@dataclass(frozen=True)
class _Side:
    """One of both folders; `wanted` are the kinds of our own predictions that may stand for its files."""

    what: str
    wanted: Sequence[str]
    folder: PhotoFolder

    def files(self) -> list[_Named]:
        """Return the files by their names."""
        return [_Named(path, _place(path, self.folder.folder)) for path in self.folder.paths]

    def own_files(self) -> tuple[list[_Named], str] | None:
        """Return the predictions of the first kind wanted by their photos' names, and a remark on it.

        None where some file is not such a picture; UserError where none of them is of a kind wanted.
        """
        kinds = {kind: [file for file in self.files() if file.place.endswith(f"_{kind}")] for kind in KINDS}
        if sum(map(len, kinds.values())) < len(self.folder.paths):
            return None
        for kind in self.wanted:
            if chosen := kinds[kind]:
                rest = len(self.folder.paths) - len(chosen)
                remark = (
                    f"the {KINDS[kind]} of {command('predict')} below {self.folder.folder} are taken for {self.what}"
                )
                paired = [_Named(file.path, file.place.removesuffix(f"_{kind}")) for file in chosen]
                return paired, remark + (f", its {rest} other pictures are not" if rest else "")
        raise UserError(
            f"{self.folder.folder} holds only {_all_of(kinds)} of {command('predict')}, which are no {self.what}; "
            f"predict again with {named('write', self.wanted[0])}"
        )


def _all_of(files: Mapping[str, Sequence[_Named]]) -> str:
    """Return what pictures there are, by their kinds."""
    return " and ".join(KINDS[kind] for kind, found in files.items() if found)


def pair_folders(images: Path, masks: Path, ignore_unpaired: bool = False) -> Pairs:
    """Return the pairs of all images below `images` with the masks below `masks` of the same name.

    Names are compared without folder and ending, so a photo `a/1.JPG` goes with the mask `1.png`; where two files of a
    folder share a name, all are compared with their folders (as frames of videos are named). Pictures that
    `toolkit predict` wrote go by their photo's name. In place of a folder `masks` may be a file of COCO annotations
    (.json). Masks without an image are left out and reported. UserError when
    an image has no mask (with `ignore_unpaired` it is left out instead), when two files are named alike all the same,
    or when nothing pairs up.
    """
    masks = Path(masks)
    annotations = CocoFile.read(masks) if masks.suffix.lower() == ENDING and not masks.is_dir() else None
    image_side = _Side("images", ("soft", "mask", "objects"), open_folder(images))
    mask_side = _Side("masks", ("mask", "soft", "objects"), _folder(masks, annotations))
    remarks = [note for side in (image_side, mask_side) if (note := side.folder.note()) is not None]
    pairs = _paired(image_side.files(), mask_side.files())
    if pairs.unpaired_images:
        own = image_side.own_files(), mask_side.own_files()
        chosen = [
            side.files() if found is None else found[0]
            for side, found in zip((image_side, mask_side), own, strict=True)
        ]
        remarks += [found[1] for found in own if found is not None]
        pairs = _paired(*chosen)
    _require_paired(pairs, image_side, mask_side, ignore_unpaired)
    return replace(pairs, remarks=tuple(remarks), masks_folder=masks, annotations=annotations)


def _folder(masks: Path, annotations: CocoFile | None) -> PhotoFolder:
    """Return the folder of masks, or in its place the file that names their images."""
    return open_folder(masks) if annotations is None else PhotoFolder(masks, tuple(annotations.images), Counter())


def _place(path: Path, folder: Path) -> str:
    return unicodedata.normalize("NFC", path.relative_to(folder).with_suffix("").as_posix())


def _paired(images: list[_Named], masks: list[_Named]) -> Pairs:
    """Return the pairs by name, or by place where names do not differ, and the files without a partner."""
    by_place = any(len({file.name for file in files}) < len(files) for files in (images, masks))
    image_of, mask_of = _by_key(images, by_place, "images"), _by_key(masks, by_place, "masks")
    return Pairs(
        tuple(Pair(path, mask_of[key], key) for key, path in image_of.items() if key in mask_of),
        tuple(path for key, path in image_of.items() if key not in mask_of),
        tuple(path for key, path in mask_of.items() if key not in image_of),
    )


def _by_key(files: list[_Named], by_place: bool, what: str) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for file in files:
        key = file.place if by_place else file.name
        first = found.setdefault(key, file.path)
        if first is not file.path:
            raise UserError(
                f"two {what} are named {key}: {first} and {file.path}; give them different names, or name a "
                "folder that holds one of each"
            )
    return found


def _require_paired(pairs: Pairs, images: _Side, masks: _Side, ignore_unpaired: bool) -> None:
    unpaired, count = pairs.unpaired_images, len(pairs) + len(pairs.unpaired_images)
    if not pairs:
        raise UserError(
            f"none of the {count} images below {images.folder.folder} ({_first(unpaired)}) has a mask below "
            f"{masks.folder.folder} ({_first(pairs.extra_masks)}); both need the same name but for the ending"
        )
    if unpaired and not ignore_unpaired:
        raise UserError(
            f"{len(unpaired)} of the {count} images below {images.folder.folder} have no mask of the same name "
            f"below {masks.folder.folder}: {_first(unpaired)}; add the masks, or give {named('ignore_unpaired')}"
        )


def _first(paths: Iterable[Path]) -> str:
    names = [path.name for path in paths]
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
