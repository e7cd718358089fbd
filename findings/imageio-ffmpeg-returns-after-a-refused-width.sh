#!/usr/bin/env bash
# imageio 2.38.1 with imageio-ffmpeg 0.8.1: writing an MP4 whose frames are wider than H.264's encoder takes (16,384 pixels)
# returns like any other write. The encoder's refusal goes to stderr; the file is missing or empty and cannot be read.
# Guess before the run: an exception, since nothing was written.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
uv venv --quiet "$work/venv"
uv pip install --quiet --python "$work/venv/bin/python" imageio==2.38.1 imageio-ffmpeg==0.8.1 numpy==2.4.6
cat > "$work/write.py" <<'PY'
import sys
from pathlib import Path

import imageio.v3 as iio
import numpy as np

folder = Path(sys.argv[1])
readable = {}
for width in (16384, 16386):
    path = folder / f"{width}.mp4"
    iio.imwrite(path, np.zeros((3, 16, width, 3), np.uint8), fps=3, codec="libx264", macro_block_size=2)
    try:
        readable[width] = iio.imread(path).shape
    except Exception as error:
        readable[width] = type(error).__name__
    size = path.stat().st_size if path.exists() else None
    print(f"width {width}: the write returned; file of {size} bytes; reading it gives {readable[width]}")
sys.exit(0 if readable[16384] == (3, 16, 16384, 3) and isinstance(readable[16386], str) else 1)
PY
"$work/venv/bin/python" "$work/write.py" "$work" 2> "$work/stderr" && echo "as recorded" || { echo CHANGED; exit 1; }
grep -i -m1 "width" "$work/stderr" || true # what the encoder said
