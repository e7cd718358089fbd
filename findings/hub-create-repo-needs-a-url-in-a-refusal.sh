#!/usr/bin/env bash
# huggingface_hub 2.4.0 and a small server of this script's on 127.0.0.1. Guess: create_repo(exist_ok=True) of a
# repository that exists returns its address, which the caller has named, whatever else the answer 409 Conflict says.
# Seen: KeyError: 'url' where the answer's body is the reason alone: the address is read from the body of the refusal.
# After 403 with the same body it asks for the repository and puts the address together from the name.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
uv venv --quiet --python 3.11 "$folder/venv"
uv pip install --quiet --python "$folder/venv/bin/python" huggingface_hub==2.4.0
HF_HOME="$folder/home" "$folder/venv/bin/python" - <<'PYTHON'
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

answer = [409, {}]


class Hub(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send(*answer)

    def do_GET(self):
        self.send(200, {"id": "someone/thing", "private": False, "siblings": []})

    def send(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
threading.Thread(target=server.serve_forever, daemon=True).start()
ADDRESS = f"http://127.0.0.1:{server.server_port}"
os.environ.update(HF_ENDPOINT=ADDRESS, HF_HUB_DISABLE_TELEMETRY="1", HF_HUB_DISABLE_PROGRESS_BARS="1")
import huggingface_hub  # which reads the environment

REASON = {"error": "You already created this model repo"}
api = huggingface_hub.HfApi(token="hf_" + "a" * 34)
seen = []
for status, body in ((409, {**REASON, "url": f"{ADDRESS}/someone/thing"}), (403, REASON), (409, REASON)):
    answer[:] = status, body
    try:
        address = api.create_repo("someone/thing", exist_ok=True)
        seen.append(f"returns {address.replace(ADDRESS, 'HUB')}")
    except Exception as error:
        seen.append(repr(error))
    print(f"answered {status} with {', '.join(body)}: {seen[-1]}")
as_seen = seen == ["returns HUB/someone/thing", "returns HUB/someone/thing", "KeyError('url')"]
print("as recorded" if as_seen else "CHANGED")
sys.exit(not as_seen)
PYTHON
