#!/usr/bin/env bash
# typer 0.26.0, 0.29.2. Guess: a command of a typer app costs click's modules and typer's own, as it did for years.
# Seen: 0.29.2 brings pydantic along, and imports it when the first command's arguments are read: 42 of its modules,
# more than a hundred in all, for a command with one whole number. 0.26.0 imports one.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cat >"$folder/look.py" <<'PYTHON'
import sys

import typer

app = typer.Typer()


@app.command()
def count(number: int = 1) -> None:
    pass


before = set(sys.modules)
app(["--number", "2"], standalone_mode=False)
new = set(sys.modules) - before
theirs = [name for name in new if name.partition(".")[0] == "pydantic"]
print(f"{len(new)} modules imported by the first command, {len(theirs)} of them pydantic's", file=sys.stderr)
print("pydantic and many" if theirs and len(new) > 50 else "few" if len(new) < 10 and not theirs else "something else")
PYTHON
seen=""
for version in 0.26.0 0.29.2; do
    uv venv --quiet --clear --python 3.11 "$folder/venv"
    uv pip install --quiet --python "$folder/venv/bin/python" "typer==$version"
    echo "typer $version:"
    seen="$seen$("$folder/venv/bin/python" "$folder/look.py");"
done
test "$seen" = "few;pydantic and many;" && echo "as recorded" || { echo CHANGED; exit 1; }
