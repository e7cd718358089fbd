#!/usr/bin/env bash
# filelock 3.12.4, 3.20.3, 3.24.0, 4.2.12 on Linux. Guess: whether the lock's file is still there after release() is settled
# once, or changes once between versions.
# Seen: it stays, stays, is removed, and stays again. Who counts the files of a folder, or looks at the file to see
# whether somebody is at work, gets another answer with each of these.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
seen=""
for version in 3.12.4 3.20.3 3.24.0 4.2.12; do
    uv venv --quiet --clear --python 3.11 "$folder/venv"
    uv pip install --quiet --python "$folder/venv/bin/python" "filelock==$version"
    after="$("$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
from pathlib import Path

from filelock import FileLock

path = Path(sys.argv[1]) / "of-a-run.lock"
path.unlink(missing_ok=True)
with FileLock(path):
    assert path.is_file()
print("stays" if path.is_file() else "removed")
PYTHON
)"
    echo "filelock $version: its file $after"
    seen="$seen $after"
done
test "$seen" = " stays stays removed stays" && echo "as recorded" || { echo CHANGED; exit 1; }
