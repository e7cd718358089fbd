#!/usr/bin/env bash
# numpy 1.26.4 and 2.4.6. Guess: which function a pickled array names depends on numpy's major version alone
# (numpy.core.multiarray._reconstruct, with an underscore before core since numpy 2).
# Seen: on the protocol too. Up to 4 it is _reconstruct; at 5 a contiguous array names _frombuffer of another module. A
# reader with a list of allowed names made from files of one protocol refuses the other, of the same array.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
seen=""
for version in 1.26.4 2.4.6; do
    uv venv --quiet --clear --python 3.11 "$folder/venv"
    uv pip install --quiet --python "$folder/venv/bin/python" "numpy==$version"
    named="$("$folder/venv/bin/python" - <<'PYTHON'
import pickle
import pickletools

import numpy as np

for protocol in (4, 5):
    opcodes = list(pickletools.genops(pickle.dumps(np.arange(6.0).reshape(2, 3), protocol)))
    texts = [argument for _, argument, _ in opcodes if isinstance(argument, str)]
    print(protocol, *texts[:2], end="; ")
PYTHON
)"
    echo "numpy $version: $named"
    seen="$seen$named"
done
expected="4 numpy.core.multiarray _reconstruct; 5 numpy.core.numeric _frombuffer; "
expected="${expected}4 numpy._core.multiarray _reconstruct; 5 numpy._core.numeric _frombuffer; "
test "$seen" = "$expected" && echo "as recorded" || { echo CHANGED; exit 1; }
