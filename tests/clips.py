"""Tiny clips made for tests: discs that move, with times, sound and a shape of their own."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

RATE = 25


def disc(number: int, size: tuple[int, int] = (48, 32), colour: tuple[int, int, int] = (200, 30, 60)) -> np.ndarray:
    """Return a frame uint8 (H, W, 3) with a disc on grey that moves to the right, a dark corner at the top left."""
    width, height = size
    y, x = np.ogrid[:height, :width]
    frame = np.full((height, width, 3), 120, np.uint8)
    frame[(x - 12 - number) ** 2 + (y - height // 2) ** 2 < 64] = colour
    frame[: height // 4, : width // 4] = 10
    return frame


def write_clip(
    path: Path,
    frames: list[np.ndarray],
    times: list[int] | None = None,
    time_base: Fraction = Fraction(1, RATE),
    codec: str = "libx264",
    pixels: str | None = None,
    sound: str | None = None,
    turned: tuple[int, bool] | None = None,
    options: dict[str, str] | None = None,
    **context: int,
) -> Path:
    """Write frames uint8 (H, W, 3), without loss where the codec is H.264; `turned` = degrees and mirrored."""
    height, width = frames[0].shape[:2]
    with av.open(str(path), "w", options=options or {}) as container:
        lossless = {"qp": "0", "preset": "ultrafast"} if codec == "libx264" else {}
        stream = container.add_stream(codec, rate=RATE, options=lossless)
        stream.width, stream.height, stream.pix_fmt = width, height, pixels or "yuv444p"
        stream.time_base = stream.codec_context.time_base = time_base
        for name, value in context.items():
            setattr(stream.codec_context, name, value)
        if turned is not None:
            stream.set_display_rotation(turned[0], hflip=turned[1])
        heard = None if sound is None else container.add_stream(sound, rate=48000, layout="mono")
        for number, frame in enumerate(frames):
            made = av.VideoFrame.from_ndarray(frame, format="rgb24")
            made.pts, made.time_base = number if times is None else times[number], time_base
            container.mux(stream.encode(made))
        container.mux(stream.encode(None))
        if heard is not None:
            for number in range(len(frames) * 48000 // RATE // 960):
                tone = np.sin(np.arange(960) / 9 + number).astype(np.float32)[None] / 2
                made = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
                made.sample_rate, made.pts, made.time_base = 48000, number * 960, Fraction(1, 48000)
                container.mux(heard.encode(made))
            container.mux(heard.encode(None))
    return path


def read_back(path: Path, alpha: bool = False) -> tuple[list[np.ndarray], list[Fraction]]:
    """Return the frames uint8 (H, W, 3 or 4) and times, in seconds, of a clip."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        decoder = stream.codec_context
        if alpha and decoder.name == "vp9":  # FFmpeg's own decoder ignores VP9's second picture
            decoder = av.CodecContext.create("libvpx-vp9", "r")
        frames = [
            frame for packet in container.demux(stream) for frame in decoder.decode(packet if packet.size else None)
        ]
        times = [frame.pts * stream.time_base for frame in frames]
        return [frame.to_ndarray(format="rgba" if alpha else "rgb24") for frame in frames], times


def sound_of(path: Path) -> list[tuple[Fraction, bytes]]:
    """Return the times, in seconds, and bytes of a clip's packets of sound."""
    with av.open(str(path)) as container:
        return [(packet.pts * packet.time_base, bytes(packet)) for packet in container.demux(audio=0) if packet.size]
