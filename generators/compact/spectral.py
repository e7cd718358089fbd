"""Spectral normalisation (Miyato et al. 2018) with few passes over the weight.

What torch's parametrisation computes, under the same names in state dicts: it reads the weight five times forward and
seven times backward, this one three times each, and copies nothing where the layout is channels-last.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn.utils.parametrize import register_parametrization

_FIRST_ITERATIONS = 15
_EPS = 1e-12


def normed(layer: nn.Module, gain: float = 1.0) -> nn.Module:
    """Return the layer with its weight kept at spectral norm `gain`, estimated by one power iteration a call."""
    weight = layer.weight
    assert isinstance(weight, nn.Parameter)
    register_parametrization(layer, "weight", _Spectral(weight.detach(), gain))
    return layer


class _Spectral(nn.Module):
    """Weight (O, I, ...) -> gain * weight / its largest singular value as a matrix (O, I * ...)."""

    _u: torch.Tensor
    _v: torch.Tensor

    def __init__(self, weight: torch.Tensor, gain: float) -> None:
        super().__init__()
        self.gain = gain
        self.register_buffer("_u", F.normalize(weight.new_empty(len(weight)).normal_(), dim=0, eps=_EPS))
        self.register_buffer("_v", F.normalize(weight.new_empty(weight[0].numel()).normal_(), dim=0, eps=_EPS))
        self._iterate(weight, _FIRST_ITERATIONS)

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """Return the normalised weight; in training after a step of power iteration."""
        if self.training:
            self._iterate(weight.detach(), 1)
        u, v = self._u.clone(), self._v.clone()  # a later call moves them, before this one's backward pass
        return _Divided.apply(weight, u, _ordered(v, weight), self.gain)

    @torch.no_grad()
    def _iterate(self, weight: torch.Tensor, times: int) -> None:
        matrix, v = _matrix(weight), _ordered(self._v, weight)
        for _ in range(times):
            self._u.copy_(F.normalize(torch.mv(matrix, v), dim=0, eps=_EPS))
            v = F.normalize(torch.mv(matrix.mT, self._u), dim=0, eps=_EPS)
        self._v.copy_(_usual(v, weight))


def _matrix(weight: torch.Tensor) -> torch.Tensor:
    """Return a weight (O, I, ...) as a matrix (O, ... * I), as it lies in memory where that is channels-last."""
    return weight.movedim(1, -1).flatten(1)


def _ordered(row: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return a row (I * ...) in the order of the matrix's columns."""
    return row.view(weight.shape[1:]).movedim(0, -1).flatten()


def _usual(row: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return a row in the order of the matrix's columns as (I * ...)."""
    kernel = weight.shape[2:]
    return row.view(*kernel, -1).movedim(-1, 0).flatten()


class _Divided(torch.autograd.Function):
    """(weight, u, v, gain) -> gain * weight / sigma, sigma = u^T W v; u and v are held fixed."""

    @staticmethod
    def forward(ctx: Any, weight: torch.Tensor, u: torch.Tensor, v: torch.Tensor, gain: float) -> torch.Tensor:
        sigma = torch.dot(u, torch.mv(_matrix(weight), v))  # mv, unlike @, stays in 32 bits under autocast
        factor = gain / sigma
        normed = weight * factor
        ctx.save_for_backward(normed, factor, u, v)
        ctx.gain = gain
        return normed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        normed, factor, u, v = ctx.saved_tensors
        along = torch.dot(_matrix(grad).flatten(), _matrix(normed).flatten()) / ctx.gain
        own = torch.addr(_matrix(grad), u * along, v, alpha=-1.0).mul_(factor)
        return own.view(len(grad), *grad.shape[2:], grad.shape[1]).movedim(-1, 1), None, None, None
