"""Files of what is made of a clip: segments of pictures, and the whole, joined of them without encoding anew."""

import contextlib
import heapq
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.clips.colours import Converter
from toolkit.clips.formats import Format
from toolkit.clips.needs import pyav
from toolkit.clips.reading import Clip, opened
from toolkit.errors import UserError
from toolkit.untrusted.text import reason_of

_STEADY = {"fflags": "+bitexact"}  # no random numbers and dates: the same pictures give the same file
_EDITED = (".mp4", ".mov")  # whose first picture's time is kept in units that are milliseconds unless told otherwise
_KEPT_TAGS = ("language", "title", "alpha_mode")  # the last says that Matroska's pictures have transparency
_LAYOUTS = {2: "gray", 3: "rgb24", 4: "rgba"}  # by the picture's axes or channels


def write_segment(path: Path, pictures: Iterable[tuple[int, np.ndarray]], clip: Clip, form: Format) -> None:
    """Write pictures, each with its time in the clip's time base, as a file.

    A picture is uint8 (H, W) grey, (H, W, 3) or (H, W, 4), of the clip's size. UserError where the codec refuses it.
    """
    av = pyav()
    with av.open(str(path), "w", options=_options(path, clip)) as container:
        stream = container.add_stream(form.codec, rate=clip.rate, options=dict(form.options))
        stream.width, stream.height = clip.size
        stream.pix_fmt = form.pixels_for(clip.size)
        stream.time_base = stream.codec_context.time_base = clip.time_base
        stream.codec_context.sample_aspect_ratio = clip.aspect
        stream.codec_context.thread_type = "AUTO"
        clip.colours.tag(stream.codec_context)
        with _refused_by(form, clip):
            stream.codec_context.open()
        converter = Converter()
        for time, picture in pictures:
            layout = _LAYOUTS[picture.ndim if picture.ndim == 2 else picture.shape[2]]
            raw = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format=layout)
            frame = clip.colours.encodable(raw, stream.pix_fmt, converter)
            frame.pts, frame.time_base = time, clip.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _options(path: Path, clip: Clip) -> dict[str, str]:
    units = {"movie_timescale": str(clip.time_base.denominator)} if path.suffix.lower() in _EDITED else {}
    return {**_STEADY, **units}


@contextlib.contextmanager
def _refused_by(form: Format, clip: Clip) -> Iterator[None]:
    av = pyav()
    try:
        yield
    except (av.FFmpegError, ValueError) as error:
        width, height = clip.size
        raise UserError(
            f"{form.title} cannot be written at {width} x {height} pixels ({reason_of(error)}); name a file of another "
            "format, or make the clip smaller"
        ) from error


def join(segments: Sequence[Path], clip: Clip, path: Path) -> list[str]:
    """Write segments one after another as one file, with the clip's sound as it is.

    Return the codecs of sound that the file's format does not take and which are omitted.
    """
    av = pyav()
    with contextlib.ExitStack() as stack:
        target = stack.enter_context(av.open(str(path), "w", options=_options(path, clip)))
        first = stack.enter_context(opened(segments[0]))
        pictures = _copied(target, first.streams.video[0])
        parts = [_packets(segments, pictures)]
        omitted = []
        if clip.sound:
            source = stack.enter_context(opened(clip.path))
            taken = [one for one in source.streams.audio if _name(one) in target.supported_codecs]
            omitted = [_name(one) for one in source.streams.audio if one not in taken]
            streams = {one.index: _copied(target, one) for one in taken}
            if taken:
                parts.append(_shifted(source.demux(taken), streams, clip))
        for packet in heapq.merge(*parts, key=lambda packet: packet.dts * packet.time_base):
            target.mux(packet)
    return omitted


def _name(stream: Any) -> str:
    return stream.codec_context.codec.canonical_name if stream.codec_context is not None else "unknown"


def _copied(target: Any, template: Any) -> Any:
    """Return a new stream of a container that takes packets of another as they are."""
    stream = target.add_stream_from_template(template)
    stream.time_base = template.time_base
    stream.metadata.update({name: value for name, value in template.metadata.items() if name in _KEPT_TAGS})
    return stream


def _packets(segments: Sequence[Path], stream: Any) -> Iterator[Any]:
    for path in segments:
        with opened(path) as container:
            for packet in container.demux(container.streams.video[0]):
                if packet.dts is not None:  # the last one is empty
                    packet.stream = stream
                    yield packet


def _shifted(packets: Iterable[Any], streams: dict[int, Any], clip: Clip) -> Iterator[Any]:
    """Yield packets of sound, with times that begin where the clip's pictures' do."""
    for packet in packets:
        if packet.dts is None:
            continue
        begin = round(clip.start / packet.time_base)
        packet.stream = streams[packet.stream.index]
        packet.pts = packet.dts - begin if packet.pts is None else packet.pts - begin
        packet.dts -= begin
        yield packet
