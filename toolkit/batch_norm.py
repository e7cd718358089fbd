"""Batch norm over the samples of all processes, so that several give what one would."""

from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

from toolkit.team import Team

NetworkT = TypeVar("NetworkT", bound=nn.Module)


def synchronised(network: NetworkT, team: Team) -> NetworkT:
    """Return the network, its batch norms replaced by ones over all processes' samples; alone, as it is.

    Parameters, buffers and their names stay. torch's own SyncBatchNorm does the same on GPUs alone.
    """
    if team.size > 1:
        for module in list(network.modules()):
            for name, child in module.named_children():
                if isinstance(child, _BatchNorm):
                    setattr(module, name, TeamBatchNorm(child, team))
    return network


class TeamBatchNorm(_BatchNorm):
    """A batch norm (B, C, ...) that takes its figures, in training, from the samples of all processes."""

    running_mean: torch.Tensor
    running_var: torch.Tensor
    num_batches_tracked: torch.Tensor
    momentum: float

    def __init__(self, norm: _BatchNorm, team: Team) -> None:
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
        normed, mean, var, count = _TeamNorm.apply(features, self.weight, self.bias, self.eps, self.team)
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(var * (count / (count - 1)), self.momentum)
        return normed


class _TeamNorm(torch.autograd.Function):
    """(features, weight, bias) -> normalised features, and mean (C,), biased variance (C,) and count they came from."""

    @staticmethod
    def forward(
        ctx: Any,
        features: torch.Tensor,
        weight: torch.Tensor | None,
        bias: torch.Tensor | None,
        eps: float,
        team: Team,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        axes = [axis for axis in range(features.dim()) if axis != 1]
        own = features.numel() // features.shape[1]
        exact = features.float()
        sums = team.total(torch.cat([exact.sum(axes), exact.new_tensor([own])]))
        count = sums[-1]
        mean = sums[:-1] / count
        # In two exchanges: the mean of squares less the square of the mean would lose digits where means are large.
        var = team.total((exact - _beside(mean, features)).square_().sum(axes)) / count
        ctx.save_for_backward(features, weight, mean, (var + eps).rsqrt(), count)
        ctx.team = team
        ctx.mark_non_differentiable(mean, var, count)
        return F.batch_norm(features, mean, var, weight, bias, eps=eps), mean, var, count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor, *_: Any) -> tuple[torch.Tensor | None, ...]:
        features, weight, mean, scale, count = ctx.saved_tensors
        axes = [axis for axis in range(features.dim()) if axis != 1]
        centred = (features.float() - _beside(mean, features)) * _beside(scale, features)
        exact = grad.float()
        along, plain = (exact * centred).sum(axes), exact.sum(axes)
        mean_along, mean_plain = ctx.team.total(torch.stack([along, plain])) / count
        back = exact - _beside(mean_plain, features) - centred * _beside(mean_along, features)
        gain = scale if weight is None else scale * weight
        # What the own samples give weight and bias; these are summed over processes with all other gradients.
        weighted = None if weight is None else along
        return (back * _beside(gain, features)).to(grad.dtype), weighted, None if weight is None else plain, None, None


def _beside(values: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """Return values (C,) shaped to go with features (B, C, ...)."""
    return values.view(1, -1, *[1] * (features.dim() - 2))
