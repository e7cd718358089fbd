#!/usr/bin/env bash
# huggingface_hub 2.4.0 and a small server of this script's on 127.0.0.1 that takes uploads as the hub does without Xet.
# Guess: a plain upload, with nothing out of date in the call, raises no warning.
# Seen: each file that goes up by plain HTTP raises httpx2's DeprecationWarning "Use 'content=<...>' to upload raw
# bytes/text content", from a call inside the library. Where warnings are errors, as in many test runs, the upload ends
# as "RuntimeError: Error while uploading", which reads like a fault of the network, before anything was sent.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
uv venv --quiet --python 3.11 "$folder/venv"
uv pip install --quiet --python "$folder/venv/bin/python" huggingface_hub==2.4.0 httpx2==2.16.2
HF_HOME="$folder/home" "$folder/venv/bin/python" - <<'PYTHON'
import io
import json
import os
import sys
import threading
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CONTENT = bytes(range(256)) * 10
stored = []


class Hub(BaseHTTPRequestHandler):
    """What a hub without Xet does for one upload: how it is to come, where to, and the commit."""

    def do_POST(self):
        asked = json.loads(self.body().splitlines()[0])
        if "/preupload/" in self.path:
            files = [{"path": file["path"], "uploadMode": "lfs", "shouldIgnore": False} for file in asked["files"]]
            self.send(200, {"files": files})
        elif self.path.endswith("/objects/batch"):
            where = {"upload": {"href": f"{ADDRESS}/store"}}
            self.send(200, {"transfer": "basic", "objects": [{**one, "actions": where} for one in asked["objects"]]})
        else:
            self.send(200, {"commitOid": "c" * 40, "commitUrl": f"{ADDRESS}/someone/thing/commit/{'c' * 40}"})

    def do_PUT(self):
        stored.append(self.body())
        self.send(200, {})

    def do_GET(self):
        self.send(404, {"error": "Not found"})

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

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

huggingface_hub.logging.set_verbosity_error()
api = huggingface_hub.HfApi(token="hf_" + "a" * 34)
seen = []
for action in ("always", "error"):
    stored.clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter(action)
        try:
            api.upload_file(path_or_fileobj=io.BytesIO(CONTENT), path_in_repo="a.bin", repo_id="someone/thing")
            came = [f"{one.category.__name__}: {one.message}" for one in caught]
        except Exception as error:
            came = [f"{type(error).__name__}: {error}", f"{type(error.__cause__).__name__}: {error.__cause__}"]
    seen.append((came, stored == [CONTENT]))
    print(f'warnings "{action}": stored {stored == [CONTENT]};', " from ".join(came))
WARNING = "DeprecationWarning: Use 'content=<...>' to upload raw bytes/text content."
as_seen = seen == [([WARNING], True), (["RuntimeError: Error while uploading 'a.bin' to the Hub.", WARNING], False)]
print("as recorded" if as_seen else "CHANGED")
sys.exit(not as_seen)
PYTHON
