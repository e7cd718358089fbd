"""toolkit video: masks, overlays, cut-outs and composites of a clip, with its sound and its times."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.inputs import completion
from cli.inputs.options import (
    DEFAULT_SEGMENTER,
    DeviceOption,
    PrecisionOption,
    RefineOption,
    SegmenterOption,
    require,
    with_settings,
)
from cli.listing import START, listed_in
from cli.runs.progress import console, terminal
from cli.runs.runtimes import RuntimeOption, opened_for, runtime_of
from segmentation.video.settings import CLIP_KINDS, VideoSettings

if TYPE_CHECKING:
    from segmentation.video.work import Outcome, VideoWork


@with_settings(VideoSettings, with_torch=False)
@listed_in(
    START,
    "toolkit video clip.mp4 --out overlay.mp4",
    "toolkit video clip.mp4 --write cutout --out thing.webm",
)
def video(
    settings: VideoSettings,
    clip: Annotated[Path, typer.Argument(help="A clip: .mp4, .mov, .mkv, .webm, .gif and others.")],
    out: Annotated[
        Path,
        typer.Option(help="The clip to write: .mp4, .mkv, .webm or .mov; the same command again goes on with it."),
    ],
    write: Annotated[
        str,
        typer.Option(
            help=f"What to write: {', '.join(CLIP_KINDS)}; a cutout needs .webm, .mkv or .mov.",
            autocompletion=completion.one_of(CLIP_KINDS),
        ),
    ] = "overlay",
    segmenter: SegmenterOption = None,
    background: Annotated[
        str | None,
        typer.Option(
            help="What a composite lies on: a colour (a name or #rrggbb), a picture file, or blur.",
            show_default="white",
        ),
    ] = None,
    refine: RefineOption = False,
    skip_unreadable: Annotated[
        bool, typer.Option("--skip-unreadable", help="Omit broken frames, and take a clip that is cut short as it is.")
    ] = False,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    runtime: RuntimeOption = "auto",
) -> None:
    """Segment a clip frame by frame, smoothed over time; sound, times and frames' size are kept."""
    require(write in CLIP_KINDS, f"--write is {write!r}; choose one of {', '.join(CLIP_KINDS)}")
    require(
        background is None or write == "composite",
        "--background is what a composite lies on; give --write composite, or omit it",
    )
    name = segmenter or DEFAULT_SEGMENTER
    chosen = runtime_of(runtime, name)
    from segmentation.video.drawing import Drawing
    from segmentation.video.work import VideoWork
    from toolkit.clips.reading import open_clip
    from toolkit.pictures.grounds import WHITE_GROUND, ground_of

    ground = WHITE_GROUND if background is None else ground_of(background)
    drawing = Drawing(write, settings.threshold, ground)
    source = open_clip(clip)
    opened, bf16, _ = opened_for(chosen, name, device, precision, processes=1)
    work = VideoWork(opened, source, drawing, settings, device, refine, bf16, whole=not skip_unreadable, watch=terminal)
    note = work.form(out).note(source.size, out)
    outcome = work.carry_out(out)
    _say(work, outcome, out, note)


def _say(work: "VideoWork", outcome: "Outcome", out: Path, note: str | None) -> None:
    from segmentation.predict.unlike import unlike_line

    width, height = work.clip.size
    scenes = "1 scene" if outcome.scenes == 1 else f"{outcome.scenes} scenes"
    console.print(
        f"wrote {out}: {CLIP_KINDS[work.drawing.kind]} of {outcome.frames} frames in {scenes}, {width} x {height} "
        f"pixels, {work.form(out).title}, {out.stat().st_size / 1e6:.1f} MB"
    )
    if note:
        console.print(f"note: {note}")
    if outcome.omitted:
        codecs = ", ".join(outcome.omitted)
        console.print(f"note: the sound ({codecs}) is omitted, which {out.suffix} does not take; .mkv takes any")
    if line := unlike_line(outcome.familiarities, work.segmenter.known):
        console.print(f"warning: {line.replace('photos', 'frames')}")
