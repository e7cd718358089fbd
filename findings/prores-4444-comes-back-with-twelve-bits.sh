#!/usr/bin/env bash
# PyAV 18.1.0 with the FFmpeg of its wheel. Guess: ProRes 4444 written from ten-bit pixels is read back as ten-bit
# pixels, since that is all its encoder takes.
# Seen: it is read back as twelve-bit ones, with or without transparency, and the numbers are four times as large: the
# decoder goes by the codec's four letters (ap4h), not by what was encoded. Who expects the format that he wrote, or
# reads the planes as ten bits, is wrong by a factor of four.
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


def there_and_back(pixels, profile):
    """Return the format read back, and the first luma number as it was written and as it was read."""
    held = io.BytesIO()
    with av.open(held, "w", format="mov") as container:
        stream = container.add_stream("prores_ks", rate=25, options={"profile": profile})
        stream.width = stream.height = 64
        stream.pix_fmt = pixels
        grey = av.VideoFrame.from_ndarray(np.full((64, 64, 4), 200, np.uint8), format="rgba")
        frame = grey.reformat(format=pixels, threads=1)
        written = int(np.frombuffer(frame.planes[0], np.uint16)[0])
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    held.seek(0)
    with av.open(held) as container:
        frame = next(container.decode(video=0))
        return frame.format.name, written, int(np.frombuffer(frame.planes[0], np.uint16)[0])


takes = [pixels.name for pixels in av.Codec("prores_ks", "w").video_formats]
print("the encoder takes", ", ".join(takes))
seen = {}
for pixels, profile in (("yuva444p10le", "4444"), ("yuv444p10le", "4444"), ("yuv422p10le", "hq")):
    seen[pixels] = there_and_back(pixels, profile)
    print(f"{pixels}, profile {profile}: read back as {seen[pixels][0]}, luma {seen[pixels][1]} as {seen[pixels][2]}")
as_seen = not any("12" in name for name in takes)
as_seen &= [seen[name][0] for name in seen] == ["yuva444p12le", "yuv444p12le", "yuv422p10le"]
as_seen &= [round(read / written) for _, written, read in seen.values()] == [4, 4, 1]
print("as recorded" if as_seen else "CHANGED")
sys.exit(not as_seen)
PYTHON
