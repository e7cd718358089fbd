"""Clips on disk: what one holds, and its frames, one after another, upright and with their times.

Files are opened with a list of containers and by no way but the disk: left alone, FFmpeg takes a text file for a list
of other files and addresses, whatever its ending.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.clips.colours import Colours, Converter
from toolkit.clips.needs import pyav
from toolkit.errors import UserError, named
from toolkit.pictures.picture_files import PHOTO_ENDINGS, refuse_url
from toolkit.untrusted.text import existing_file, reason_of

_CONTAINERS = "mov,matroska,webm,avi,mpegts,mpeg,asf,flv,ogg,gif,apng,h264,hevc,m4v,mjpeg"
_LIMITS = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"}
_MOST_PIXELS = 2**26  # of a frame; an 8K film has half as many
_MISSING_SECONDS = 1.0  # at the end of a clip by which it may be shorter than its file says
_DIGESTED = 2**20  # bytes at either end
_USUAL_RATE = Fraction(25)


@dataclass(frozen=True)
class Clip:
    """What is known of a clip before its frames are read.

    `size` = (width, height) in pixels as it is shown, upright; `rate` in frames a second, which is an average where
    frames come unevenly; times of frames are whole numbers of `time_base` seconds, and begin where `start` seconds of
    the file are. `seconds` and `count` are what the file says of its length, which may be wrong, or 0 where it says
    nothing. `aspect` is the width of a pixel over its height. `sound` counts the streams of it.
    """

    path: Path
    size: tuple[int, int]
    rate: Fraction
    time_base: Fraction
    start: Fraction
    seconds: float
    count: int
    aspect: Fraction
    colours: Colours
    sound: int

    def digest(self) -> str:
        """Return letters that tell it from other files: of its length and of the bytes at either end."""
        size = self.path.stat().st_size
        digest = hashlib.sha256(str(size).encode())
        with self.path.open("rb") as handle:
            digest.update(handle.read(_DIGESTED))
            handle.seek(max(0, size - _DIGESTED))
            digest.update(handle.read(_DIGESTED))
        return digest.hexdigest()[:16]


@dataclass(frozen=True)
class Frame:
    """The picture uint8 (H, W, 3) of a clip's frame, which one it is, and its time in units of the clip's time base."""

    number: int
    time: int
    pixels: np.ndarray


def open_clip(path: Path) -> Clip:
    """Return what a clip holds, after its first frame was read; UserError for a file that is no clip or is damaged."""
    path = Path(path)
    refuse_url(path)
    existing_file(path, "clip")
    with opened(path) as container:
        stream = _video(container, path)
        first = next(_decoded(container, stream, path, whole=False), None)
        if first is None:
            raise UserError(f"{path} holds no frame that can be read: it is cut off or damaged; copy it again")
        width, height = first.width, first.height
        turned = _axes(first)[0][0] == 0
        aspect = stream.codec_context.sample_aspect_ratio or Fraction(1)
        rate = stream.average_rate or stream.guessed_rate or _USUAL_RATE
        seconds = _seconds(stream, container)
        return Clip(
            path,
            (height, width) if turned else (width, height),
            Fraction(rate),
            Fraction(stream.time_base),
            max(Fraction(0), Fraction(container.start_time or 0, pyav().time_base)),
            seconds,
            stream.frames or round(seconds * rate),
            1 / aspect if turned else aspect,
            Colours.of(first),
            len(container.streams.audio),
        )


def frames(clip: Clip, first: int = 0, whole: bool = True) -> Iterator[Frame]:
    """Yield the frames of a clip from number `first` on.

    All are decoded, since a file's table of where to enter it is not always true. UserError for a frame that cannot be
    decoded or has another size than the first, and for a clip that ends before its time; where it need not be `whole`
    such frames are omitted, and the clip ends where it ends.
    """
    with opened(clip.path) as container:
        stream = _video(container, clip.path)
        begin = round(clip.start / clip.time_base)
        step = max(1, round(1 / (clip.rate * clip.time_base)))
        number, time, converter = 0, -step, Converter()
        for decoded in _decoded(container, stream, clip.path, whole):
            # Files without times, or with some that do not rise, as broken cameras write them.
            at = time + step if decoded.pts is None else decoded.pts - begin
            time = max(at, time + 1)
            if number >= first:
                pixels = _upright(decoded, converter)
                if pixels.shape[1::-1] == clip.size:
                    yield Frame(number, time, pixels)
                elif whole:
                    raise _other_size(clip, pixels, number)
                else:
                    continue
            number += 1
        if whole:
            _require_end(clip, stream, float((time + step) * clip.time_base), number)


def _other_size(clip: Clip, pixels: np.ndarray, number: int) -> UserError:
    width, height = pixels.shape[1::-1]
    return UserError(
        f"{clip.path} is {clip.size[0]} x {clip.size[1]} pixels, but {width} x {height} from frame {number + 1} on; "
        "cut it there, into two clips"
    )


def _require_end(clip: Clip, stream: Any, seen: float, number: int) -> None:
    said = clip.seconds
    if said - seen > max(_MISSING_SECONDS, said / 100):
        raise UserError(
            f"{clip.path} ends after {seen:.1f} of {said:.1f} seconds, {number} frames: it is cut short; copy it "
            f"again, or take what there is with {named('skip_unreadable')}"
        )


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Yield the container in a file, closed afterwards; UserError for one that is none of those that are read."""
    av = pyav()
    try:
        container = av.open(f"file:{os.fspath(path)}", options=_LIMITS, metadata_errors="replace")
    except (av.FFmpegError, OSError, ValueError) as error:
        raise UserError(f"cannot read the clip {path}: {_what_it_is(path)}") from error
    with container:
        yield container


def _what_it_is(path: Path) -> str:
    if path.stat().st_size == 0:
        return "the file is empty; copy or download it again"
    if path.suffix.lower() in PHOTO_ENDINGS:
        return "it is a photo; use predict"
    return "it is no clip of a known format, or cut off or damaged; copy it again, or convert it to .mp4"


def _video(container: Any, path: Path) -> Any:
    """Return the stream of pictures, set up to be decoded by several threads; UserError where there is none."""
    streams = [one for one in container.streams.video if not one.disposition & _cover()]
    if not streams:
        raise UserError(f"{path} holds no moving pictures, only {_kinds(container)}; name a clip that does")
    stream = streams[0]
    context = stream.codec_context
    if context is None:
        raise UserError(f"{path} is in a format that cannot be decoded here; convert it to .mp4")
    if context.width * context.height > _MOST_PIXELS:
        raise UserError(
            f"{path} is {context.width} x {context.height} pixels, more than the {_MOST_PIXELS // 10**6} million a "
            "frame that are read; make it smaller"
        )
    stream.thread_type = "AUTO"
    return stream


def _cover() -> Any:
    return pyav().stream.Disposition.attached_pic


def _kinds(container: Any) -> str:
    return ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"


def _decoded(container: Any, stream: Any, path: Path, whole: bool) -> Iterator[Any]:
    """Yield decoded frames; UserError for one that cannot be, unless the clip need not be `whole`."""
    av = pyav()
    count = 0
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                return
            for frame in packet.decode():
                count += 1
                yield frame
        except (av.FFmpegError, ValueError, MemoryError) as error:
            if whole:
                raise UserError(
                    f"cannot read {path} beyond frame {count} ({reason_of(error)}): it is damaged; copy it again, or "
                    f"omit what is with {named('skip_unreadable')}"
                ) from error
            if isinstance(error, av.EOFError):
                return


def _seconds(stream: Any, container: Any) -> float:
    """Return how long the pictures last by what the file says, 0 where it does not."""
    if stream.duration is not None:
        return max(0.0, float(stream.duration * stream.time_base))
    tag = stream.metadata.get("DURATION", "")  # of Matroska, where the container's is that of the longest stream
    with contextlib.suppress(ValueError):
        hours, minutes, seconds = (float(part) for part in tag.split(":"))
        return max(0.0, hours * 3600 + minutes * 60 + seconds)
    if len(container.streams) == 1 and container.duration:
        return max(0.0, container.duration / pyav().time_base)
    return 0.0


def _upright(frame: Any, converter: Converter) -> np.ndarray:
    """Return a decoded frame as uint8 (H, W, 3), turned and mirrored as the file says."""
    pixels = converter.pixels_of(frame)
    right, down = _axes(frame)
    if right[0]:
        return np.ascontiguousarray(pixels[:: down[1], :: right[0]])
    return np.ascontiguousarray(pixels.transpose(1, 0, 2)[:: right[1], :: down[0]])


def _axes(frame: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return where a frame's way to the right and its way down go once it is shown, as (to the right, down)."""
    for held in frame.side_data:
        if held.type.name == "DISPLAYMATRIX":
            a, b, _, c, d = np.frombuffer(bytes(held), np.int32)[:5].tolist()
            if abs(a) >= abs(b):
                return (_sign(a), 0), (0, _sign(d))
            return (0, _sign(b)), (_sign(c), 0)
    return (1, 0), (0, 1)


def _sign(value: int) -> int:
    return -1 if value < 0 else 1
