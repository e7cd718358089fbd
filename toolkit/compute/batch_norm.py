"""Batch norm over the samples of all processes, so that several give what one would."""

from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.function import once_differentiable

from toolkit.compute.team import Team

NetworkT = TypeVar("NetworkT", bound=nn.Module)
Norm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d


def synchronised(network: NetworkT, team: Team) -> NetworkT:
    """Return the network, its batch norms replaced by ones over all processes' samples; alone, as it is.

    Parameters, buffers and their names stay. On GPUs they are torch's own, which knows no CPU.
    """
    if team.size == 1:
        return network
    if any(parameter.is_cuda for parameter in network.parameters()):
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, Norm):
                setattr(module, name, TeamBatchNorm(child, team))
    return network


class TeamBatchNorm(nn.BatchNorm2d):
    """A batch norm (B, C, ...) that takes its figures, in training, from the samples of all processes."""

    running_mean: torch.Tensor
    running_var: torch.Tensor
    num_batches_tracked: torch.Tensor
    momentum: float

    def __init__(self, norm: Norm, team: Team) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum, affine=False)
        self.affine, self.training, self.team = norm.affine, norm.training, team
        self.weight, self.bias = norm.weight, norm.bias
        for name, buffer in norm.named_buffers():
            self.register_buffer(name, buffer)

    def _check_input_dim(self, input: torch.Tensor) -> None:  # noqa: A002  (torch's name for it)
        """Take features of any number of axes."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return normalised features of the same shape."""
        if not self.training:
            return super().forward(features)
        with torch.no_grad():
            mean, var, count = _figures(features, self.team)
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(var * (count / (count - 1)), self.momentum)
        return _TeamNorm.apply(features, self.weight, self.bias, mean, var, count, self.eps, self.team)


def _figures(features: torch.Tensor, team: Team) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Return mean (C,), biased variance (C,) and number of the values a channel that all processes have."""
    mean, var = torch.batch_norm_update_stats(features, None, None, 0.0)
    own = torch.stack([mean.double(), var.double(), torch.full_like(mean, features.numel() // len(mean)).double()])
    means, variances, counts = team.joined(own[None], team.size).unbind(1)
    count = counts.sum(dim=0)
    mean = (counts * means).sum(dim=0) / count
    var = (counts * (variances + (means - mean).square())).sum(dim=0) / count  # Chan et al. 1979
    return mean.float(), var.float(), count[0].item()


class _TeamNorm(torch.autograd.Function):
    """(features, weight, bias) -> normalised features, by figures that depend on the features of all processes."""

    @staticmethod
    def forward(
        ctx: Any,
        features: torch.Tensor,
        weight: torch.Tensor | None,
        bias: torch.Tensor | None,
        mean: torch.Tensor,
        var: torch.Tensor,
        count: float,
        eps: float,
        team: Team,
    ) -> torch.Tensor:
        ctx.save_for_backward(features, weight, mean, var)
        ctx.count, ctx.eps, ctx.team = count, eps, team
        return F.batch_norm(features, mean, var, weight, bias, eps=eps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        features, weight, mean, var = ctx.saved_tensors
        scale = (var + ctx.eps).rsqrt()
        # What the samples give weight and bias is summed over processes with other gradients.
        _, along, plain = torch.ops.aten.native_batch_norm_backward(
            grad, features, weight, mean, var, None, None, False, ctx.eps, [False, True, True]
        )
        mean_along, mean_plain = ctx.team.total(torch.stack([along.float(), plain.float()])) / ctx.count
        gain = scale if weight is None else scale * weight
        slope = -gain * scale * mean_along
        offset = -gain * mean_plain - slope * mean
        # slope * features + offset, for which batch norm is faster than arithmetic, then what figures held fixed give
        back = F.batch_norm(features, torch.zeros_like(mean), torch.ones_like(var), slope, offset, eps=0.0)
        back.addcmul_(grad, _beside(gain, grad))
        learnt = (None, None) if weight is None else (along, plain)
        return back, *learnt, None, None, None, None, None


def _beside(values: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """Return values (C,) shaped, and rounded, to go with features (B, C, ...)."""
    return values.view(1, -1, *[1] * (features.dim() - 2)).to(features.dtype)
