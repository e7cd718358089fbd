"""toolkit predict: masks, soft maps and overlays for one's own photos."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import DeviceOption, require
from cli.photo_folder import require_outside
from cli.progress import Bar, console
from toolkit.errors import UserError

_KINDS = ("mask", "soft", "overlay")


def predict(
    photos: Annotated[list[Path], typer.Argument(help="Photos, or folders of photos.")],
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")],
    model: Annotated[
        str, typer.Option(help="Segmenter: run folder, artefact, published U-Net file or shipped name.")
    ] = "flowers64",
    write: Annotated[
        str, typer.Option(help="What to write, comma-separated: mask, soft, overlay.")
    ] = "mask,soft,overlay",
    threshold: Annotated[float, typer.Option(help="Probability from which a pixel is foreground.", min=0, max=1)] = 0.5,
    refine: Annotated[bool, typer.Option("--refine/--no-refine", help="Guided filter on the photo's edges.")] = False,
    skip_unreadable: Annotated[bool, typer.Option("--skip-unreadable", help="Report broken photos and go on.")] = False,
    device: DeviceOption = "auto",
) -> None:
    """Segment photos of any size."""
    kinds = [kind.strip() for kind in write.split(",")]
    require(bool(kinds) and set(kinds) <= set(_KINDS), f"--write is {write!r}; choose from {', '.join(_KINDS)}")
    import numpy as np

    from cli.sources import open_segmenter
    from toolkit.engine import choose_engine
    from toolkit.files import writable_folder
    from toolkit.photos import read_photo, write_picture
    from toolkit.pixels import overlay

    paths = _targets(photos, out, kinds)
    segmenter = open_segmenter(model).to(choose_engine(device).device)
    if not skip_unreadable:
        read_photo(next(iter(paths)))  # before anything is made
    writable_folder(out)
    broken: list[str] = []
    with Bar("predicting", len(paths), unit="photos") as bar:
        for path, target in bar.over(paths.items()):
            try:
                pixels = read_photo(path)
            except UserError as error:
                if not skip_unreadable:
                    raise
                broken.append(str(error))
                continue
            soft = segmenter.probability(pixels, refine=refine)
            mask = soft >= threshold
            pictures = {
                "mask": mask.astype(np.uint8) * 255,
                "soft": (soft * 255).round().astype(np.uint8),
                "overlay": overlay(pixels, mask),
            }
            for kind in kinds:
                write_picture(target.with_name(f"{target.name}_{kind}.png"), pictures[kind])
    for line in broken:
        console.print(f"left out: {line}")
    require(len(broken) < len(paths), "none of the photos could be read")
    console.print(f"wrote {(len(paths) - len(broken)) * len(kinds)} pictures ({', '.join(kinds)}) to {out}")


def _targets(photos: list[Path], out: Path, kinds: list[str]) -> dict[Path, Path]:
    """Return photo -> output path without ending; folders keep their inner structure."""
    from toolkit.photos import list_photos

    targets: dict[Path, Path] = {}
    for given in photos:
        require_outside(out, given)
        if given.is_dir():
            targets |= {path: out / path.relative_to(given).with_suffix("") for path in list_photos(given)}
        else:
            require(given.is_file(), f"no photo at {given}; check the path")
            targets[given] = out / given.stem
    seen: dict[Path, Path] = {}
    for path, target in targets.items():
        first = seen.setdefault(target, path)
        require(first is path, f"{first} and {path} would both be written as {target.name}; predict them apart")
    return targets
