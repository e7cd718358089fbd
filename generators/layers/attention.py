"""The self-attention of the BigGAN families (Zhang et al. 2019, 1805.08318), frozen."""

import torch
import torch.nn.functional as F
from torch import nn

from generators.frozen import FixedConv


class PooledAttention(nn.Module):
    """Every pixel attends to the 2x2 max-pooled pixels, without the usual 1 / sqrt(d).

    theta and phi (C / 8, C, 1, 1) lead to queries and keys, g (C / 2, C, 1, 1) to values; `output` (C, C / 2, 1, 1)
    back to what is added, the learned gain in it.
    """

    def __init__(self, theta: torch.Tensor, phi: torch.Tensor, g: torch.Tensor, output: torch.Tensor) -> None:
        super().__init__()
        # Zero channels change no product; the fused attention of CPUs needs keys as long as the values.
        filler = theta.new_zeros(len(g) - len(theta), *theta.shape[1:])
        self.query = FixedConv(torch.cat([theta, filler]))
        self.key_value = FixedConv(torch.cat([phi, filler, g]))
        self.output = FixedConv(output)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return features of the same shape (B, C, H, W)."""
        key, value = F.max_pool2d(self.key_value(x), 2).chunk(2, dim=1)
        # (B, 1, pixels, C / 2)
        q, k, v = (features.flatten(2).mT[:, None] for features in (self.query(x), key, value))
        attended = F.scaled_dot_product_attention(q, k, v, scale=1.0)[:, 0].mT
        return x + self.output(attended.unflatten(2, x.shape[2:]))
