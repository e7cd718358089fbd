#!/usr/bin/env bash
# pytorch-pretrained-biggan 0.1.1 with torch 2.15.0 on a CPU. Guess: what from_pretrained returns renders the same latent
# twice alike, since there is no dropout and its batch norm reads stored statistics; and between two stored truncations the
# statistics are those of the nearer one, mostly.
# Seen: the network is left in training mode, where the old hook of spectral norm takes a step of its power iteration at
# every call: equal calls give other images, and rendering changes the weights' state. And the interpolation is the wrong
# way round: a tenth of the way from a stored row to the next gives nine tenths of the next.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
uv venv --quiet --python 3.11 "$folder/venv"
uv pip install --quiet --python "$folder/venv/bin/python" pytorch-pretrained-biggan==0.1.1 torch==2.15.0 numpy==2.4.6 scipy==1.17.1  # scipy is imported, but not declared
seen="$("$folder/venv/bin/python" -W ignore - "$folder" <<'PYTHON'
import sys
from pathlib import Path

import torch
from pytorch_pretrained_biggan import BigGAN, BigGANConfig
from pytorch_pretrained_biggan.model import BigGANBatchNorm

torch.manual_seed(0)
config = BigGANConfig(output_dim=128, channel_width=8, num_classes=10)
folder = Path(sys.argv[1]) / "saved"
folder.mkdir()
torch.save(BigGAN(config).state_dict(), folder / "pytorch_model.bin")
(folder / "config.json").write_text(config.to_json_string())
network = BigGAN.from_pretrained(str(folder))
z, label = torch.randn(1, 128), torch.eye(10)[:1]
with torch.no_grad():
    first, second = (network(z, label, 1.0) for _ in range(2))
    still = network.eval()
    third, fourth = (still(z, label, 1.0) for _ in range(2))
print("training mode" if first.sub(second).abs().max() > 0 else "evaluation mode", end=", ")
print("eval() stops it" if torch.equal(third, fourth) else "eval() does not stop it", end=", ")
norm = BigGANBatchNorm(1, n_stats=51, conditional=False)
norm.weight.data.fill_(1)
norm.bias.data.zero_()
norm.running_means.copy_(torch.arange(51.0)[:, None])
norm.running_vars.fill_(1 - norm.eps)
with torch.no_grad():
    mean = -float(norm(torch.zeros(1, 1, 1, 1), 0.02 * 10.1))
print(f"row 10.1 is read as {mean:.1f}")
PYTHON
)"
echo "$seen"
test "$seen" = "training mode, eval() stops it, row 10.1 is read as 10.9" && echo "as recorded" || { echo CHANGED; exit 1; }
