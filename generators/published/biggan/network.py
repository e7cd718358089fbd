"""The BigGAN family (Brock et al. 2019, 1809.11096) for inference, exact to the published weights.

A published state holds weights that a spectral norm divides on every forward, statistics, and projections of
a class embedding. None of that changes at inference: it is computed once, when the network is built.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from generators.frozen import FIRST_SIDE, FirstFeatures, FixedConv, FrozenNetwork, modulated
from generators.layers.attention import PooledAttention
from generators.layers.residual import Affine, ConditionalBlock, Layer, conditional_norm
from generators.published.biggan.layout import BIGBIGAN, BIGGAN_128, BigGANShape, infer_shape, published_shapes

__all__ = ["BIGBIGAN", "BIGGAN_128", "BigGANNetwork", "BigGANShape", "infer_shape", "published_shapes"]

_OUTPUT_NORM_EPS = 1e-5  # the original hands its bn_eps to the conditional norms only, never to the last one


def spectral_sigma(weight: torch.Tensor, u0: torch.Tensor, eps: float) -> torch.Tensor:
    """Return the scalar by which the original divides `weight` (out, ...) in evaluation mode.

    One power iteration from the stored u0 (1, out) and no more: neither the exact spectral norm nor u0 W v.
    """
    matrix = weight.flatten(1)
    v = F.normalize(u0 @ matrix, eps=eps)
    forward = v @ matrix.T
    return (forward * F.normalize(forward, eps=eps)).sum()


@dataclass(frozen=True)
class _Published:
    """A published state, read as float32 with the spectral norm divided out."""

    tensors: Mapping[str, torch.Tensor]
    shape: BigGANShape

    def __getitem__(self, name: str) -> torch.Tensor:
        return self.tensors[name].float()

    def weight(self, layer: str) -> torch.Tensor:
        weight = self[f"{layer}.weight"]
        return weight / spectral_sigma(weight, self[f"{layer}.u0"], self.shape.sn_eps)

    def layer(self, layer: str) -> Layer:
        return self.weight(layer), self[f"{layer}.bias"]

    def norm(self, name: str) -> Affine:
        mean, variance = self[f"{name}.stored_mean"], self[f"{name}.stored_var"]
        gain, bias = self.weight(f"{name}.gain"), self.weight(f"{name}.bias")
        return conditional_norm(mean, variance, gain, bias, self.shape.bn_eps)


def _block(published: _Published, index: int) -> ConditionalBlock:
    name, side = f"blocks.{index}.0", FIRST_SIDE * 2**index
    first, second, shortcut = (published.layer(f"{name}.{conv}") for conv in ("conv1", "conv2", "conv_sc"))
    norms = published.norm(f"{name}.bn1"), published.norm(f"{name}.bn2")
    return ConditionalBlock(first, second, shortcut, norms, published["shared.weight"], side)


def _attention(published: _Published, name: str) -> PooledAttention:
    theta, phi, g, o = (published.weight(f"{name}.{layer}") for layer in ("theta", "phi", "g", "o"))
    return PooledAttention(theta, phi, g, published[f"{name}.gamma"] * o)


class BigGANNetwork(FrozenNetwork):
    """z (B, dim_z), y (B,) int64 -> images (B, 3, S, S) in [-1, 1]; frozen, gradients reach z.

    Built from a published state that fits `shape`; `sv0` entries are not read.
    """

    feature_layer = "blocks.0"
    scale: torch.Tensor
    offset: torch.Tensor

    def __init__(self, shape: BigGANShape, state: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        published = _Published(state, shape)
        self.shape = shape
        self.latent_dim = shape.dim_z
        self.image_size = shape.resolution
        self.linear = FirstFeatures(*published.layer("linear"))
        self.blocks = nn.ModuleList(_block(published, i) for i in range(shape.num_blocks))
        self.after = nn.ModuleList(
            _attention(published, f"blocks.{i}.1") if i == shape.attention_block else nn.Identity()
            for i in range(shape.num_blocks)
        )
        inverse = (published["output_layer.0.stored_var"] + _OUTPUT_NORM_EPS).rsqrt()
        scale = (published["output_layer.0.gain"] * inverse)[None]
        self.register_buffer("scale", scale)
        self.register_buffer(
            "offset", published["output_layer.0.bias"] - published["output_layer.0.stored_mean"] * scale
        )
        self.to_rgb = FixedConv(*published.layer("output_layer.2"))

    def forward(self, z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return the images of latents z and classes y."""
        first, *chunks = z.split(self.shape.chunk, dim=1)
        h = self.linear(first)
        for block, after, chunk in zip(self.blocks, self.after, chunks, strict=True):
            h = after(block(h, y, chunk))
        return torch.tanh(self.to_rgb(modulated(h, self.scale, self.offset)).float())

    def first_weights(self) -> list[torch.Tensor]:
        """Return the weights (M_i, dim_z) of the maps of every latent chunk, 0 in the columns of the other chunks.

        The first map leads to the features, those of the blocks to the scales and offsets of their two norms, as
        they act here: spectral norm and statistics are divided out.
        """
        maps = [self.linear.weight, *(self.get_buffer(f"blocks.{i}.projection").T for i in range(len(self.blocks)))]
        chunk = self.shape.chunk
        return [F.pad(m.float(), (i * chunk, self.shape.dim_z - (i + 1) * chunk)) for i, m in enumerate(maps)]
