#!/usr/bin/env bash
# torch 2.15.0 on a CPU. Guess: after `import torch` the constructor of an optimiser only reads its arguments.
# Seen: the first one of a process imports torch._dynamo, sympy and hundreds of other modules, seconds of a CPU, though
# nothing is compiled; the second one imports nothing. Who optimises a handful of numbers for a moment pays it whole.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
uv venv --quiet --python 3.11 "$folder/venv"
uv pip install --quiet --python "$folder/venv/bin/python" torch==2.15.0 numpy==2.4.6
seen="$("$folder/venv/bin/python" - <<'PYTHON'
import sys

import torch

numbers = torch.zeros(3, requires_grad=True)
counts = [len(sys.modules)]
before = "torch._dynamo" in sys.modules, "sympy" in sys.modules
for _ in range(2):
    torch.optim.Adam([numbers])
    counts.append(len(sys.modules))
after = "torch._dynamo" in sys.modules, "sympy" in sys.modules
print(f"{counts[1] - counts[0]} modules, then {counts[2] - counts[1]}", file=sys.stderr)
print(before, after, counts[1] - counts[0] > 500, counts[2] == counts[1])
PYTHON
)"
echo "$seen"
test "$seen" = "(False, False) (True, True) True True" && echo "as recorded" || { echo CHANGED; exit 1; }
