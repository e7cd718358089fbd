"""Pictures of many photos' predictions: photos read ahead, predicted, and their pictures written, all at a time."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from segmentation.predict.windows import Key, in_threads
from toolkit.errors import UserError
from toolkit.files.writing import replacing
from toolkit.pictures.any_photo import Photo
from toolkit.pictures.outlines import overlay
from toolkit.pictures.photo_folder import require_outside
from toolkit.pictures.photos import list_photos, read_photo

KINDS = ("mask", "soft", "overlay")
_PNG_LEVEL = 2  # three times as fast as Pillow's own 6; overlays grow by 6%, soft maps and masks by a third at most
_READ_AHEAD = 4
_UNWRITTEN_PIXELS = 2**22  # of photos whose pictures are being written while the next are predicted


class Predictor(Protocol):
    """A segmenter, whatever computes its network."""

    def predictions(
        self, photos: Iterable[tuple[Key, Photo]], *, refine: bool = False, bf16: bool = False
    ) -> Iterator[tuple[Key, np.ndarray, np.ndarray]]:
        """Yield the caller's key, the photo uint8 (H, W, 3), and its foreground probability (H, W), in order."""
        ...


@dataclass(frozen=True)
class Pictures:
    """Which pictures are made of a prediction, and the probability from which a pixel is foreground.

    `place` is the workplace where they are written first, if there is one for all.
    """

    kinds: Sequence[str]
    threshold: float = 0.5
    place: Path | None = None

    def write(self, target: Path, photo: np.ndarray, soft: np.ndarray) -> None:
        """Write the pictures of a photo uint8 (H, W, 3) and its probability (H, W) as `target`_KIND.png."""
        mask = soft >= self.threshold
        make = {
            "mask": lambda: mask.astype(np.uint8) * 255,
            "soft": lambda: (soft * 255).round().astype(np.uint8),
            "overlay": lambda: overlay(photo, mask),
        }
        for kind in self.kinds:
            with replacing(target.with_name(f"{target.name}_{kind}.png"), self.place) as temporary:
                Image.fromarray(make[kind]()).save(temporary, compress_level=_PNG_LEVEL)


def predict_photos(
    segmenter: Predictor, targets: Mapping[Path, Path], pictures: Pictures, refine: bool = False, bf16: bool = False
) -> Generator[UserError | None, None, None]:
    """Write the pictures of photos, {photo: output path without ending}; yield None, or what is wrong, for each.

    The next photos are read, and pictures written, by threads while the segmenter predicts. A photo that cannot be
    read may be reported before those ahead of it in the same window are written.
    """
    faults: deque[UserError] = deque()

    def readable() -> Iterator[tuple[Path, np.ndarray]]:
        for target, photo in zip(targets.values(), in_threads(reading, _read, targets, _READ_AHEAD), strict=True):
            if isinstance(photo, UserError):
                faults.append(photo)
            else:
                yield target, photo

    # One thread reads: several would race for the warning filters that read_photo sets.
    with ThreadPoolExecutor(1) as reading, ThreadPoolExecutor() as writing:
        predictions = segmenter.predictions(readable(), refine=refine, bf16=bf16)
        written = in_threads(
            writing, lambda each: pictures.write(*each), predictions, _UNWRITTEN_PIXELS, lambda each: each[2].size
        )
        for _ in written:
            while faults:
                yield faults.popleft()
            yield None
    yield from faults


def _read(path: Path) -> np.ndarray | UserError:
    try:
        return read_photo(path)
    except UserError as error:
        return error


def picture_targets(
    photos: Sequence[Path], out: Path, photos_in: Callable[[Path], Sequence[Path]] = list_photos
) -> dict[Path, Path]:
    """Return photo -> output path without ending, for photos and folders of them; these keep their inner structure.

    `photos_in` lists the photos of a folder. UserError for what is not there, and for two photos of one name.
    """
    targets: dict[Path, Path] = {}
    for path in photos:
        require_outside(out, path)
        if path.is_dir():
            targets |= {photo: out / photo.relative_to(path).with_suffix("") for photo in photos_in(path)}
        elif path.is_file():
            targets[path] = out / path.stem
        else:
            raise UserError(f"no photo at {path}; check the path")
    seen: dict[Path, Path] = {}
    for path, target in targets.items():
        first = seen.setdefault(target, path)
        if first is not path:
            raise UserError(f"{first} and {path} would both be written as {target.name}; predict them apart")
    return targets
