#!/usr/bin/env bash
# torch 2.15.0, CPU. Guess: a program whose weights lie channels last in memory is saved by torch.export.save as any other,
# or its weights come back contiguous.
# Seen: it warns "No complete tensor found in the group! Returning the first one" for each such weight, as if some were
# shared in part, and none is; the weights come back right, and channels last.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
uv venv --quiet --python 3.11 "$folder/venv"
uv pip install --quiet --python "$folder/venv/bin/python" torch==2.15.0 numpy==2.3.5
cd "$folder"
venv/bin/python - <<'PYTHON'
import sys
import warnings

import torch

seen = {}
for name, layout in (("contiguous", torch.contiguous_format), ("channels last", torch.channels_last)):
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Conv2d(4, 4, 3)).eval().to(memory_format=layout)
    program = torch.export.export(network, (torch.zeros(1, 3, 8, 8),))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.export.save(program, "network.pt2")
        again = torch.export.load("network.pt2")
    weight = again.state_dict["0.weight"]
    told = sum("No complete tensor" in str(each.message) for each in caught)
    seen[name] = (told, bool(torch.equal(weight, network[0].weight)), weight.is_contiguous())
    print(f"{name:13}: {told} warnings, weights equal {seen[name][1]}, contiguous {seen[name][2]}")
as_seen = seen == {"contiguous": (0, True, True), "channels last": (2, True, False)}
print(f"torch {torch.__version__}:", "as recorded" if as_seen else "CHANGED")
sys.exit(not as_seen)
PYTHON
