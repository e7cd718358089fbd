"""PyTorch-StudioGAN's BigGAN and SNGAN for inference, exact to the published weights.

They differ from others of these names: eps of every norm is 1e-4, and spectral norms are torch's own.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import nn

from generators.frozen import FIRST_SIDE, FirstFeatures, FixedConv, FrozenNetwork, modulated
from generators.layers.attention import PooledAttention
from generators.layers.residual import Affine, ConditionalBlock, FixedBlock, conditional_norm, fixed_norm
from generators.layers.spectral import HookedState
from generators.published.studiogan.layout import ATTENTION, CONVS, StudioGANShape

_NORM_EPS = 1e-4


class _Published(HookedState):
    """A published state, whose norms are read too."""

    def statistics(self, norm: str) -> tuple[torch.Tensor, torch.Tensor]:
        return self[f"{norm}.running_mean"], self[f"{norm}.running_var"]

    def fixed(self, norm: str) -> torch.Tensor:
        return fixed_norm(*self.statistics(norm), (self[f"{norm}.weight"], self[f"{norm}.bias"]), _NORM_EPS)

    def conditional(self, norm: str) -> Affine:
        gain, bias = self.weight(f"{norm}.gain"), self.weight(f"{norm}.bias")
        return conditional_norm(*self.statistics(f"{norm}.bn"), gain, bias, _NORM_EPS)


def _attention(published: _Published, name: str) -> PooledAttention:
    theta, phi, g, o = (published.weight(f"{name}.conv1x1_{part}") for part in ATTENTION)
    return PooledAttention(theta, phi, g, published[f"{name}.sigma"] * o)


def _block(published: _Published, name: str, side: int, conditional: bool) -> ConditionalBlock | FixedBlock:
    first, second, shortcut = (published.layer(f"{name}.{conv}") for conv in CONVS)
    if conditional:
        norms = published.conditional(f"{name}.bn1"), published.conditional(f"{name}.bn2")
        return ConditionalBlock(first, second, shortcut, norms, published["shared.weight"], side)
    modulation = torch.cat([published.fixed(f"{name}.bn1"), published.fixed(f"{name}.bn2")])
    return FixedBlock(first, second, shortcut, modulation, side)


class StudioGANNetwork(FrozenNetwork):
    """z (B, D), and classes (B,) int64 of a conditional one -> images (B, 3, S, S) in [-1, 1]; gradients reach z.

    Built from a published state that fits `shape`, whose classes are embedded if there are any.
    """

    feature_layer = "blocks.0"
    scale: torch.Tensor
    offset: torch.Tensor

    def __init__(self, shape: StudioGANShape, state: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        published = _Published(state)
        self.shape, self.latent_dim, self.image_size = shape, shape.latent_dim, shape.image_size
        self.linear = FirstFeatures(*published.layer("linear0"))
        self.blocks = nn.ModuleList()
        for i, doubles in enumerate(shape.kinds):
            name, side = f"blocks.{i}.0", FIRST_SIDE * 2 ** shape.kinds[:i].count(True)
            conditional = bool(shape.num_classes)
            self.blocks.append(_block(published, name, side, conditional) if doubles else _attention(published, name))
        scale, offset = published.fixed("bn4").chunk(2)
        self.register_buffer("scale", scale[None])
        self.register_buffer("offset", offset[None])
        self.to_rgb = FixedConv(*published.layer("conv2d5"))

    def forward(self, z: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        """Return the images of latents z and classes y."""
        first, *chunks = z.split(self.shape.chunk, dim=1)
        h, left = self.linear(first), iter(chunks)
        for block in self.blocks:
            h = block(h, y, next(left)) if isinstance(block, ConditionalBlock) else block(h)
        scale, offset = self.scale.to(h.dtype), self.offset.to(h.dtype)
        return torch.tanh(self.to_rgb(modulated(h, scale, offset)).float())

    def first_weights(self) -> list[torch.Tensor]:
        """Return the weights (M_i, D) of the maps of every latent chunk, 0 in the columns of the other chunks.

        The first map leads to the features, those of conditional blocks to the scales and offsets of their norms.
        """
        blocks = [block for block in self.blocks if isinstance(block, ConditionalBlock)]
        maps, chunk = [self.linear.weight, *(block.projection.T for block in blocks)], self.shape.chunk
        return [F.pad(m.float(), (i * chunk, self.latent_dim - (i + 1) * chunk)) for i, m in enumerate(maps)]
