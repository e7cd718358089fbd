#!/usr/bin/env bash
# huggingface_hub 1.15.0, 2.4.0 and a small server of this script's on 127.0.0.1 that answers as the hub does for one
# file. Guess: a download that was stopped by Ctrl-C is taken up by the next call where it stopped, as 2.4.0 still says
# of itself ("Downloads always resume").
# Seen: 1.15.0 keeps what came and asks for the rest; 2.4.0 removes what came and asks for the whole file again. Only a
# connection that breaks within one call is taken up.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cat >"$folder/look.py" <<'PYTHON'
import hashlib
import os
import signal
import threading
import time
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

CONTENT = bytes(range(256)) * 100_000  # the library writes it down 10 MB at a time
SHA256 = hashlib.sha256(CONTENT).hexdigest()
ranges = []


class Hub(BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.answer(with_body=False)

    def do_GET(self):
        self.answer(with_body=True)

    def answer(self, with_body):
        asked = self.headers.get("Range")
        start = int(asked.removeprefix("bytes=").split("-")[0]) if asked else 0
        self.send_response(206 if asked else 200)
        headers = {"X-Repo-Commit": "c" * 40, "ETag": f'"{SHA256}"', "Content-Length": str(len(CONTENT) - start)}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if not with_body:
            return
        ranges.append(asked)
        if len(ranges) > 1:
            self.wfile.write(CONTENT[start:])
            return
        self.wfile.write(CONTENT[:24_000_000])
        self.wfile.flush()
        time.sleep(1)  # until it has been written down
        os.kill(os.getpid(), signal.SIGINT)  # which reaches the main thread, as Ctrl-C does
        time.sleep(2)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
threading.Thread(target=server.serve_forever, daemon=True).start()
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell may have switched off
os.environ["HF_ENDPOINT"] = f"http://127.0.0.1:{server.server_port}"
os.environ.update(HF_HUB_DISABLE_TELEMETRY="1", HF_HUB_DISABLE_PROGRESS_BARS="1")
import huggingface_hub  # which reads the environment

stopped = False
try:
    huggingface_hub.hf_hub_download("someone/thing", "model.safetensors")
except KeyboardInterrupt:
    stopped = True
assert stopped
left = [file.stat().st_size for file in Path(os.environ["HF_HOME"]).rglob("*.incomplete")]
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    path = huggingface_hub.hf_hub_download("someone/thing", "model.safetensors", resume_download=True)
assert hashlib.sha256(Path(path).read_bytes()).hexdigest() == SHA256
says = any("always resume" in str(one.message) for one in caught)
print(f"left by the first call {left} bytes, the second asks for {ranges[1] or 'everything'}, says it resumes: {says}")
PYTHON
seen=""
for version in 1.15.0 2.4.0; do
    uv venv --quiet --clear --python 3.11 "$folder/venv"
    uv pip install --quiet --python "$folder/venv/bin/python" "huggingface_hub==$version"
    line="$(HF_HOME="$folder/home-$version" "$folder/venv/bin/python" "$folder/look.py")"
    echo "huggingface_hub $version: $line"
    seen="$seen$line;"
done
expected="left by the first call [20971520] bytes, the second asks for bytes=20971520-, says it resumes: True;"
expected="${expected}left by the first call [] bytes, the second asks for everything, says it resumes: True;"
test "$seen" = "$expected" && echo "as recorded" || { echo CHANGED; exit 1; }
