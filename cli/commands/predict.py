"""toolkit predict: masks, soft maps, overlays, cut-outs and composites of one's own photos."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.inputs.options import (
    DEFAULT_SEGMENTER,
    DeviceOption,
    PrecisionOption,
    RefineOption,
    SegmenterOption,
    require,
    with_settings,
)
from cli.inputs.photo_folder import photos_in
from cli.inputs.standard_streams import (
    DASH,
    photo_from_stdin,
    require_stdout_takes_files,
    speaking_on_stderr,
    to_stdout,
)
from cli.listing import START, listed_in
from cli.runs.processes import ProcessesOption
from cli.runs.progress import console, terminal
from cli.runs.runtimes import RuntimeOption, opened_for, runtime_of
from segmentation.objects.settings import ObjectSettings
from segmentation.predict.kinds import COCO, KINDS, OBJECTS, SUMMARY, TABLE, USUAL_KINDS
from toolkit.command_line import as_flags
from toolkit.compute.ranks import world_size

if TYPE_CHECKING:
    from segmentation.predict.photos import Pictures, Predictor
    from segmentation.predict.results import Results


@with_settings(ObjectSettings, with_torch=False)
@listed_in(
    START,
    "toolkit predict MY_PHOTOS --segmenter segmenter --refine --out masks",
    "toolkit predict photo.jpg --write cutout,composite --out cut",
    formerly={"--model": "--segmenter"},
)
def predict(
    settings: ObjectSettings,
    photos: Annotated[list[Path], typer.Argument(help="Photos, or folders of photos; - reads one from stdin.")],
    out: Annotated[Path, typer.Option(help="Folder for the pictures and their table; - writes one to stdout.")],
    segmenter: SegmenterOption = None,
    write: Annotated[str, typer.Option(help=f"What to write, comma-separated: {', '.join(KINDS)}.")] = ",".join(
        USUAL_KINDS
    ),
    background: Annotated[
        str | None,
        typer.Option(
            help="What composites lie on: a colour (a name or #rrggbb), a picture file, or blur.", show_default="white"
        ),
    ] = None,
    objects: Annotated[
        bool,
        typer.Option("--objects", help="Tell the things of a mask apart: labelled pictures and a COCO JSON of all."),
    ] = False,
    threshold: Annotated[float, typer.Option(help="Probability from which a pixel is foreground.", min=0, max=1)] = 0.5,
    refine: RefineOption = False,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Leave photos alone whose pictures and row of the table are there.")
    ] = False,
    skip_unreadable: Annotated[bool, typer.Option("--skip-unreadable", help="Report broken photos and go on.")] = False,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    processes: ProcessesOption = 1,
    runtime: RuntimeOption = "auto",
) -> None:
    """Segment photos of any size; of several processes each writes the pictures of its share."""
    kinds = list(dict.fromkeys(kind.strip() for kind in write.split(",")))
    require(bool(kinds) and set(kinds) <= set(KINDS), f"--write is {write!r}; choose from {', '.join(KINDS)}")
    if objects and OBJECTS not in kinds and out != DASH:
        kinds.append(OBJECTS)
    asked = settings if objects or OBJECTS in kinds else None
    require(
        asked is not None or settings == ObjectSettings(),
        "--min-object and --neck say how things are told apart; add --objects, or omit them",
    )
    require(
        background is None or "composite" in kinds,
        "--background is what composites lie on; add composite to --write, or omit it",
    )
    _require_one_where_piped(photos, out, kinds, skip_existing, processes)
    piped = photo_from_stdin() if photos == [DASH] else None
    name = segmenter or DEFAULT_SEGMENTER
    chosen = runtime_of(runtime, name)
    from segmentation.predict.photos import Pictures, picture_targets
    from segmentation.predict.results import Making
    from segmentation.predict.work import PredictionWork
    from toolkit.pictures.grounds import WHITE_GROUND, ground_of

    behind = WHITE_GROUND if background is None else ground_of(background)
    pictures = Pictures(kinds, threshold, ground=behind, objects=asked)
    targets = picture_targets(photos if piped is None else [], out, photos_in)
    targets |= {} if piped is None else {piped: out / "stdin"}
    opened, bf16, team = opened_for(chosen, name, device, precision, processes)
    if out == DASH:
        with speaking_on_stderr():
            _write_to_stdout(piped or photos[0], opened, pictures, refine, bf16)
        return
    ground = (background or "white") if "composite" in kinds else None
    making = Making(name, opened.digest(), threshold, refine, ground, **({} if asked is None else asked.as_dict()))
    work = PredictionWork(opened, pictures, making, out, bf16, skip_unreadable, team, terminal)
    results = work.carry_out(targets, skip_existing)
    _say(results, kinds, out)
    require(bool(results.rows), "none of the photos could be read")


def _require_one_where_piped(photos: list[Path], out: Path, kinds: list[str], skip: bool, processes: int) -> None:
    """Raise UserError where a standard stream stands for a path and does not go together with the rest."""
    if DASH not in photos and out != DASH:
        return
    require(len(photos) == 1, f"- stands for one photo, but {len(photos)} are named; predict it apart")
    require(processes == 1 == world_size(), "--processes shares photos, and - stands for one; omit the flag")
    require(not skip, "--skip-existing cannot know what comes or goes through -; omit it")
    if out == DASH:
        require(not photos[0].is_dir(), f"--out - writes one picture, but {photos[0]} is a folder; name a folder")
        require(
            len(kinds) == 1,
            f"--out - writes one picture, but --write asks for {', '.join(kinds)}; choose one, as --write cutout",
        )
        require_stdout_takes_files()


def _write_to_stdout(
    source: Path | io.BytesIO, segmenter: "Predictor", pictures: "Pictures", refine: bool, bf16: bool
) -> None:
    from segmentation.predict.results import PhotoResult
    from segmentation.predict.unlike import unlike_line
    from toolkit.pictures.photos import read_photo

    ((_, photo, soft, familiarity),) = segmenter.judged_predictions(
        [(None, read_photo(source))], refine=refine, bf16=bf16
    )
    (content,) = pictures.encoded(photo, soft)
    to_stdout(content)
    if note := PhotoResult.of(soft, pictures.threshold).note:
        console.print(f"the mask is {note}")
    if familiarity is not None and (line := unlike_line([familiarity])):
        console.print(f"warning: {line}")


def _say(results: "Results", kinds: Sequence[str], out: Path) -> None:
    """Print what was written, and what is odd about it."""
    for fault in results.left_out.values():
        console.print(f"left out: {as_flags(fault)}")
    if results.kept:
        photos = "1 photo" if results.kept == 1 else f"{results.kept} photos"
        console.print(f"skipped {photos} whose pictures and results are there")
    written = (len(results.rows) - results.kept) * len(kinds)
    files = f"{COCO}, {TABLE}" if OBJECTS in kinds else TABLE
    console.print(f"wrote {written} pictures ({', '.join(kinds)}), {files} and {SUMMARY} to {out}")
    if (count := results.objects()) is not None:
        console.print(f"found {count} {'thing' if count == 1 else 'things'} in {len(results.rows)} photos")
    for line in results.lines():
        console.print(line)
    if warning := results.warning():
        console.print(f"warning: {warning}")
