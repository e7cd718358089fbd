"""Weights behind torch's hook of spectral norm, as its states hold them: `weight_orig`, `weight_u` and `weight_v`."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F


def hooked_weight(state: Mapping[str, torch.Tensor], layer: str) -> torch.Tensor:
    """Return the float32 weight of `layer` in evaluation mode: `weight_orig` / (u . W v), or its plain `weight`.

    The stored u and v are taken as they are, without a further power step. Where v is missing it is W^T u at length 1.
    """
    if f"{layer}.weight_orig" not in state:
        return state[f"{layer}.weight"].float()
    weight = state[f"{layer}.weight_orig"].float()
    matrix, u = weight.flatten(1), state[f"{layer}.weight_u"].float()
    v = state[f"{layer}.weight_v"].float() if f"{layer}.weight_v" in state else F.normalize(matrix.T @ u, dim=0)
    return weight / torch.dot(u, matrix @ v)


def hooked_shapes(layer: str, weight: tuple[int, ...], bias: bool = True) -> dict[str, tuple[int, ...]]:
    """Return name -> shape of the entries of a layer behind the hook; `weight` (out, in, ...) is the weight's shape."""
    inputs = 1
    for size in weight[1:]:
        inputs *= size
    shapes = {f"{layer}.weight_orig": weight, f"{layer}.weight_u": weight[:1], f"{layer}.weight_v": (inputs,)}
    return {f"{layer}.bias": weight[:1], **shapes} if bias else shapes


@dataclass(frozen=True)
class HookedState:
    """A published state, read as float32 with the spectral norm divided out."""

    tensors: Mapping[str, torch.Tensor]

    def __getitem__(self, name: str) -> torch.Tensor:
        return self.tensors[name].float()

    def weight(self, layer: str) -> torch.Tensor:
        """Return the weight (out, in, ...) of a layer (see hooked_weight)."""
        return hooked_weight(self.tensors, layer)

    def layer(self, layer: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Return weight (out, in, ...) and bias (out,) of a layer."""
        return self.weight(layer), self[f"{layer}.bias"]
