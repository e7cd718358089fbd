#!/usr/bin/env bash
# PyAV 18.1.0 with the FFmpeg of its wheel (libvpx included). Guess: a VP9 clip encoded with transparency is read back
# with it, or something says that it has been lost.
# Seen: it comes back as yuv420p, opaque, without a warning; the stream's tag alpha_mode=1 is all that is left. The
# transparency travels as a second picture beside each packet, which FFmpeg's own decoder "vp9", the default, never
# looks at; the decoder "libvpx-vp9", asked for by name and fed the same packets, does.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
uv venv --quiet --python 3.11 "$folder/venv"
uv pip install --quiet --python "$folder/venv/bin/python" av==18.1.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import io
import sys

import av
import numpy as np

picture = np.full((64, 64, 4), 200, np.uint8)
picture[:, :32, 3], picture[:, 32:, 3] = 0, 255  # its left half is not there
held = io.BytesIO()
with av.open(held, "w", format="webm") as container:
    stream = container.add_stream("libvpx-vp9", rate=25, options={"deadline": "realtime", "cpu-used": "7"})
    stream.width = stream.height = 64
    stream.pix_fmt = "yuva420p"
    for time in range(3):
        frame = av.VideoFrame.from_ndarray(picture, format="rgba")
        frame.pts = time
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def read(decoder):
    held.seek(0)
    with av.open(held) as container:
        stream = container.streams.video[0]
        context = av.CodecContext.create(decoder, "r") if decoder else stream.codec_context
        frame = next(frame for packet in container.demux(stream) for frame in context.decode(packet))
        alpha = frame.to_ndarray(format="rgba", threads=1)[32, [8, 56], 3].tolist()
        return context.codec.name, stream.metadata.get("alpha_mode"), frame.format.name, alpha


seen = [read(None), read("libvpx-vp9")]
for name, tag, pixels, alpha in seen:
    print(f"decoder {name}: the tag alpha_mode is {tag}, pixels {pixels}, alpha left and right {alpha}")
as_seen = seen == [("vp9", "1", "yuv420p", [255, 255]), ("libvpx-vp9", "1", "yuva420p", [0, 255])]
print("as recorded" if as_seen else "CHANGED")
sys.exit(not as_seen)
PYTHON
