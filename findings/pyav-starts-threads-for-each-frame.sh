#!/usr/bin/env bash
# PyAV 18.1.0 on Linux. Guess: frame.to_ndarray(format="rgb24") and frame.reformat(...) are a plain conversion: after it
# the process has as many threads as before, or a few that are shared by all conversions.
# Seen: each frame makes a converter of its own, which starts one thread a core and keeps them until the frame is freed:
# ten frames kept in a list are ten times the cores in sleeping threads. With threads=1, or one VideoReformatter for all
# frames, that does not happen.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
uv venv --quiet --python 3.11 "$folder/venv"
uv pip install --quiet --python "$folder/venv/bin/python" av==18.1.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import os
import sys
import time

import av
import numpy  # whose own threads are there before any are counted
from av.video.reformatter import VideoReformatter

FRAMES = 10
cores = len(os.sched_getaffinity(0))


def threads():
    return len(os.listdir("/proc/self/task"))


def started(convert):
    """Return by how many threads the process grew, while the frames are kept and after they are freed."""
    frames = [av.VideoFrame(64, 64, "yuv420p") for _ in range(FRAMES)]
    before = threads()
    for frame in frames:
        convert(frame)
    while_kept = threads() - before
    frame = None
    frames.clear()
    time.sleep(0.1)
    return while_kept, threads() - before


shared = VideoReformatter()
ways = {
    "to_ndarray(format=...)": lambda frame: frame.to_ndarray(format="rgb24"),
    "reformat(format=...)": lambda frame: frame.reformat(format="rgb24"),
    "reformat(format=..., threads=1)": lambda frame: frame.reformat(format="rgb24", threads=1),
    "one VideoReformatter, threads=1": lambda frame: shared.reformat(frame, format="rgb24", threads=1),
}
seen = {name: started(convert) for name, convert in ways.items()}
for name, (kept, freed) in seen.items():
    print(f"{name:32} {FRAMES} frames, {cores} cores: {kept} more threads while they are kept, {freed} after")
if cores == 1:
    print("not to be seen on a machine with one core")
    sys.exit(0)
many = [kept >= 2 * FRAMES and freed == 0 for kept, freed in list(seen.values())[:2]]
as_seen = all(many) and list(seen.values())[2:] == [(0, 0), (0, 0)]
print("as recorded" if as_seen else "CHANGED")
sys.exit(not as_seen)
PYTHON
