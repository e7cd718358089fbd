"""A clip's prediction from its start, or from where it was stopped, to the file it becomes.

While it is under way, RESULT.parts lies beside RESULT: a run folder with the segments that are finished. Whatever ends
the process, the same command again goes on after the last of them, and the file comes out as from an unbroken one.
"""

import contextlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from segmentation.predict.photos import Predictor
from segmentation.predict.windows import in_threads
from segmentation.video.ahead import ahead
from segmentation.video.drawing import SEE_THROUGH, Drawing
from segmentation.video.progress import Progress, segment_file
from segmentation.video.settings import VideoSettings
from segmentation.video.smoothing import Smoothing
from toolkit.clips.formats import Format, format_of
from toolkit.clips.reading import Clip, Frame, frames
from toolkit.clips.writing import join, write_segment
from toolkit.errors import UserError
from toolkit.files.runs import RunFolder
from toolkit.files.workplace import workplace
from toolkit.files.writing import replacing
from toolkit.watch import SILENT, Advance, Stopped, Watch

_AHEAD = 8  # frames decoded while others are predicted
_DRAWN_PIXELS = 2**21  # of frames whose pictures are being drawn while the next are predicted
_LOOKED_AT = 25  # of so many frames one is compared with the segmenter's training photos
_MOST_COMPARED = 1000


@dataclass
class Outcome:
    """What came of a clip: frames and scenes, codecs of sound that were omitted, and how familiar its frames are.

    Of a clip that was resumed the latter are those of the frames after that.
    """

    frames: int = 0
    scenes: int = 0
    omitted: list[str] = field(default_factory=list)
    familiarities: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class _Made:
    """A frame with its picture, and the mean over time up to it."""

    frame: Frame
    picture: np.ndarray
    mean: np.ndarray


@dataclass
class VideoWork:
    """What is made of a clip, by which segmenter, and how; `engine` says in a word what computes."""

    segmenter: Predictor
    clip: Clip
    drawing: Drawing
    settings: VideoSettings
    engine: str = "cpu"
    refine: bool = False
    bf16: bool = False
    whole: bool = True
    watch: Watch = SILENT

    def carry_out(self, out: Path) -> Outcome:
        """Return what came of the clip, after writing `out`; UserError where it was begun with other settings.

        `toolkit.watch.Stopped` where the watch asked for a stop.
        """
        form = self.form(out)
        self._require_another(out)
        run = RunFolder.open(parts_of(out), self.settings, self._recorded(form), self.engine)
        try:
            progress = Progress.of(run.path)
            outcome = Outcome(progress.frames, progress.scenes)
            self._make_segments(run.path, out.suffix, form, progress, outcome)
            with replacing(out) as temporary:
                outcome.omitted = join(progress.segments(run.path, out.suffix), self.clip, temporary)
        finally:
            run.close()
        with workplace(out.resolve().parent) as place:  # which is gone at once, whatever is in it
            os.replace(run.path, place / "parts")
        return outcome

    def form(self, out: Path) -> Format:
        """Return what the clip is written as; UserError for an ending that does not go with what is drawn."""
        return format_of(out, self.drawing.kind == SEE_THROUGH, self.settings.quality)

    def _require_another(self, out: Path) -> None:
        if out.exists() and out.samefile(self.clip.path):
            raise UserError(f"{out} is the clip itself, which would be replaced; name another file")

    def _recorded(self, form: Format) -> dict[str, str]:
        own = {"clip": str(self.clip.path.resolve()), "clip_digest": self.clip.digest(), "codec": form.codec}
        computed = {"segmenter_digest": self.segmenter.digest(), "bf16": str(self.bf16).lower()}
        made = {"write": self.drawing.kind, "refine": str(self.refine).lower()}
        return {**own, **computed, **made, "background": self.drawing.ground_digest()}

    def _make_segments(self, folder: Path, ending: str, form: Format, progress: "Progress", outcome: Outcome) -> None:
        smoothing = Smoothing(self.settings.smoothing, self.settings.cut)
        source = self._frames(progress, smoothing)
        if progress.frames:
            self.watch.say(f"resuming at frame {progress.frames}")
        with (
            contextlib.closing(ahead(source, _AHEAD)) as coming,
            self.watch.bar("predicting", max(self.clip.count, 1), progress.frames, "frames") as advance,
            self.watch.stops() as stop_wanted,
        ):
            counting = _Counting(advance, self.clip.count - progress.frames)
            while (start := next(coming, None)) is not None:
                made = self._made(_from(start, islice(coming, self.settings.segment_frames - 1)), smoothing, outcome)
                last = self._write_segment(folder, ending, form, progress, made, counting, stop_wanted)
                progress.add(folder, last.frame.number + 1, smoothing.scenes, last.mean)
                outcome.frames, outcome.scenes = progress.frames, progress.scenes
            counting.end()
        if not progress.frames:
            raise UserError(f"{self.clip.path} holds no frames; name another clip")

    def _frames(self, progress: "Progress", smoothing: Smoothing) -> Iterator[Frame]:
        """Return the frames that are left; what is known of those before is given to the smoothing."""
        if not progress.frames:
            return frames(self.clip, 0, self.whole)
        left = frames(self.clip, progress.frames - 1, self.whole)
        before = next(left, None)
        height, width = self.clip.size[::-1]
        if before is None or progress.mean is None or progress.mean.size != height * width:
            raise UserError(f"{self.clip.path} is not the clip that this was begun with; name another file to write")
        smoothing.scenes = progress.scenes
        smoothing.go_on_from(before.pixels, self._seconds(before), progress.mean.reshape(height, width))
        return left

    def _seconds(self, frame: Frame) -> float:
        return float(frame.time * self.clip.time_base)

    def _made(self, source: Iterator[Frame], smoothing: Smoothing, outcome: Outcome) -> Iterator[_Made]:
        """Yield each frame with its picture, drawn by threads while the next are predicted."""

        def smoothed() -> Iterator[tuple[Frame, np.ndarray]]:
            keyed = ((frame, frame.pixels) for frame in source)
            found = self.segmenter.judged_predictions(keyed, refine=self.refine, bf16=self.bf16)
            for frame, _, probability, familiarity in found:
                if familiarity is not None and frame.number % _LOOKED_AT == 0:
                    outcome.familiarities = [*outcome.familiarities, familiarity][-_MOST_COMPARED:]
                yield frame, smoothing.after(frame.pixels, self._seconds(frame), probability)

        def draw(each: tuple[Frame, np.ndarray]) -> _Made:
            frame, mean = each
            return _Made(frame, self.drawing.drawn(frame.pixels, mean), mean)

        with ThreadPoolExecutor(2) as drawing:
            yield from in_threads(drawing, draw, smoothed(), _DRAWN_PIXELS, lambda each: each[1].size)

    def _write_segment(
        self,
        folder: Path,
        ending: str,
        form: Format,
        progress: "Progress",
        made: Iterator[_Made],
        counting: "_Counting",
        stop_wanted: Any,
    ) -> _Made:
        """Write one segment; return the last of what is in it."""
        latest: _Made | None = None

        def pictures() -> Iterator[tuple[int, np.ndarray]]:
            nonlocal latest
            for latest in made:
                if stop_wanted():
                    raise Stopped(f"at frame {progress.frames}")
                yield latest.frame.time, latest.picture
                counting.one()

        with replacing(folder / segment_file(progress.count, ending)) as temporary:
            write_segment(temporary, pictures(), self.clip, form)
        assert latest is not None
        return latest


def parts_of(out: Path) -> Path:
    """Return the folder that holds a clip's segments while it is being made."""
    return out.with_name(f"{out.name}.parts")


def _from(first: Frame, rest: Iterator[Frame]) -> Iterator[Frame]:
    yield first
    yield from rest


class _Counting:
    """Moves a bar on, as far as the clip's file says it goes, and to its end at the end: files are not always right."""

    def __init__(self, advance: Advance, left: int) -> None:
        self._advance, self._left = advance, left

    def one(self) -> None:
        if self._left > 1:
            self._advance()
            self._left -= 1

    def end(self) -> None:
        if self._left > 0:
            self._advance(self._left)
