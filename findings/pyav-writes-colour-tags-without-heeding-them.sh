#!/usr/bin/env bash
# PyAV 18.1.0 with the FFmpeg of its wheel. Guess: an encoder whose context is given a matrix or a range of numbers
# converts RGB by them, or refuses RGB; so a colour comes back as it went in, but for rounding.
# Seen: the numbers written are those of standard television (BT.601, narrow) whatever the tags say, while the decoder
# does heed the tags: red (200, 30, 60) tagged BT.709 comes back as (212, 46, 57), tagged full range as (188, 40, 66).
# Only who converts the frame himself before encoding gets what he put in.
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

RED = (200, 30, 60)


def there_and_back(tags, converted=False):
    """Return the first number of each plane in the file, and the colour that is read back."""
    held = io.BytesIO()
    with av.open(held, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "1"})
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for name, value in tags.items():
            setattr(stream.codec_context, name, value)
        frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), RED, np.uint8), format="rgb24")
        if converted:
            frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG", threads=1)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    held.seek(0)
    with av.open(held) as container:
        frame = next(container.decode(video=0))
        planes = tuple(bytes(plane)[0] for plane in frame.planes)
        return planes, tuple(frame.to_ndarray(format="rgb24", threads=1)[32, 32].tolist())


BT709 = {"colorspace": 1, "color_range": 1}
seen = {
    "untagged": there_and_back({}),
    "tagged BT.601": there_and_back({"colorspace": 6, "color_range": 1}),
    "tagged BT.709": there_and_back(BT709),
    "tagged full range": there_and_back({"color_range": 2}),
    "converted to BT.709 and tagged so": there_and_back(BT709, converted=True),
}
for name, (planes, colour) in seen.items():
    print(f"{name:34} planes {planes}, read back {colour}")


def far(name):
    return max(abs(a - b) for a, b in zip(seen[name][1], RED)) > 9


as_seen = len({planes for name, (planes, _) in seen.items() if name[:3] != "con"}) == 1
as_seen &= [far(name) for name in seen] == [False, False, True, True, False]
print("as recorded" if as_seen else "CHANGED")
sys.exit(not as_seen)
PYTHON
