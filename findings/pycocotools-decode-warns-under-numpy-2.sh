#!/usr/bin/env bash
# pycocotools 2.0.11 with numpy 2.4.6. Guess: its newest wheel, built for numpy 2, turns a mask into runs and back
# without a word.
# Seen: each mask.decode() raises numpy's DeprecationWarning that "__array__ implementation doesn't accept a copy
# keyword": its arrays are made as numpy 1 asked for it. The mask is right, and encode, area and toBbox are silent; but
# where warnings are errors nothing can be decoded.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
uv venv --quiet --python 3.11 "$folder/venv"
uv pip install --quiet --python "$folder/venv/bin/python" pycocotools==2.0.11 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import warnings

import numpy as np
import pycocotools.mask as coco

picture = np.asfortranarray(np.eye(4, dtype=np.uint8))
runs = coco.encode(picture)
seen = {}
for name, call in {
    "encode": lambda: coco.encode(picture),
    "area": lambda: coco.area(runs),
    "toBbox": lambda: coco.toBbox(runs),
    "decode": lambda: coco.decode(runs),
}.items():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        value = call()
    seen[name] = [one.category.__name__ for one in caught if "copy keyword" in str(one.message)]
    print(f"{name:6}: {seen[name] or 'silent'}")
with warnings.catch_warnings():
    warnings.simplefilter("error")
    try:
        coco.decode(runs)
        ends = "a mask"
    except DeprecationWarning:
        ends = "DeprecationWarning"
print(f"with warnings as errors decode ends in {ends}; else its mask is right: {bool((value == picture).all())}")
as_seen = seen == {"encode": [], "area": [], "toBbox": [], "decode": ["DeprecationWarning"]}
as_seen &= ends == "DeprecationWarning" and bool((value == picture).all())
print("as recorded" if as_seen else "CHANGED")
sys.exit(not as_seen)
PYTHON
