#!/usr/bin/env bash
# huggingface_hub 2.4.0. Guess: which error a missing or private repository becomes depends on the server's answer.
# Seen: it depends on whether the address begins with https. An answer 401 without the header X-Error-Code is
# RepositoryNotFoundError over https and a bare HfHubHTTPError over http, as of a server of one's own or a proxy on this
# machine (HF_ENDPOINT). The pattern beside it, for buckets, takes both.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
uv venv --quiet --python 3.11 "$folder/venv"
uv pip install --quiet --python $folder/venv/bin/python huggingface_hub==2.4.0 httpx2==2.16.2
HF_HOME="$folder/home" "$folder/venv/bin/python" - <<'PYTHON'
import sys

import httpx2
from huggingface_hub.utils import hf_raise_for_status


def error_of(scheme, headers):
    request = httpx2.Request("GET", f"{scheme}://hub.example/api/models/someone/thing")
    try:
        hf_raise_for_status(httpx2.Response(401, headers=headers, request=request))
    except Exception as error:
        return type(error).__name__
    return "none"


seen = []
for headers in ({"X-Error-Code": "RepoNotFound"}, {}):
    for scheme in ("https", "http"):
        seen.append(error_of(scheme, headers))
        print(f"401 over {scheme}, headers {headers}: {seen[-1]}")
as_seen = seen == ["RepositoryNotFoundError"] * 3 + ["HfHubHTTPError"]
print("as recorded" if as_seen else "CHANGED")
sys.exit(not as_seen)
PYTHON
