"""Using a segmenter on clips: video."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from segmentation.predict.onnx_segmenter import ENDING, OnnxSegmenter
from segmentation.video.drawing import Drawing
from segmentation.video.settings import CLIP_KINDS, VideoSettings
from segmentation.video.work import Outcome, VideoWork
from toolkit.clips.reading import open_clip
from toolkit.errors import UserError, named
from toolkit.pictures.any_photo import Photo
from toolkit.pictures.grounds import WHITE_GROUND, ground_of
from toolkit.screen import watch_of

if TYPE_CHECKING:
    from segmentation.predict.segmenter import Segmenter

DEFAULT = "flowers64"  # the shipped segmenter
Where = str | os.PathLike[str]
AnySegmenter = Union["Segmenter", OnnxSegmenter, Where]


def video(
    clip: Where,
    out: Where,
    segmenter: AnySegmenter = DEFAULT,
    *,
    write: str = "overlay",
    background: Photo | tuple[int, int, int] | None = None,
    refine: bool = False,
    skip_unreadable: bool = False,
    settings: VideoSettings | None = None,
    device: str = "auto",
    precision: str = "auto",
    progress: bool = False,
    **changes: Any,
) -> Outcome:
    """Return what came of a clip, after writing another of it: `toolkit video` as a function.

    `write` is one of "mask", "soft", "overlay", "cutout" (to .webm, .mkv or .mov) and "composite", which lies on
    `background` (see `cutout`). `changes` are fields of VideoSettings, such as `smoothing=0`. The same call goes on
    where one was stopped. UserError for a clip that cannot be read, or was begun with other settings.

    >>> video("clip.mp4", "thing.webm", write="cutout")  # doctest: +SKIP
    Outcome(frames=300, scenes=4, ...)
    """
    chosen = VideoSettings.of(settings, None, changes)
    if write not in CLIP_KINDS:
        raise UserError(f"{named('write')} is {write!r}; choose one of {', '.join(CLIP_KINDS)}")
    ground = WHITE_GROUND if background is None else ground_of(background)
    source = open_clip(Path(clip))
    opened, bf16 = _opened(segmenter, device, precision)
    work = VideoWork(
        opened,
        source,
        Drawing(write, chosen.threshold, ground),
        chosen,
        device,
        refine,
        bf16,
        whole=not skip_unreadable,
        watch=watch_of(progress),
    )
    return work.carry_out(Path(out))


def _opened(segmenter: AnySegmenter, device: str, precision: str) -> "tuple[Segmenter | OnnxSegmenter, bool]":
    """Return a segmenter on its device, and whether it computes in bfloat16; onnx files do without torch."""
    if isinstance(segmenter, OnnxSegmenter):
        return segmenter, False
    if isinstance(segmenter, str | os.PathLike) and Path(segmenter).suffix.lower() == ENDING:
        return OnnxSegmenter.load(segmenter), False
    from segmentation.predict.segmenter import Segmenter
    from toolkit.compute.engine import choose_engine

    engine = choose_engine(device, precision)
    opened = segmenter if isinstance(segmenter, Segmenter) else Segmenter.load(segmenter)
    return opened.to(engine.device), engine.bf16
