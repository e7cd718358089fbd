"""Residual blocks that double the side, of the BigGAN and SNGAN families: two norms, two 3x3 and one 1x1 convolution.

Frozen: what norms do at inference is a scale and an offset, for a conditional one affine in the condition.
"""

import torch
from torch import nn

from generators.frozen import FixedConv, add_doubled, modulated, upsampled_conv
from generators.layers.winograd import wide_conv

Layer = tuple[torch.Tensor, torch.Tensor]  # weight and bias
Affine = tuple[torch.Tensor, torch.Tensor]  # of a norm: see below


def fixed_norm(mean: torch.Tensor, variance: torch.Tensor, weight: Layer, eps: float) -> torch.Tensor:
    """Return scale and offset (2 C,) of a batch norm of these statistics (C,) and of weight and bias (C,)."""
    scale = weight[0].double() * (variance.double() + eps).rsqrt()
    return torch.cat([scale, weight[1].double() - mean.double() * scale]).float()


def conditional_norm(
    mean: torch.Tensor, variance: torch.Tensor, gain: torch.Tensor, bias: torch.Tensor, eps: float
) -> Affine:
    """Return (2 C, condition) and (2 C,), in double: scale and offset of the features, affine in the condition.

    The norm has statistics (C,), the scale 1 + gain and the offset bias, both linear in the condition: (C, condition).
    """
    inverse = (variance.double() + eps).rsqrt()[:, None]
    scale = inverse * gain.double()
    offset = bias.double() - mean.double()[:, None] * scale
    return torch.cat([scale, offset]), torch.cat([inverse, -mean.double()[:, None] * inverse])[:, 0]


class DoublingBlock(nn.Module):
    """A block without its norms: `forward` takes their scales and offsets side by side."""

    def __init__(self, first: Layer, second: Layer, shortcut: Layer, side: int) -> None:
        super().__init__()
        self.conv1 = upsampled_conv(*first, side)
        # What the second convolution adds everywhere, the shortcut adds for it: of a quarter of the pixels.
        self.conv2 = wide_conv(second[0], None, 2 * side)
        self.shortcut = FixedConv(shortcut[0], shortcut[1] + second[1])
        self.channels = (first[0].shape[1], len(first[0]))

    def modulated(self, x: torch.Tensor, modulation: torch.Tensor) -> torch.Tensor:
        """Return features (B, C', 2H, 2W) of x (B, C, H, W), by scales and offsets (B or 1, 2 C + 2 C')."""
        a, b = self.channels
        scale1, offset1, scale2, offset2 = modulation.split([a, a, b, b], dim=1)
        h = self.conv1(modulated(x, scale1, offset1))
        h = self.conv2(modulated(h, scale2, offset2))
        # A 1x1 convolution commutes with nearest doubling, hence a shortcut at a quarter of the pixels.
        return add_doubled(h, self.shortcut(x))


class FixedBlock(DoublingBlock):
    """A block whose norms depend on nothing; `modulation` (2 C + 2 C',) has their scales and offsets."""

    modulation: torch.Tensor

    def __init__(self, first: Layer, second: Layer, shortcut: Layer, modulation: torch.Tensor, side: int) -> None:
        super().__init__(first, second, shortcut, side)
        self.register_buffer("modulation", modulation[None])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return features (B, C', 2H, 2W) of x (B, C, H, W)."""
        return self.modulated(x, self.modulation.to(x.dtype))


class ConditionalBlock(DoublingBlock):
    """A block whose two `norms` (see conditional_norm) are affine in the condition [class embedding, latent chunk].

    `embedded` (N, S) are the embeddings of all classes: the class part of the norms is known beforehand.
    """

    class_terms: torch.Tensor
    projection: torch.Tensor

    def __init__(
        self,
        first: Layer,
        second: Layer,
        shortcut: Layer,
        norms: tuple[Affine, Affine],
        embedded: torch.Tensor,
        side: int,
    ) -> None:
        super().__init__(first, second, shortcut, side)
        projection, constant = (torch.cat(parts) for parts in zip(*norms, strict=True))
        by_class, by_chunk = projection.tensor_split([embedded.shape[1]], dim=1)
        self.register_buffer("class_terms", (embedded.double() @ by_class.T + constant).float())
        self.register_buffer("projection", by_chunk.T.float().contiguous())

    def forward(self, x: torch.Tensor, y: torch.Tensor, chunk: torch.Tensor) -> torch.Tensor:
        """Return features (B, C', 2H, 2W) of x (B, C, H, W), classes (B,) and chunks of the latent (B, D')."""
        return self.modulated(x, torch.addmm(self.class_terms[y], chunk, self.projection))
