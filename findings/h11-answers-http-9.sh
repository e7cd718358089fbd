#!/usr/bin/env bash
# h11 0.16.0. Guess: a request says HTTP/1.0 or HTTP/1.1, and a library for those answers another major version with an
# error, as it does "HTTP/2".
# Seen: any digit, dot, digit is taken: HTTP/9.9 and HTTP/3.0 are parsed as 1.1, handed on under their own number, and
# answered as HTTP/1.1. "HTTP/2", which has no second digit, is refused with 400.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
uv venv --quiet --python 3.11 "$folder/venv"
uv pip install --quiet --python $folder/venv/bin/python h11==0.16.0
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import h11


def answered(version):
    server = h11.Connection(h11.SERVER)
    server.receive_data(f"GET / HTTP/{version}\r\nHost: a.example\r\n\r\n".encode())
    try:
        said = server.next_event().http_version.decode()
        server.next_event()
        answer = server.send(h11.Response(status_code=200, headers=[]))
        return f"taken as {said}, answered as {answer[:8].decode()}"
    except h11.RemoteProtocolError as error:
        return f"refused with {error.error_status_hint}"


seen = {version: answered(version) for version in ("1.1", "3.0", "9.9", "2")}
for version, came in seen.items():
    print(f"HTTP/{version}: {came}")
as_seen = seen == {
    **{version: f"taken as {version}, answered as HTTP/1.1" for version in ("1.1", "3.0", "9.9")},
    "2": "refused with 400",
}
print("as recorded" if as_seen else "CHANGED")
sys.exit(not as_seen)
PYTHON
