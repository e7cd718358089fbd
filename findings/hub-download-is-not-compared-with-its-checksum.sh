#!/usr/bin/env bash
# huggingface_hub 2.4.0 and a small server of this script's on 127.0.0.1 that answers as the hub does for one file.
# Guess: a file whose SHA-256 the server states, and which the cache is to keep under that very name, is hashed after
# the download.
# Seen: a transfer whose last bit was changed on the way is returned as any other, and lies in the cache under the
# checksum of the bytes that should have come: the length alone is compared. The next call does not look at it again.
# verify_repo_checksums(), which has to be asked for, does name the file.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
uv venv --quiet --python 3.11 "$folder/venv"
uv pip install --quiet --python "$folder/venv/bin/python" huggingface_hub==2.4.0
HF_HOME="$folder/home" "$folder/venv/bin/python" - <<'PYTHON'
import hashlib
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

CONTENT = bytes(range(256)) * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
COMMIT = "c" * 40
downloads = []


class Hub(BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.answer(with_body=False)

    def do_GET(self):
        self.answer(with_body=True)

    def answer(self, with_body):
        headers, body = {"X-Repo-Commit": COMMIT, "ETag": f'"{SHA256}"'}, CONTENT
        if "/tree/" in self.path:
            size = len(CONTENT)
            lfs = {"oid": SHA256, "size": size, "pointerSize": 130}
            file = {"type": "file", "path": "model.safetensors", "size": size, "oid": "b" * 40, "lfs": lfs}
            headers, body = {"Content-Type": "application/json"}, json.dumps([file]).encode()
        elif with_body:
            downloads.append(self.path)
            body = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])  # as a fault on the way would leave it
        self.send_response(200)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
threading.Thread(target=server.serve_forever, daemon=True).start()
ADDRESS = f"http://127.0.0.1:{server.server_port}"
os.environ.update(HF_ENDPOINT=ADDRESS, HF_HUB_DISABLE_TELEMETRY="1", HF_HUB_DISABLE_PROGRESS_BARS="1")
import huggingface_hub  # which reads the environment

path = Path(huggingface_hub.hf_hub_download("someone/thing", "model.safetensors")).resolve()
held = hashlib.sha256(path.read_bytes()).hexdigest()
again = Path(huggingface_hub.hf_hub_download("someone/thing", "model.safetensors")).resolve()
print("named in the cache by", path.name[:12], "and its SHA-256 is", held[:12])
print(f"a second call returns the same file: {again == path}, after {len(downloads)} download")
found = huggingface_hub.HfApi().verify_repo_checksums("someone/thing")
print("verify_repo_checksums names", [one["path"] for one in found.mismatches])
as_seen = path.name == SHA256 != held and again == path and len(downloads) == 1 and len(found.mismatches) == 1
print("as recorded" if as_seen else "CHANGED")
sys.exit(not as_seen)
PYTHON
