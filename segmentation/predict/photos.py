"""Pictures of many photos' predictions: photos read ahead, predicted, and their pictures written, all at a time."""

import io
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from segmentation.objects.coco_writing import labelled_picture
from segmentation.objects.finding import FoundObjects, find_objects
from segmentation.objects.settings import ObjectSettings
from segmentation.predict.kinds import OBJECTS
from segmentation.predict.results import PhotoResult
from segmentation.predict.windows import Judged, Key, in_threads
from toolkit.command_line import command
from toolkit.errors import UserError
from toolkit.files.writing import replacing
from toolkit.pictures.any_photo import Photo
from toolkit.pictures.cutouts import composite, cut_out, levels
from toolkit.pictures.grounds import WHITE_GROUND, Ground
from toolkit.pictures.outlines import overlay, overlay_of_things
from toolkit.pictures.photo_folder import require_outside
from toolkit.pictures.photos import list_photos, read_photo
from toolkit.pictures.picture_files import CLIP_ENDINGS, Source, refuse_url

_PNG_LEVEL = 2  # three times as fast as Pillow's own 6; overlays grow by 6%, soft maps and masks by a third at most
_READ_AHEAD = 4
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
        for path, (picture, text) in zip(self.paths(target), self._drawn(photo, soft, found), strict=True):
            with replacing(path, self.place) as temporary:
                picture.save(temporary, compress_level=_PNG_LEVEL, pnginfo=text)
        return PhotoResult.of(soft, self.threshold, familiarity, None if found is None else len(found))

    def _found(self, soft: np.ndarray) -> FoundObjects | None:
        return None if self.objects is None else find_objects(soft, self.threshold, self.objects)

    def paths(self, target: Path) -> list[Path]:
        """Return where the pictures of each kind are written, `target`_KIND.png."""
        return [target.with_name(f"{target.name}_{kind}.png") for kind in self.kinds]

    def _drawn(
        self, photo: np.ndarray, soft: np.ndarray, found: FoundObjects | None
    ) -> Iterator[tuple[Image.Image, PngInfo | None]]:
        """Yield the picture of each kind, and the text it is saved with; what several need is made once."""
        mask = soft >= self.threshold
        cut = cut_out(photo, soft, self.threshold) if {"cutout", "composite"} & set(self.kinds) else None
        make: dict[str, Callable[[], np.ndarray | Image.Image]] = {
            "mask": lambda: mask.astype(np.uint8) * 255,
            "soft": lambda: levels(soft),
            "overlay": lambda: overlay(photo, mask),
        }
        if cut is not None:
            make["cutout"] = lambda: cut
            make["composite"] = lambda: composite(cut, self.ground.behind(photo, cut[..., 3]))
        if found is not None:
            make["overlay"] = lambda: overlay_of_things(photo, found.labels, [one.box for one in found.items])
        for kind in self.kinds:
            if kind == OBJECTS and found is not None:
                yield labelled_picture(found)
            else:
                made = make[kind]()
                yield made if isinstance(made, Image.Image) else Image.fromarray(made), None

    def encoded(self, photo: np.ndarray, soft: np.ndarray) -> list[bytes]:
        """Return the pictures of each kind as the content of PNG files."""
        files = []
        for picture, text in self._drawn(photo, soft, self._found(soft)):
            file = io.BytesIO()
            picture.save(file, format="PNG", compress_level=_PNG_LEVEL, pnginfo=text)
            files.append(file.getvalue())
        return files


Outcome = PhotoResult | UserError


def predict_photos(
    segmenter: Predictor, targets: Mapping[Source, Path], pictures: Pictures, refine: bool = False, bf16: bool = False
) -> Generator[tuple[Source, Outcome], None, None]:
    """Write the pictures of photos, {photo: output path without ending}; yield each with its result, or what is wrong.

    The next photos are read, and pictures written, by threads while the segmenter predicts. A photo that cannot be
    read may be reported before those ahead of it in the same window are written.
    """
    faults: deque[tuple[Source, UserError]] = deque()

    def readable() -> Iterator[tuple[Source, np.ndarray]]:
        for source, photo in zip(targets, in_threads(reading, _read, targets, _READ_AHEAD), strict=True):
            if isinstance(photo, UserError):
                faults.append((source, photo))
            else:
                yield source, photo

    def write(predicted: Judged[Source]) -> tuple[Source, PhotoResult]:
        source, photo, soft, familiarity = predicted
        return source, pictures.write(targets[source], photo, soft, familiarity)

    # One thread reads: several would race for the warning filters that read_photo sets.
    with ThreadPoolExecutor(1) as reading, ThreadPoolExecutor() as writing:
        predictions = segmenter.judged_predictions(readable(), refine=refine, bf16=bf16)
        for written in in_threads(writing, write, predictions, _UNWRITTEN_PIXELS, lambda each: each[2].size):
            while faults:
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
