#!/usr/bin/env bash
# PyAV 18.1.0 with the FFmpeg of its wheel. Guess: a clip in units of 1/30000 s keeps the time of its first picture to
# the unit, since its track's units are the same before and after.
# Seen: 64333/30000 s is read back as 64320/30000 s, and all later pictures with it: how long a track waits for its
# first picture is kept in units of the whole movie, thousandths of a second by default. The muxer's option
# movie_timescale=30000 keeps it. Parts of one clip that are to be joined by their times overlap or gape by up to half a
# millisecond without it.
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

UNIT = Fraction(1, 30000)
WRITTEN = [64333, 65334, 66335]


def read_back(ending, options):
    held = io.BytesIO()
    with av.open(held, "w", format=ending, options=options) as container:
        stream = container.add_stream("libx264", rate=Fraction(30000, 1001), options={"bf": "0"})
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = UNIT
        for time in WRITTEN:
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            frame.pts, frame.time_base = time, UNIT
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    held.seek(0)
    with av.open(held) as container:
        stream = container.streams.video[0]
        return stream.time_base, [frame.pts for frame in container.decode(stream)]


print("written:", WRITTEN, "in units of", UNIT, "s")
seen = []
for ending in ("mp4", "mov"):
    for options in ({}, {"movie_timescale": "30000"}):
        unit, times = read_back(ending, options)
        seen.append(times if unit == UNIT else None)
        print(f"{ending}, {options or 'no options'}: read back {times} in units of {unit} s")
as_seen = seen == [[64320, 65321, 66322], WRITTEN] * 2
print("as recorded" if as_seen else "CHANGED")
sys.exit(not as_seen)
PYTHON
