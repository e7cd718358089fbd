"""Pictures of many photos' predictions: photos read ahead, predicted, and their pictures written, all at a time."""

import io
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from segmentation.objects.coco_writing import labelled_picture
from segmentation.objects.finding import FoundObjects, find_objects
from segmentation.objects.settings import ObjectSettings
from segmentation.predict.kinds import OBJECTS
from segmentation.predict.results import PhotoResult
from segmentation.predict.windows import Judged, Key, in_threads, reading_ahead
from toolkit.command_line import command
from toolkit.errors import UserError
from toolkit.files.writing import replacing
from toolkit.pictures.any_photo import Photo
from toolkit.pictures.cutouts import composite, cut_out, levels, strips
from toolkit.pictures.grounds import WHITE_GROUND, Ground
from toolkit.pictures.outlines import overlay_of_things, overlay_rows
from toolkit.pictures.photo_folder import require_outside
from toolkit.pictures.photos import list_photos, read_photo
from toolkit.pictures.picture_files import CLIP_ENDINGS, Source, refuse_url
from toolkit.pictures.png import write_png

_LABELS_LEVEL = 2  # of zlib
_UNWRITTEN_PIXELS = 2**22  # of photos whose pictures are being written while the next are predicted


class Predictor(Protocol):
    """A segmenter, whatever computes its network."""

    def digest(self) -> str:
        """Return letters that identify its weights, for records."""
        ...

    @property
    def known(self) -> int:
        """Return how many of its training photos a photo is compared with; 0 where it remembers none."""
        ...

    def judged_predictions(
        self, photos: Iterable[tuple[Key, Photo]], *, refine: bool = False, bf16: bool = False
    ) -> Iterator[Judged[Key]]:
        """Yield the caller's key, the photo uint8 (H, W, 3), its foreground probability (H, W), and its familiarity."""
        ...


Rows = tuple[tuple[int, ...], Iterable[np.ndarray]]  # a picture's shape and its rows, some at a time
Drawn = Rows | tuple[Image.Image, PngInfo]


@dataclass(frozen=True)
class Pictures:
    """Which pictures are made of a prediction (segmentation.predict.kinds), and how.

    `threshold` is the probability from which a pixel is foreground, and `ground` lies behind it in composites. `place`
    is the workplace where they are written first, if there is one for all. With `objects` the things in each photo are
    found, as that says, and overlays show them.
    """

    kinds: Sequence[str]
    threshold: float = 0.5
    place: Path | None = None
    ground: Ground = WHITE_GROUND
    objects: ObjectSettings | None = None

    def write(self, target: Path, photo: np.ndarray, soft: np.ndarray, familiarity: float | None = None) -> PhotoResult:
        """Write the pictures of a photo uint8 (H, W, 3) and its probability (H, W); return what is measured of it."""
        found = self._found(soft)
        for path, drawn in zip(self.paths(target), self._drawn(photo, soft, found), strict=True):
            with replacing(path, self.place) as temporary, temporary.open("wb") as file:
                _save(file, drawn)
        return PhotoResult.of(soft, self.threshold, familiarity, None if found is None else len(found))

    def _found(self, soft: np.ndarray) -> FoundObjects | None:
        return None if self.objects is None else find_objects(soft, self.threshold, self.objects)

    def paths(self, target: Path) -> list[Path]:
        """Return where the pictures of each kind are written, `target`_KIND.png."""
        return [target.with_name(f"{target.name}_{kind}.png") for kind in self.kinds]

    def encoded(self, photo: np.ndarray, soft: np.ndarray) -> list[bytes]:
        """Return the pictures of each kind as the content of PNG files."""
        files = []
        for drawn in self._drawn(photo, soft, self._found(soft)):
            file = io.BytesIO()
            _save(file, drawn)
            files.append(file.getvalue())
        return files

    def _drawn(self, photo: np.ndarray, soft: np.ndarray, found: FoundObjects | None) -> Iterator[Drawn]:
        """Yield the picture of each kind, made as it is written; what several need is made once."""
        mask = soft >= self.threshold
        cut = cut_out(photo, soft, self.threshold) if {"cutout", "composite"} & set(self.kinds) else None
        make: dict[str, Callable[[], Rows]] = {
            "mask": lambda: (mask.shape, (mask[rows] * np.uint8(255) for rows in strips(mask.shape))),
            "soft": lambda: (mask.shape, (levels(soft[rows]) for rows in strips(mask.shape))),
            "overlay": lambda: (photo.shape, overlay_rows(photo, mask)),
        }
        if cut is not None:
            make["cutout"] = lambda: _whole(cut)
            make["composite"] = lambda: _whole(np.asarray(composite(cut, self.ground.behind(photo, cut[..., 3]))))
        if found is not None:
            things = [one.box for one in found.items]
            make["overlay"] = lambda: _whole(overlay_of_things(photo, found.labels, things))
        for kind in self.kinds:
            yield labelled_picture(found) if kind == OBJECTS and found is not None else make[kind]()


def _whole(pixels: np.ndarray) -> Rows:
    return pixels.shape, [pixels]


def _save(file: BinaryIO, drawn: Drawn) -> None:
    if isinstance(drawn[0], Image.Image):
        drawn[0].save(file, format="PNG", compress_level=_LABELS_LEVEL, pnginfo=drawn[1])
    else:
        write_png(file, *drawn)


Outcome = PhotoResult | UserError


def predict_photos(
    segmenter: Predictor,
    targets: Mapping[Source, Path],
    pictures: Pictures,
    refine: bool = False,
    bf16: bool = False,
    go_on: bool = True,
) -> Generator[tuple[Source, Outcome], None, None]:
    """Write the pictures of photos, {photo: output path without ending}; yield each with its result, or what is wrong.

    The next photos are read, and pictures written, by threads while the segmenter predicts. A photo that cannot be
    read may be reported before those ahead of it in the same window are written. Unless to `go_on`, the first such
    photo ends the reading, and comes last, so that the result of everything that was written is known.
    """
    faults: deque[tuple[Source, UserError]] = deque()

    def readable(found: Iterator[tuple[Source, np.ndarray | UserError]]) -> Iterator[tuple[Source, np.ndarray]]:
        for each in found:
            if isinstance(each[1], UserError):
                faults.append((each[0], each[1]))
                if not go_on:
                    return
            else:
                yield each[0], each[1]
            del each

    with (
        reading_ahead(targets, lambda source: (source, _read(source))) as (found, done),
        ThreadPoolExecutor() as writing,
    ):

        def write(predicted: Judged[Source]) -> tuple[Source, PhotoResult]:
            source, photo, soft, familiarity = predicted
            shape = photo.shape
            try:
                return source, pictures.write(targets[source], photo, soft, familiarity)
            finally:
                del predicted, photo, soft
                done(shape)

        predictions = segmenter.judged_predictions(readable(found), refine=refine, bf16=bf16)
        for written in in_threads(writing, write, predictions, _UNWRITTEN_PIXELS, lambda each: each[2].size):
            while faults and go_on:
                yield faults.popleft()
            yield written
    yield from faults


def _read(source: Source) -> np.ndarray | UserError:
    try:
        return read_photo(source)
    except UserError as error:
        return error


def _refuse_clip(path: Path) -> None:
    if path.suffix.lower() in CLIP_ENDINGS:
        following = command("video", path, "--out", f"{path.stem}_overlay.mp4")
        raise UserError(f"{path} is a clip, and no photo; try {following}")


def picture_targets(
    photos: Sequence[Path], out: Path, photos_in: Callable[[Path], Sequence[Path]] = list_photos
) -> dict[Source, Path]:
    """Return photo -> output path without ending, for photos and folders of them; these keep their inner structure.

    `photos_in` lists the photos of a folder. UserError for what is not there, and for two photos of one name.
    """
    targets: dict[Source, Path] = {}
    for path in photos:
        require_outside(out, path)
        if path.is_dir():
            targets |= {photo: out / photo.relative_to(path).with_suffix("") for photo in photos_in(path)}
        elif path.is_file():
            _refuse_clip(path)
            targets[path] = out / path.stem
        else:
            refuse_url(path)
            raise UserError(f"no photo at {path}; check the path")
    seen: dict[Path, Source] = {}
    for source, target in targets.items():
        first = seen.setdefault(target, source)
        if first is not source:
            raise UserError(f"{first} and {source} would both be written as {target.name}; predict them apart")
    return targets
