"""A segmenter as a program of torch: the same network under torch.export or TorchScript."""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from segmentation.predict.inference import folded
from segmentation.unet.network import SMALLEST_SIDE, UNet, Up
from toolkit.compute import programs
from toolkit.files.writing import replacing

CARD = "card.json"
# torch.export takes an axis of one for another case than any longer one: four halvings may not come down to it.
SMALLEST_EXPORTED = 2 * SMALLEST_SIDE
_EXAMPLE = (2, 3, 2 * SMALLEST_SIDE + 3, 2 * SMALLEST_SIDE + 5)  # odd sides, which are padded


class ForegroundNet(nn.Module):
    """Images (B, 3, H, W) in [-1, 1], sides at least 16, -> foreground probabilities (B, H, W), batch norms folded.

    Unlike the U-Net's own pass it has no branch on a size, so that tracing it once holds for all.
    """

    def __init__(self, network: UNet) -> None:
        super().__init__()
        self.network = folded(network).cpu().to(memory_format=torch.contiguous_format)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return foreground probabilities (B, H, W)."""
        net = self.network
        first = net.inc(images)
        second = net.down1(first)
        third = net.down2(second)
        fourth = net.down3(third)
        features = _joined(net.up1, net.down4(fourth), fourth)
        features = _joined(net.up2, features, third)
        features = _joined(net.up3, features, second)
        return net.outc(_joined(net.up4, features, first)).softmax(dim=1)[:, 1]


def _joined(up: Up, below: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
    """Return what `up` returns, padding always: by none or one, since halving rounds down."""
    grown = up.up(below)
    padding = [0, skip.shape[3] - grown.shape[3], 0, skip.shape[2] - grown.shape[2]]
    return up.conv(torch.cat([skip, F.pad(grown, padding)], dim=1))


def save_exported(path: Path, network: UNet, card: Mapping[str, Any]) -> None:
    """Write the network as a `.pt2` file of torch.export, its card in it.

    It takes any batch, and sides from SMALLEST_EXPORTED on.
    """
    sides = {0: torch.export.Dim("batch", min=1), 2: _side("height"), 3: _side("width")}
    with torch.no_grad():
        program = torch.export.export(
            ForegroundNet(network).eval(), (torch.zeros(_EXAMPLE),), dynamic_shapes={"images": sides}
        )
    with replacing(path) as temporary:
        programs.save_exported(program, temporary, {CARD: json.dumps(card, allow_nan=False)})


def _side(name: str) -> Any:
    return torch.export.Dim(name, min=SMALLEST_EXPORTED)


def save_script(path: Path, network: UNet, card: Mapping[str, Any]) -> None:
    """Write the network as a TorchScript file, of any batch, height and width, with its card in it."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch calls the format deprecated; programs that read it are around
        traced = torch.jit.trace(ForegroundNet(network).eval(), torch.zeros(_EXAMPLE))
        with replacing(path) as temporary:
            programs.save_script(traced, temporary, {CARD: json.dumps(card, allow_nan=False)})
