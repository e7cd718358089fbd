#!/usr/bin/env bash
# PyAV 18.1.0 with the FFmpeg of its wheel. Guess: the eight ways in which an MP4 may say that its pictures are turned
# or mirrored can be told apart by VideoFrame.rotation, or mirrored ones are at least marked.
# Seen: the angle is the same for each way and for its mirror image: upside down is 0, as is no turn at all, and
# mirrored left to right is -180, as is half a turn. The decoded picture is as it is stored in each case. The frame's
# side data hold the matrix itself, which is different for all eight.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
uv venv --quiet --python 3.11 "$folder/venv"
uv pip install --quiet --python "$folder/venv/bin/python" av==18.1.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import io
import struct
import sys

import av
import numpy as np

ONE = 1 << 16
WAYS = {  # where a step to the right and a step down go, each as (right, down)
    "as it is": ((1, 0), (0, 1)),
    "upside down": ((1, 0), (0, -1)),
    "half a turn": ((-1, 0), (0, -1)),
    "mirrored left to right": ((-1, 0), (0, 1)),
    "a quarter to the right": ((0, 1), (-1, 0)),
    "that, mirrored": ((0, 1), (1, 0)),
    "a quarter to the left": ((0, -1), (1, 0)),
    "that one, mirrored": ((0, -1), (-1, 0)),
}
held = io.BytesIO()
with av.open(held, "w", format="mp4") as container:
    stream = container.add_stream("libx264", rate=25, options={"crf": "10"})
    stream.width = stream.height = 64
    stream.pix_fmt = "yuv420p"
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:32, :32] = 255
    container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
    container.mux(stream.encode(None))

angles, matrices, pictures = {}, set(), set()
for name, (right, down) in WAYS.items():
    clip = bytearray(held.getvalue())
    shift = [64 if right[axis] + down[axis] < 0 else 0 for axis in (0, 1)]  # so that the picture lies where it did
    rows = [*right, 0, *down, 0, *shift]
    numbers = [ONE * one for one in rows] + [1 << 30]
    struct.pack_into(">9i", clip, clip.index(b"tkhd") + 44, *numbers)
    with av.open(io.BytesIO(clip)) as container:
        frame = next(container.decode(video=0))
        matrix = [bytes(data) for data in frame.side_data if data.type.name == "DISPLAYMATRIX"]
        angles[name] = frame.rotation
        matrices.add(matrix[0] if matrix else b"")
        pictures.add((frame.to_ndarray(format="gray", threads=1)[16::32, 16::32] > 128).tobytes())
    print(f"{name:24} rotation {angles[name]}")
print(f"{len(set(angles.values()))} angles, {len(matrices)} matrices, {len(pictures)} decoded picture")
as_seen = list(angles.values()) == [0, 0, -180, -180, -90, -90, 90, 90]
as_seen &= (len(matrices), len(pictures)) == (8, 1)
print("as recorded" if as_seen else "CHANGED")
sys.exit(not as_seen)
PYTHON
