#!/usr/bin/env bash
# huggingface_hub 2.4.0 and a small server of this script's on 127.0.0.1 that answers as the hub does for one file.
# Guess: who asks which commit the branch main is, and downloads that commit, has a file that can be asked for by the
# branch when there is no network, since the library learned both in one process.
# Seen: "main" is not in the cache then, neither by name nor as the default, though the file is; a download by the
# branch's name, of the same commit and without a byte sent again, makes it so.
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

CONTENT = bytes(range(256)) * 10
COMMIT = "c" * 40
downloads = []


class Hub(BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.answer(with_body=False)

    def do_GET(self):
        self.answer(with_body=True)

    def answer(self, with_body):
        body = CONTENT
        if self.path.startswith("/api/"):
            body = json.dumps({"id": "someone/thing", "sha": COMMIT, "siblings": [{"rfilename": "a.bin"}]}).encode()
        elif with_body:
            downloads.append(self.path)
        checksum = hashlib.sha256(body).hexdigest()
        self.send_response(200)
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{checksum}"', "Content-Length": str(len(body))}
        for name, value in headers.items():
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


def offline(**revision):
    try:
        huggingface_hub.hf_hub_download("someone/thing", "a.bin", local_files_only=True, **revision)
        return "found"
    except huggingface_hub.errors.LocalEntryNotFoundError:
        return "not in the cache"


def look(title):
    came = [offline(revision=COMMIT), offline(revision="main"), offline()]
    print(f"{title}: offline by commit {came[0]}, as main {came[1]}, by default {came[2]}; {len(downloads)} download")
    return came


commit = huggingface_hub.HfApi().repo_info("someone/thing", revision="main").sha
huggingface_hub.hf_hub_download("someone/thing", "a.bin", revision=commit)
seen = [look("downloaded by the commit of main")]
huggingface_hub.hf_hub_download("someone/thing", "a.bin", revision="main")
seen.append(look("and then by the name main"))
as_seen = seen == [["found", "not in the cache", "not in the cache"], ["found"] * 3] and len(downloads) == 1
print("as recorded" if as_seen else "CHANGED")
sys.exit(not as_seen)
PYTHON
