"""toolkit predict: masks, soft maps and overlays for one's own photos."""

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from cli.inputs.options import DEFAULT_SEGMENTER, DeviceOption, PrecisionOption, RefineOption, SegmenterOption, require
from cli.inputs.photo_folder import photos_in
from cli.listing import START, listed_in
from cli.runs.processes import ProcessesOption, engine_of
from cli.runs.progress import Bar, console
from toolkit.command_line import as_flags
from toolkit.imports import import_torch


@listed_in(
    START,
    "toolkit predict photo.jpg --out masks",
    "toolkit predict MY_PHOTOS --segmenter segmenter --write mask --out masks",
    formerly={"--model": "--segmenter"},
)
def predict(
    photos: Annotated[list[Path], typer.Argument(help="Photos, or folders of photos.")],
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")],
    segmenter: SegmenterOption = None,
    write: Annotated[
        str, typer.Option(help="What to write, comma-separated: mask, soft, overlay.")
    ] = "mask,soft,overlay",
    threshold: Annotated[float, typer.Option(help="Probability from which a pixel is foreground.", min=0, max=1)] = 0.5,
    refine: RefineOption = False,
    skip_unreadable: Annotated[bool, typer.Option("--skip-unreadable", help="Report broken photos and go on.")] = False,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    processes: ProcessesOption = 1,
) -> None:
    """Segment photos of any size; of several processes each writes the pictures of its share."""
    import_torch()
    from segmentation.predict.photos import KINDS, Pictures, picture_targets, predict_photos
    from segmentation.predict.segmenter import Segmenter
    from toolkit.files.workplace import workplace
    from toolkit.files.writing import writable_folder
    from toolkit.pictures.photos import read_photo

    kinds = list(dict.fromkeys(kind.strip() for kind in write.split(",")))
    require(bool(kinds) and set(kinds) <= set(KINDS), f"--write is {write!r}; choose from {', '.join(KINDS)}")
    targets = picture_targets(photos, out, photos_in)
    engine = engine_of(device, precision, processes)
    team = engine.team
    own = dict(list(targets.items())[team.rank :: team.size])
    opened = Segmenter.load(segmenter or DEFAULT_SEGMENTER).to(engine.device)
    if not skip_unreadable:
        read_photo(next(iter(targets)))  # before anything is made
    writable_folder(out)
    broken: list[str] = []
    with workplace(out) as place:
        job = predict_photos(opened, own, Pictures(kinds, threshold, place), refine, engine.bf16)
        with Bar("predicting", len(own), unit="photos") as bar, contextlib.closing(job):  # waits for its threads
            for fault in bar.over(job):
                if fault is not None and not skip_unreadable:
                    raise fault
                broken += [as_flags(fault.marked)] if fault is not None else []
    broken = [line for share in team.together(lambda: broken) for line in share]
    for line in broken:
        console.print(f"left out: {line}")
    require(len(broken) < len(targets), "none of the photos could be read")
    console.print(f"wrote {(len(targets) - len(broken)) * len(kinds)} pictures ({', '.join(kinds)}) to {out}")
