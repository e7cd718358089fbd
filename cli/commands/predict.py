"""toolkit predict: masks, soft maps and overlays for one's own photos."""

import contextlib
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.inputs.options import DEFAULT_SEGMENTER, DeviceOption, PrecisionOption, require
from cli.inputs.photo_folder import photos_in, require_outside
from cli.runs.processes import ProcessesOption, engine_of
from cli.runs.progress import Bar, console
from toolkit.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from segmentation.predict.segmenter import Segmenter

_KINDS = ("mask", "soft", "overlay")
_PNG_LEVEL = 2  # three times as fast as Pillow's own 6; overlays grow by 6%, soft maps and masks by a third at most
_READ_AHEAD = 4
_UNWRITTEN_PIXELS = 2**22  # of photos whose pictures are being written while the next are predicted


def predict(
    photos: Annotated[list[Path], typer.Argument(help="Photos, or folders of photos.")],
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")],
    model: Annotated[
        str, typer.Option(help="Segmenter: run folder, artefact, published U-Net file or shipped name.")
    ] = DEFAULT_SEGMENTER,
    write: Annotated[
        str, typer.Option(help="What to write, comma-separated: mask, soft, overlay.")
    ] = "mask,soft,overlay",
    threshold: Annotated[float, typer.Option(help="Probability from which a pixel is foreground.", min=0, max=1)] = 0.5,
    refine: Annotated[bool, typer.Option("--refine/--no-refine", help="Guided filter on the photo's edges.")] = False,
    skip_unreadable: Annotated[bool, typer.Option("--skip-unreadable", help="Report broken photos and go on.")] = False,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    processes: ProcessesOption = 1,
) -> None:
    """Segment photos of any size; of several processes each writes the pictures of its share."""
    kinds = list(dict.fromkeys(kind.strip() for kind in write.split(",")))
    require(bool(kinds) and set(kinds) <= set(_KINDS), f"--write is {write!r}; choose from {', '.join(_KINDS)}")
    from cli.inputs.sources import open_segmenter
    from toolkit.files.workplace import workplace
    from toolkit.files.writing import writable_folder
    from toolkit.pictures.photos import read_photo

    targets = _targets(photos, out, kinds)
    engine = engine_of(device, precision, processes)
    team = engine.team
    own = dict(list(targets.items())[team.rank :: team.size])
    segmenter = open_segmenter(model).to(engine.device)
    if not skip_unreadable:
        read_photo(next(iter(targets)))  # before anything is made
    writable_folder(out)
    broken: list[str] = []
    with workplace(out) as place:
        job = predict_photos(segmenter, own, Pictures(kinds, threshold, place), refine, engine.bf16)
        with Bar("predicting", len(own), unit="photos") as bar, contextlib.closing(job):  # waits for its threads
            for fault in bar.over(job):
                if fault is not None and not skip_unreadable:
                    raise fault
                broken += [str(fault)] if fault is not None else []
    broken = [line for share in team.together(lambda: broken) for line in share]
    for line in broken:
        console.print(f"left out: {line}")
    require(len(broken) < len(targets), "none of the photos could be read")
    console.print(f"wrote {(len(targets) - len(broken)) * len(kinds)} pictures ({', '.join(kinds)}) to {out}")


@dataclass(frozen=True)
class Pictures:
    """Which pictures are made of a prediction, and the probability from which a pixel is foreground.

    `place` is the workplace where they are written first, if there is one for all.
    """

    kinds: Sequence[str]
    threshold: float = 0.5
    place: Path | None = None

    def write(self, target: Path, photo: "np.ndarray", soft: "np.ndarray") -> None:
        """Write the pictures of a photo uint8 (H, W, 3) and its probability (H, W) as `target`_KIND.png."""
        import numpy as np
        from PIL import Image

        from toolkit.files.writing import replacing
        from toolkit.pictures.pixels import overlay

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
    segmenter: "Segmenter", targets: Mapping[Path, Path], pictures: Pictures, refine: bool = False, bf16: bool = False
) -> Generator[UserError | None, None, None]:
    """Write the pictures of photos, {photo: output path without ending}; yield None, or what is wrong, for each.

    The next photos are read, and pictures written, by threads while the segmenter predicts. A photo that cannot be
    read may be reported before those ahead of it in the same window are written.
    """
    from segmentation.predict.inference import in_threads

    faults: deque[UserError] = deque()

    def readable() -> "Iterator[tuple[Path, np.ndarray]]":
        for target, photo in zip(targets.values(), in_threads(reading, _read, targets, _READ_AHEAD), strict=True):
            if isinstance(photo, UserError):
                faults.append(photo)
            else:
                yield target, photo

    # One thread reads: several would race for the warning filters that read_photo sets.
    with ThreadPoolExecutor(1) as reading, ThreadPoolExecutor() as writing:
        predictions = segmenter.predictions(readable(), refine=refine, bf16=bf16)
        written = in_threads(
            writing, lambda found: pictures.write(*found), predictions, _UNWRITTEN_PIXELS, lambda found: found[2].size
        )
        for _ in written:
            while faults:
                yield faults.popleft()
            yield None
    yield from faults


def _read(path: Path) -> "np.ndarray | UserError":
    from toolkit.pictures.photos import read_photo

    try:
        return read_photo(path)
    except UserError as error:
        return error


def _targets(photos: list[Path], out: Path, kinds: list[str]) -> dict[Path, Path]:
    """Return photo -> output path without ending; folders keep their inner structure."""
    targets: dict[Path, Path] = {}
    for given in photos:
        require_outside(out, given)
        if given.is_dir():
            targets |= {path: out / path.relative_to(given).with_suffix("") for path in photos_in(given)}
        else:
            require(given.is_file(), f"no photo at {given}; check the path")
            targets[given] = out / given.stem
    seen: dict[Path, Path] = {}
    for path, target in targets.items():
        first = seen.setdefault(target, path)
        require(first is path, f"{first} and {path} would both be written as {target.name}; predict them apart")
    return targets
