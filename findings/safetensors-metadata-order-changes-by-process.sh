#!/usr/bin/env bash
# safetensors 0.8.0 writes a file's metadata in an order that changes from process to process: equal tensors and equal
# metadata give files of equal length and different bytes, so that a digest of the file says nothing about what it holds.
# Guess before the run: equal input gives equal bytes. In one process it does, which is why a test rarely sees it.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
uv venv --quiet "$work/venv"
uv pip install --quiet --python "$work/venv/bin/python" safetensors==0.8.0 numpy==2.4.6
cat > "$work/save.py" <<'PY'
import hashlib

import numpy as np
from safetensors.numpy import load, save

metadata = {f"key {i}": str(i) for i in range(8)}
data = save({"a": np.ones(2, np.float32)}, metadata=metadata)
assert (load(data)["a"] == 1).all()
print(len(data), hashlib.sha256(data).hexdigest()[:16])
PY
for _ in 1 2 3 4 5 6; do "$work/venv/bin/python" "$work/save.py"; done | tee "$work/seen"
lengths="$(cut -d' ' -f1 "$work/seen" | sort -u | wc -l)"
digests="$(cut -d' ' -f2 "$work/seen" | sort -u | wc -l)"
echo "safetensors 0.8.0: six processes, $lengths length(s), $digests different digest(s)"
[ "$lengths" = 1 ] && [ "$digests" -gt 1 ] && echo "as recorded" || { echo CHANGED; exit 1; }
