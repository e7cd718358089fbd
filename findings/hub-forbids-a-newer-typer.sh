#!/usr/bin/env bash
# huggingface_hub 1.20.0, 1.21.0, 1.22.0, 2.4.0 and typer 0.26.0 or later. Guess: a library that downloads files leaves
# the version of a program's command-line library to that program; at worst its own commands are an extra.
# Seen: 1.20.0 and 1.21.0 require typer below 0.26, 1.22.0 and 2.4.0 go with any later one. Where the version is not
# pinned, as in "huggingface_hub<1.22", uv says nothing and takes one from before that requirement.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
resolved() {
    printf '%s\n' "$1" "typer>=0.26" >"$folder/wanted.in"
    uv pip compile --quiet --no-header --no-annotate --python-version 3.11 "$folder/wanted.in" 2>"$folder/why"
}
seen=""
for version in 1.20.0 1.21.0 1.22.0 2.4.0; do
    if resolved "huggingface_hub==$version" >"$folder/found"; then came=goes; else came=no; fi
    if [ "$came" = no ]; then grep -o "depends on typer[^ ]*" "$folder/why" | head -1; fi
    echo "huggingface_hub $version beside typer>=0.26: $came"
    seen="$seen $came"
done
taken="$(resolved "huggingface_hub<1.22" | grep '^huggingface-hub==')"
echo "huggingface_hub<1.22 beside typer>=0.26: $taken"
test "$seen $taken" = " no no goes goes huggingface-hub==1.16.1" && echo "as recorded" || { echo CHANGED; exit 1; }
