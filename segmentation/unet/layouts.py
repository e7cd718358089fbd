"""The layouts of published segmentation networks, one table, and the network that a file's entries make."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from segmentation.unet.network import UNet
from toolkit.errors import UserError
from toolkit.files.artefacts import Tensors, differences, match_state
from toolkit.untrusted.wrapped import stripped, tables_in


@dataclass(frozen=True)
class SegmenterLayout:
    """One layout: `mark` is an entry that distinguishes it, a weight of a convolution.

    `build` makes the network, without memory of its own, whose sizes the state says that holds the mark.
    """

    mark: str
    build: Callable[[Tensors], UNet]


LAYOUTS = (
    # "Object Segmentation Without Labels with Large-Scale Generative Models" (2021), u_net_imagenet.pth, and ours.
    SegmenterLayout(
        "outc.conv.weight",
        lambda state: UNet(width=state["outc.conv.weight"].shape[1], bilinear="up1.up.weight" not in state),
    ),
)


def holds_network(held: object) -> bool:
    """Return whether what a weights file holds has a network's weights in it, whole or not, wherever they stand."""
    return any(layout.mark in stripped(table) for _, table in tables_in(held) for layout in LAYOUTS)


def is_whole(state: Tensors) -> bool:
    """Return whether a state has all entries of a network of its layout, and no other."""
    network = _unfilled(state)
    return network is not None and not differences(state, _shapes(network))


def network_of(state: Tensors, path: Path) -> UNet:
    """Return the network of a state read from `path`; UserError when it has no known layout or does not fit."""
    network = _unfilled(state)
    if network is None:
        marks = " and ".join(layout.mark for layout in LAYOUTS)
        raise UserError(f"{path} holds no U-Net weights: {marks} is missing; check that it is the right file")
    match_state(state, _shapes(network), path, f"a U-Net of width {network.width}")
    # Taken as they are, in the network's own precision: giving a network without weights memory first, as `to_empty`
    # does, makes torch import sympy, which takes longer than all the rest of opening a segmenter.
    own = {name: state[name].to(empty.dtype) for name, empty in network.state_dict().items()}
    network.load_state_dict(own, assign=True)
    return network


def _unfilled(state: Tensors) -> UNet | None:
    """Return the network that the state's layout and sizes say, without weights, or None."""
    for layout in LAYOUTS:
        if layout.mark in state and state[layout.mark].dim() == 4:
            with torch.device("meta"):
                return layout.build(state)
    return None


def _shapes(network: UNet) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in network.state_dict().items()}
