"""Things of photos as files: a labelled picture of each photo, and one COCO JSON of all of them.

Each picture carries the annotations of its things as text, so that the JSON is put together from the pictures' first
bytes: nothing but one photo's things is ever held, and a command that was stopped need not find them again.
"""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image, PngImagePlugin

from segmentation.objects.finding import FoundObjects
from toolkit.errors import UserError
from toolkit.files.names import written_name
from toolkit.files.writing import replacing
from toolkit.pictures.picture_files import opened
from toolkit.untrusted.text import guarded, parse_json

RECORD = "objects"  # the name of the text in a picture
CATEGORY = {"id": 1, "name": "object", "supercategory": "object"}
_FIELDS = {"bbox": list, "area": int, "score": float, "segmentation": dict}


def annotations_of(found: FoundObjects) -> list[dict[str, Any]]:
    """Return what COCO has of each thing but for its numbers, the confidence as `score`."""
    return [
        {
            "bbox": list(one.box),
            "area": one.area,
            "score": round(one.confidence, 6),
            "segmentation": one.rle(),
        }
        for one in found.items
    ]


def labelled_picture(found: FoundObjects) -> tuple[Image.Image, PngImagePlugin.PngInfo]:
    """Return the labels as a grey picture of 8 or 16 bits, and the text that it is to be saved with."""
    text = PngImagePlugin.PngInfo()
    text.add_text(RECORD, json.dumps(annotations_of(found), separators=(",", ":")))
    return Image.fromarray(np.ascontiguousarray(found.labels)), text


def recorded(path: Path) -> list[dict[str, Any]]:
    """Return the annotations in a labelled picture; UserError where it carries none."""
    with opened(path) as image:
        text, size = image.info.get(RECORD), list(image.size[::-1])
    advice = "predict its photo again"
    if not isinstance(text, str):
        raise UserError(f"{path} carries no annotations of things; {advice}")
    with guarded(f"the annotations in {path} cannot be read", advice):
        found = parse_json(text, str(path))
        whole = [{name: kind(one[name]) for name, kind in _FIELDS.items()} for one in found]
        if any(one["segmentation"]["size"] != size for one in whole):
            raise UserError(f"the annotations in {path} are of another picture; {advice}")
        return whole


def is_recorded(path: Path) -> bool:
    """Return whether there is a labelled picture with its annotations at `path`."""
    try:
        recorded(path)
    except UserError:
        return False
    return True


def write_coco(path: Path, photos: Iterable[tuple[str, tuple[int, int], Path]], info: dict[str, Any]) -> int:
    """Write the things of photos, (name, (width, height), labelled picture), as COCO JSON; return how many there are.

    A line each. `info` says how they were made.
    """
    with replacing(path) as temporary:
        beside = temporary.with_suffix(".annotations")
        with temporary.open("w", encoding="utf-8") as file, beside.open("w+", encoding="utf-8") as annotations:
            file.write(f'{{"info": {json.dumps(info)},\n"licenses": [],\n"categories": [{json.dumps(CATEGORY)}],\n')
            file.write('"images": [')
            count = _write_images(file, annotations, photos)
            file.write('],\n"annotations": [')
            annotations.seek(0)
            shutil.copyfileobj(annotations, file)
            file.write("]}\n")
    return count


def _write_images(file: IO[str], beside: IO[str], photos: Iterable[tuple[str, tuple[int, int], Path]]) -> int:
    """Write a line for each photo, and `beside` one for each of its things; return how many those are."""
    count = 0
    for image, (name, (width, height), picture) in enumerate(photos, start=1):
        entry = {"id": image, "file_name": written_name(name), "width": width, "height": height}
        file.write(_line(entry, first=image == 1))
        for annotation in recorded(picture):
            count += 1
            numbers = {"id": count, "image_id": image, "category_id": CATEGORY["id"], "iscrowd": 0}
            beside.write(_line({**numbers, **annotation}, first=count == 1))
    return count


def _line(entry: dict[str, Any], first: bool) -> str:
    return ("\n" if first else ",\n") + json.dumps(entry)
