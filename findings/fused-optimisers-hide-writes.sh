#!/usr/bin/env bash
# torch 2.15.0, CPU. Guess: an optimiser's step writes into its parameters in place, so it raises their version counter
# whatever implementation is chosen, and autograd refuses a backward pass through values from before the step.
# Seen: foreach and for-loop implementations do both. With fused=True the counter stays, and backward() goes through with
# the new value: the gradient of w * w taken at w = 2 comes out as 2 * 1.5 = 3 instead of 4, without an error.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
uv venv --quiet --python 3.11 "$folder/venv"
uv pip install --quiet --python "$folder/venv/bin/python" torch==2.15.0 numpy==2.3.5
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import torch

IMPLEMENTATIONS = {"fused": {"fused": True}, "foreach": {"foreach": True}, "for loop": {"foreach": False}}
as_seen = True
for name in ("SGD", "Adam", "Adagrad"):
    for implementation, flags in IMPLEMENTATIONS.items():
        weight = torch.nn.Parameter(torch.tensor([2.0]))
        optimiser = getattr(torch.optim, name)([weight], lr=0.5, **flags)
        square = (weight * weight).sum()
        weight.grad = torch.ones(1)
        before = weight._version
        optimiser.step()
        after, moved = weight._version, weight.item()
        weight.grad = None
        try:
            square.backward()
            outcome = f"gradient {weight.grad.item():g}"
        except RuntimeError:
            outcome = "refused"
        print(f"{name:8} {implementation:9} value 2 -> {moved:g}, version {before} -> {after}, backward: {outcome}")
        expected = (before, "gradient 3") if implementation == "fused" else (before + 1, "refused")
        as_seen &= (after, outcome) == expected
print(f"torch {torch.__version__}:", "as recorded" if as_seen else "CHANGED")
sys.exit(not as_seen)
PYTHON
