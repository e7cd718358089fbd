#!/usr/bin/env bash
# torch 2.15.0. Guess: torch.save of one tensor gives the same bytes in every process, in both of its formats.
# Seen: the zip format does; the one before it (_use_new_zipfile_serialization=False, which old readers need) names each
# storage by its address in memory, so that equal commands leave files of equal length and different bytes.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
uv venv --quiet "$folder/venv"
uv pip install --quiet --python "$folder/venv/bin/python" "torch==2.15.0" numpy
cat > "$folder/save.py" <<'PY'
import hashlib
import io
import sys

import torch

buffer = io.BytesIO()
torch.save({"a": torch.arange(4.0)}, buffer, _use_new_zipfile_serialization=sys.argv[1] == "zip")
print(len(buffer.getvalue()), hashlib.sha256(buffer.getvalue()).hexdigest()[:16])
PY
for format in zip old; do
    for _ in 1 2 3; do "$folder/venv/bin/python" "$folder/save.py" "$format"; done | sort -u > "$folder/$format"
    echo "$format: $(cut -d' ' -f1 "$folder/$format" | sort -u | wc -l) length(s), $(wc -l < "$folder/$format") file(s) of 3"
done
lengths="$(cut -d' ' -f1 "$folder/old" | sort -u | wc -l)"
test "$(wc -l < "$folder/zip")" = 1 && test "$lengths" = 1 && test "$(wc -l < "$folder/old")" -gt 1 &&
    echo "as recorded" || { echo CHANGED; exit 1; }
