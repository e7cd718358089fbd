"""COCO's annotations as they come from anybody's tool: sizes, numbers and names are checked before they are used.

No name in such a file is ever opened: it is compared with the names of photos that the user named.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from segmentation.objects.polygons import outline_spans
from segmentation.objects.runs import read_counts, spans_of
from toolkit.errors import UserError
from toolkit.files.writing import read_json
from toolkit.pictures.picture_files import MOST_PIXELS

_MOST_SPANS = 2**22  # of one image: what its annotations may take once they are decoded
ENDING = ".json"


@dataclass(frozen=True)
class CocoAnnotation:
    """One thing: what messages call it, its category, whether it is a crowd, its score if it has one, its form."""

    where: str
    category: int
    crowd: bool
    score: float | None
    segmentation: Any

    def spans(self, shape: tuple[int, int]) -> list[np.ndarray]:
        """Return the spans (N, 2) of pixels, column by column, whose union it is; UserError for what is none."""
        form = self.segmentation
        if isinstance(form, list) and form:
            return [outline_spans(points, shape, self.where) for points in form]
        if isinstance(form, dict) and isinstance(form.get("counts"), str | list):
            if form.get("size") != list(shape):
                raise UserError(
                    f"{self.where} is of a picture of height and width {form.get('size')}, but its image has "
                    f"{list(shape)}; correct one of both"
                )
            return [spans_of(read_counts(form["counts"], shape, self.where))]
        raise UserError(f"{self.where} has no segmentation, neither outlines nor run-lengths; boxes alone are no masks")


@dataclass(frozen=True)
class CocoImage:
    """One image, (H, W) pixels large, and its annotations."""

    name: str
    shape: tuple[int, int]
    annotations: list[CocoAnnotation]

    def spans(self) -> list[list[np.ndarray]]:
        """Return the spans of each annotation; UserError for one that cannot be read, or for far too many."""
        found, total = [], 0
        for annotation in self.annotations:
            found.append(annotation.spans(self.shape))
            total += sum(map(len, found[-1]))
            if total > _MOST_SPANS:
                raise UserError(f"{annotation.where} is one too many: {self.name} has more outlines than any photo")
        return found


@dataclass(frozen=True)
class CocoFile:
    """A file of annotations: its images by a path below the file, which names them in messages, and its categories.

    `strays` counts annotations of images that are not in the file.
    """

    path: Path
    images: Mapping[Path, CocoImage]
    categories: frozenset[int]
    strays: int = 0

    @classmethod
    def read(cls, path: Path) -> "CocoFile":
        """Return what a file holds; UserError for what is no such file, or contradicts itself."""
        held = read_json(path)
        if not isinstance(held, dict) or not all(
            isinstance(held.get(name), list) for name in ("images", "annotations")
        ):
            raise UserError(
                f"{path} is no file of COCO annotations, which has lists of images and annotations; check it"
            )
        images: dict[int | str, CocoImage] = {}
        for number, entry in enumerate(held["images"]):
            identity = _identity(entry, "id", f"image {number} of {path}")
            if identity in images:
                raise UserError(f"{path} has two images of the id {identity!r}; correct it")
            images[identity] = _image(entry, f"image {identity!r} of {path}")
        strays = _annotate(images, held["annotations"], path)
        named: dict[Path, CocoImage] = {}
        for image in images.values():
            if named.setdefault(path / image.name.lstrip("/"), image) is not image:
                raise UserError(f"{path} has two images named {image.name}; correct it")
        categories = frozenset(one.category for image in images.values() for one in image.annotations)
        return cls(path, named, categories, strays)


def _identity(entry: Any, name: str, where: str) -> int | str:
    value = entry.get(name) if isinstance(entry, dict) else None
    if isinstance(value, float) and value.is_integer():  # as tools write it for which all numbers are floats
        return int(value)
    if type(value) not in (int, str):
        said = "no" if value is None else f"{value!r:.40} as its"
        raise UserError(f"{where} has {said} {name}; check that it is a file of COCO annotations")
    return value  # type: ignore[return-value]


def _image(entry: dict[str, Any], where: str) -> CocoImage:
    name, width, height = entry.get("file_name"), entry.get("width"), entry.get("height")
    if not isinstance(name, str) or not name.strip("/") or "\0" in name or ".." in PurePosixPath(name).parts:
        raise UserError(f"{where} is named {name!r}, which is no name of a photo; correct it")
    if type(width) is not int or type(height) is not int or min(width, height) < 1 or width * height > MOST_PIXELS:
        raise UserError(f"{where} has a size of {width!r} x {height!r} pixels, which no photo here has; correct it")
    return CocoImage(name, (height, width), [])


def _annotate(images: Mapping[int | str, CocoImage], annotations: list[Any], path: Path) -> int:
    """Hand each annotation to its image; return how many have none. UserError for numbers that are there twice."""
    seen: set[int | str] = set()
    strays: dict[int | str, int] = defaultdict(int)
    for number, entry in enumerate(annotations):
        identity = _identity(entry, "id", f"annotation {number} of {path}")
        where = f"annotation {identity!r} of {path}"
        if identity in seen:
            raise UserError(f"{path} has two annotations of the id {identity!r}; correct it")
        seen.add(identity)
        owner = _identity(entry, "image_id", where)
        category, crowd, score = (entry.get(name, usual) for name, usual in _USUAL.items())
        if type(category) is not int or crowd not in (0, 1) or type(score) not in (int, float, type(None)):
            raise UserError(f"{where} has a category_id, iscrowd or score that is no number of that kind; correct it")
        if owner in images:
            made = CocoAnnotation(where, category, bool(crowd), score, entry.get("segmentation"))
            images[owner].annotations.append(made)
        else:
            strays[owner] += 1
    return sum(strays.values())


_USUAL = {"category_id": 1, "iscrowd": 0, "score": None}
