#!/usr/bin/env bash
# CPython 3.11.7 (tarfile). Guess: reading a .tar.gz to its last member compares gzip's checksum, so that a file damaged
# on the way is refused, as gzip itself and gzip.open refuse it.
# Seen: tarfile stops at the tar's own end mark, in front of the trailer. With a wrong checksum it lists and extracts
# everything without a word. Reading on behind the end mark finds the damage.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
uv venv --quiet --python 3.11 "$folder/venv"
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import gzip
import io
import platform
import sys
import tarfile
from pathlib import Path

path = Path(sys.argv[1]) / "weights.tar.gz"
with tarfile.open(path, "w:gz") as tar:
    for name in ("generator.pt", "deformator.pt"):
        member = tarfile.TarInfo(name)
        member.size = 5000
        tar.addfile(member, io.BytesIO(bytes(range(250)) * 20))
content = bytearray(path.read_bytes())
content[-8] ^= 0xFF  # of the checksum, in front of the length
path.write_bytes(content)


def outcome(work):
    try:
        return work()
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def through_gzip():
    with gzip.open(path) as stream:
        return f"{len(stream.read())} bytes"


def through_tarfile():
    with tarfile.open(path) as tar:
        return [len(tar.extractfile(member).read()) for member in tar]


def through_tarfile_to_the_end():
    with gzip.open(path) as stream, tarfile.open(fileobj=stream) as tar:
        sizes = [len(tar.extractfile(member).read()) for member in tar]
        stream.read()
        return sizes


ways = (through_gzip, through_tarfile, through_tarfile_to_the_end)
results = [outcome(way) for way in ways]
for way, result in zip(ways, results, strict=True):
    print(f"{way.__name__.replace('_', ' ')}: {result}")
as_seen = results[1] == [5000, 5000] and all("CRC check failed" in str(results[i]) for i in (0, 2))
print(f"Python {platform.python_version()}:", "as recorded" if as_seen else "CHANGED")
sys.exit(not as_seen)
PYTHON
