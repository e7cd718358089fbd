#!/usr/bin/env bash
# CPython 3.11.7 (csv). Guess: csv.writer quotes every field that holds what csv.reader takes for the end of a row.
# Seen: with lineterminator="\n" a field that holds "\r" is written bare, and the same module's reader, strict or not,
# ends the row there: one row of two fields comes back as two rows. With the usual "\r\n" it is quoted: what is quoted
# depends on the characters of the terminator.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
uv venv --quiet --python 3.11.7 "$folder/venv"
"$folder/venv/bin/python" - <<'PYTHON'
import csv
import io
import sys

ROW = ["a\rb.png", "1"]
seen = {}
for terminator in ("\r\n", "\n"):
    text = io.StringIO()
    csv.writer(text, lineterminator=terminator).writerow(ROW)
    rows = list(csv.reader(io.StringIO(text.getvalue(), newline=""), strict=True))
    seen[terminator] = rows
    print(f"lineterminator {terminator!r}: written {text.getvalue()!r}, read back {rows}")
as_seen = seen == {"\r\n": [ROW], "\n": [["a"], ["b.png", "1"]]}
print("as recorded" if as_seen else "CHANGED")
sys.exit(not as_seen)
PYTHON
