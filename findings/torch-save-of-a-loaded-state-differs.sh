#!/usr/bin/env bash
# torch 2.15.0. Guess: a training state that was saved, loaded into a new network and optimiser, and saved again gives the
# first file's bytes: every tensor and number in it is equal, and saving one state twice gives equal files.
# Seen: the files differ. The pickle inside writes a string again unless it is the very object it has met before. The
# optimiser's keys now come out of the file, and "step" of the state around it is another object of that name. With all
# strings interned before saving, the files are equal.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
uv venv --quiet --python 3.11 "$folder/venv"
uv pip install --quiet --python "$folder/venv/bin/python" torch==2.15.0 numpy==2.3.5
"$folder/venv/bin/python" - <<'PYTHON'
import io
import sys
import zipfile

import torch


def fresh():
    torch.manual_seed(0)
    network = torch.nn.Linear(2, 2)
    return network, torch.optim.Adam(network.parameters(), 0.1)


def saved(state):
    file = io.BytesIO()
    torch.save(state, file)
    with zipfile.ZipFile(file) as archive:
        pickle = next(name for name in archive.namelist() if name.endswith("data.pkl"))
        return file.getvalue(), len(archive.read(pickle))


def state_of(network, optimiser):
    return {"network": network.state_dict(), "optimiser": optimiser.state_dict(), "step": 1}


def interned(value):
    if isinstance(value, str):
        return sys.intern(value)
    if isinstance(value, dict):
        return type(value)((interned(name), interned(held)) for name, held in value.items())
    return [interned(held) for held in value] if isinstance(value, list) else value


network, optimiser = fresh()
network(torch.ones(1, 2)).sum().backward()
optimiser.step()
first, length = saved(state_of(network, optimiser))
again = saved(state_of(network, optimiser))[0]
loaded = torch.load(io.BytesIO(first), weights_only=True)
resumed, its_optimiser = fresh()
resumed.load_state_dict(loaded["network"])
its_optimiser.load_state_dict(loaded["optimiser"])
equal = all(torch.equal(a, b) for a, b in zip(network.parameters(), resumed.parameters(), strict=True))
second, other_length = saved(state_of(resumed, its_optimiser))
ours = saved(interned(state_of(network, optimiser)))[0] == saved(interned(state_of(resumed, its_optimiser)))[0]
print(f"one state saved twice: equal files {first == again}; resumed: equal weights {equal}, equal files {first == second}")
print(f"pickles of {length} and {other_length} bytes; strings interned first: equal files {ours}")
as_seen = (first == again, equal, first == second, ours) == (True, True, False, True)
print(f"torch {torch.__version__}:", "as recorded" if as_seen else "CHANGED")
sys.exit(not as_seen)
PYTHON
