#!/usr/bin/env bash
# PyAV 18.1.0 with the FFmpeg of its wheel. Guess: packets of an MP4 that are put into a Matroska file as they are keep
# their times, to its millisecond.
# Seen: with AAC sound all pictures come 21 ms later, as long as the 1024 samples before the sound's beginning that an
# encoder needs: MP4 puts those at a negative time, Matroska has none, so everything moves up. Encoded straight into
# Matroska, which then notes the sound's delay apart, or with Opus in place of AAC, or without the sound, the same
# pictures begin at 0; and MP4 to MP4 keeps all.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
uv venv --quiet --python 3.11 "$folder/venv"
uv pip install --quiet --python "$folder/venv/bin/python" av==18.1.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import io
import sys
from fractions import Fraction

import av
import numpy as np


def encoded(codec, ending):
    held = io.BytesIO()
    with av.open(held, "w", format=ending) as container:
        pictures = container.add_stream("libx264", rate=25, options={"bf": "0"})
        pictures.width = pictures.height = 64
        pictures.pix_fmt = "yuv420p"
        sound = container.add_stream(codec, rate=48000)
        sound.layout = "mono"
        for number in range(25):
            picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            picture.pts = number
            container.mux(pictures.encode(picture))
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 1920), np.float32), format="fltp", layout="mono")
            samples.rate, samples.time_base, samples.pts = 48000, Fraction(1, 48000), 1920 * number
            container.mux(sound.encode(samples))
        container.mux(pictures.encode(None))
        container.mux(sound.encode(None))
    return held


def copied(held, ending, kinds=("video", "audio")):
    held.seek(0)
    out = io.BytesIO()
    with av.open(held) as source, av.open(out, "w", format=ending) as target:
        taken = [stream for stream in source.streams if stream.type in kinds]
        streams = {stream.index: target.add_stream_from_template(stream) for stream in taken}
        for packet in source.demux(taken):
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                target.mux(packet)
    return out


def begins(held):
    """Return when the first packets of pictures and sound are, in whole milliseconds."""
    held.seek(0)
    first = {}
    with av.open(held) as container:
        for packet in container.demux():
            if packet.pts is not None:
                first.setdefault(packet.stream.type, round(1000 * packet.pts * packet.time_base))
    return first.get("video"), first.get("audio")


aac, opus = encoded("aac", "mp4"), encoded("libopus", "mp4")
seen = {
    "MP4 with AAC": begins(aac),
    "copied to MP4": begins(copied(aac, "mp4")),
    "copied to Matroska": begins(copied(aac, "matroska")),
    "copied to Matroska, pictures alone": begins(copied(aac, "matroska", ("video",))),
    "encoded into Matroska": begins(encoded("aac", "matroska")),
    "MP4 with Opus, copied to Matroska": begins(copied(opus, "matroska")),
}
for name, (pictures, sound) in seen.items():
    print(f"{name:35} pictures from {pictures} ms, sound from {sound} ms")
as_seen = list(seen.values()) == [(0, -21), (0, -21), (21, 0), (0, None), (0, -21), (0, -7)]
print("as recorded" if as_seen else "CHANGED")
sys.exit(not as_seen)
PYTHON
