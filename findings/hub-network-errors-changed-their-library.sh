#!/usr/bin/env bash
# huggingface_hub 1.22.0, 2.4.0. Guess: what a program catches where there is no network, httpx.ConnectError, is what it
# has to catch with the next version, with httpx installed in both cases.
# Seen: 2.4.0 raises httpx2.ConnectError, which has no class in common with that but Exception and no OSError above it,
# and the program's "except httpx.ConnectError" lets it pass. Only the class's name is the same.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cat >"$folder/look.py" <<'PYTHON'
import os
import socket

with socket.socket() as unused:  # bound, and nothing listens: every connection is refused
    unused.bind(("127.0.0.1", 0))
    os.environ["HF_ENDPOINT"] = f"http://127.0.0.1:{unused.getsockname()[1]}"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    import httpx
    import huggingface_hub

    try:
        huggingface_hub.HfApi().repo_info("someone/thing")
    except Exception as error:
        kind = f"{type(error).__module__}.{type(error).__name__}"
        caught = isinstance(error, httpx.ConnectError)
        print(f"{kind}, caught as httpx.ConnectError: {caught}, as OSError: {isinstance(error, OSError)}")
PYTHON
seen=""
for version in 1.22.0 2.4.0; do
    uv venv --quiet --clear --python 3.11 "$folder/venv"
    uv pip install --quiet --python "$folder/venv/bin/python" "huggingface_hub==$version" httpx==0.28.1
    line="$(HF_HOME="$folder/home" "$folder/venv/bin/python" "$folder/look.py")"
    echo "huggingface_hub $version: $line"
    seen="$seen$line;"
done
expected="httpx.ConnectError, caught as httpx.ConnectError: True, as OSError: False;"
expected="${expected}httpx2.ConnectError, caught as httpx.ConnectError: False, as OSError: False;"
test "$seen" = "$expected" && echo "as recorded" || { echo CHANGED; exit 1; }
