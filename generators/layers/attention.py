"""The self-attention of the BigGAN families (Zhang et al. 2019, 1805.08318), frozen."""

import torch
import torch.nn.functional as F
from torch import nn

from generators.frozen import FixedConv

_QUERIES = 512  # at a time: their shares in 1,024 keys are 2 MB, which a processor's cache holds


class PooledAttention(nn.Module):
    """Every pixel attends to the 2x2 max-pooled pixels, without the usual 1 / sqrt(d).

    theta and phi (C / 8, C, 1, 1) lead to queries and keys, g (C / 2, C, 1, 1) to values; `output` (C, C / 2, 1, 1)
    back to what is added, the learned gain in it.
    """

    def __init__(self, theta: torch.Tensor, phi: torch.Tensor, g: torch.Tensor, output: torch.Tensor) -> None:
        super().__init__()
        self.sizes = (len(theta), len(g))
        self.inputs = FixedConv(torch.cat([theta, phi, g]))
        self.output = FixedConv(output)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return features of the same shape (B, C, H, W)."""
        short, long = self.sizes
        inputs = self.inputs(x)
        query = inputs[:, :short]
        _, key, value = F.max_pool2d(inputs, 2).split([short, short, long], dim=1)  # a part alone would be copied first
        # (B, pixels, C / 8 or C / 2)
        attended = _attended(*(features.flatten(2).mT for features in (query, key, value)))
        return self.output(attended.mT.unflatten(2, x.shape[2:])).add_(x)


def _attended(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Return the values (B, N, V) that queries (B, N, K) attend to."""
    if query.device.type == "cpu" and query.dtype == torch.float32 and not query.requires_grad:
        # A third faster than the fused attention, whose keys have to be as long as the values, that is, four times so.
        blocks = (torch.bmm(torch.softmax(torch.bmm(some, key.mT), dim=2), value) for some in query.split(_QUERIES, 1))
        return torch.cat(list(blocks), dim=1)
    # With gradients the fused one spares a matrix of all pairs of pixels. Zeros change no product.
    query, key = (F.pad(short, (0, value.shape[2] - short.shape[2])) for short in (query, key))
    return F.scaled_dot_product_attention(query[:, None], key[:, None], value[:, None], scale=1.0)[:, 0]
