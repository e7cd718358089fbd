#!/usr/bin/env bash
# platformdirs 4.2.2 and 4.10.0 (the class for macOS, which any system can ask). Guess: on macOS a program's folders lie in
# ~/Library whatever XDG_CACHE_HOME says, as they always did.
# Seen: with the variable set, 4.2.2 gives ~/Library/Caches/tool and 4.10.0 the variable's folder: who upgrades looks for
# downloads in another place than the one they were put in.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
seen=""
for version in 4.2.2 4.10.0; do
    uv venv --quiet --clear "$folder/venv"
    uv pip install --quiet --python "$folder/venv/bin/python" "platformdirs==$version"
    place="$(HOME=/home/me XDG_CACHE_HOME=/fast "$folder/venv/bin/python" -c '
from platformdirs.macos import MacOS

print(MacOS("tool").user_cache_dir)')"
    echo "platformdirs $version: $place"
    seen="$seen $place"
done
test "$seen" = " /home/me/Library/Caches/tool /fast/tool" && echo "as recorded" || { echo CHANGED; exit 1; }
