#!/usr/bin/env bash
# opencv-contrib-python-headless 5.0.0.93 from its wheel. Guess: what the wheel's ximgproc module names, it can run.
# Seen: fastBilateralSolverFilter and its class are there, documented and without a remark, and every call raises "not
# implemented": the wheels are built without Eigen, which these need. guidedFilter beside it runs.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
uv venv --quiet --python 3.11 "$folder/venv"
uv pip install --quiet --python "$folder/venv/bin/python" opencv-contrib-python-headless==5.0.0.93 numpy==2.4.6
seen="$("$folder/venv/bin/python" - <<'PYTHON'
import cv2
import numpy as np

photo = np.full((32, 32, 3), 120, np.uint8)
target = np.zeros((32, 32), np.float32)
target[8:24, 8:24] = 1
sure = np.ones_like(target)
print("guided filter", cv2.ximgproc.guidedFilter(photo, target, 4, 1.0).shape, end="; ")
print("the solver", "is named" if hasattr(cv2.ximgproc, "fastBilateralSolverFilter") else "is not named", end="; ")
for call in (
    lambda: cv2.ximgproc.fastBilateralSolverFilter(photo, target, sure),
    lambda: cv2.ximgproc.createFastBilateralSolverFilter(photo, 8, 8, 8),
):
    try:
        call()
        print("runs", end="; ")
    except cv2.error as error:
        print("not implemented" if error.code == cv2.Error.StsNotImplemented else error, end="; ")
print([line.split()[-1] for line in cv2.getBuildInformation().splitlines() if line.strip().startswith("Eigen")])
PYTHON
)"
echo "seen: $seen"
[[ "$seen" == "guided filter (32, 32); the solver is named; not implemented; not implemented; ['NO']" ]]
