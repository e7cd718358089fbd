#!/usr/bin/env bash
# huggingface_hub 1.15.0, 2.4.0 and a small server of this script's on 127.0.0.1 that takes uploads as the hub does
# without Xet. Guess: a file goes up the same way whether it is given as bytes or as an open file of them, and to a
# server without Xet by plain HTTP.
# Seen: so in 1.15.0. With 2.4.0 bytes (and paths) end in a ConnectionError about xet-write-token, without the server
# being asked what it takes; io.BytesIO of the same bytes goes up by HTTP.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cat >"$folder/look.py" <<'PYTHON'
import io
import json
import os
import threading
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

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
warnings.simplefilter("ignore")
api = huggingface_hub.HfApi(token="hf_" + "a" * 34)
path = Path(os.environ["HF_HOME"]) / "a.bin"
path.parent.mkdir()
path.write_bytes(CONTENT)
for name, given in (("bytes", CONTENT), ("path", path), ("BytesIO", io.BytesIO(CONTENT))):
    stored.clear()
    try:
        api.upload_file(path_or_fileobj=given, path_in_repo="a.bin", repo_id="someone/thing")
        came = "stored" if stored == [CONTENT] else "not stored"
    except Exception as error:
        about = "xet-write-token" if "xet-write-token" in str(error) else "something else"
        came = f"{type(error).__name__} about {about}"
    print(f"{name}: {came}", end="; ")
PYTHON
seen=""
for version in 1.15.0 2.4.0; do
    uv venv --quiet --clear --python 3.11 "$folder/venv"
    uv pip install --quiet --python "$folder/venv/bin/python" "huggingface_hub==$version" hf-xet==1.8.0
    line="$(HF_HOME="$folder/home-$version" "$folder/venv/bin/python" "$folder/look.py")"
    echo "huggingface_hub $version: $line"
    seen="$seen$line"
done
expected="bytes: stored; path: stored; BytesIO: stored; "
refused="ConnectionError about xet-write-token"
expected="${expected}bytes: $refused; path: $refused; BytesIO: stored; "
test "$seen" = "$expected" && echo "as recorded" || { echo CHANGED; exit 1; }
