"""BigGAN-deep (Brock et al. 2019, 1809.11096) for inference, exact to the published weights.

Spectral norms are divided out when the network is built, and the statistics of one truncation are taken from those that
the weights hold for many: neither changes from one image to the next.
"""

import copy
import math
from collections.abc import Mapping
from typing import Self

import torch
from torch import nn

from generators.frozen import (
    FIRST_SIDE,
    ColourConv,
    FirstFeatures,
    FixedConv,
    FrozenNetwork,
    add_doubled,
    modulated,
    upsampled_conv,
)
from generators.layers.attention import PooledAttention
from generators.layers.spectral import HookedState
from generators.layers.winograd import wide_conv
from generators.published.biggan_deep.layout import NORMS, BigGANDeepShape

# On CPUs in 32 bits 512 channels at side 8 take 5 ms by differences of neighbours, 9 in one.
_DIFFERENCED = 512
_COLOURS = 3  # of the channels that the last convolution has in the file; the original computes and drops the others


class Statistics(nn.Module):
    """Means and variances of features, in rows for truncations from 0 to 1, and those of one truncation.

    The original mixes neighbouring rows the other way round than one would: q of the row below, 1 - q of the one
    above, q being how far the truncation is from the row below. So were its images made, and so are these. It finds
    the row by a division of doubles, by which 0.58 / 0.02 is less than 29: of truncation 0.58 it takes row 28.
    """

    mean: torch.Tensor
    inverse: torch.Tensor

    def __init__(self, means: torch.Tensor, variances: torch.Tensor, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("means", means)
        self.register_buffer("variances", variances)
        self.choose(1.0)

    def choose(self, truncation: float) -> None:
        """Take the statistics of another truncation in (0, 1]."""
        mean, variance = (self._mixed(self.get_buffer(name).double(), truncation) for name in ("means", "variances"))
        self.register_buffer("mean", mean.float())
        self.register_buffer("inverse", (variance + self.eps).rsqrt().float())

    @staticmethod
    def _mixed(rows: torch.Tensor, truncation: float) -> torch.Tensor:
        spacing = 1.0 / (len(rows) - 1)
        beyond, row = math.modf(truncation / spacing)
        below = rows[int(row)]
        return below if beyond == 0 else below * beyond + rows[min(int(row) + 1, len(rows) - 1)] * (1 - beyond)


class Norms(nn.Module):
    """Condition (B, 2 D) -> scales and offsets (B, C) of all norms of a block, which are affine in the condition.

    The biases of the convolutions in front of all but the first norm are taken off the means: no pass over the features
    has to add them.
    """

    projection: torch.Tensor

    def __init__(self, published: HookedState, name: str, eps: float) -> None:
        super().__init__()
        names = [f"{name}.{norm}" for norm in NORMS]
        maps = [published.weight(f"{norm}.{part}") for part in ("scale", "offset") for norm in names]
        self.register_buffer("projection", torch.cat(maps).T.contiguous())
        means, variances = (
            torch.cat([published[f"{norm}.running_{part}"] for norm in names], dim=1) for part in ("means", "vars")
        )
        biases = torch.cat([published[f"{name}.conv_{k}.bias"] for k in range(len(NORMS) - 1)])
        means[:, -len(biases) :] -= biases
        self.statistics = Statistics(means, variances, eps)

    def forward(self, condition: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return scales and offsets (B, C), the norms side by side."""
        mean, inverse = self.statistics.mean, self.statistics.inverse
        # Few numbers, of which all that follows depends: not rounded to 16 bits.
        with torch.autocast(condition.device.type, enabled=False):
            gain, bias = (condition.to(mean.dtype) @ self.projection).chunk(2, dim=1)
            scale = torch.addcmul(inverse, inverse, gain)
            return scale, torch.addcmul(bias, mean, scale, value=-1)

    def weights(self) -> torch.Tensor:
        """Return the map (2 C, 2 D) from the condition to scales and offsets, as it acts at the chosen truncation."""
        gain, bias = self.projection.T.chunk(2)
        scale = self.statistics.inverse[:, None] * gain
        return torch.cat([scale, bias - self.statistics.mean[:, None] * scale])


class Block(nn.Module):
    """A residual block through a quarter of the channels, which may double the side."""

    def __init__(self, published: HookedState, shape: BigGANDeepShape, index: int) -> None:
        super().__init__()
        name, side = shape.entry(index), FIRST_SIDE * 2 ** sum(shape.doubles[:index])
        self.doubles, self.kept = shape.doubles[index], shape.ends[index][1]
        self.norms = Norms(published, name, shape.eps)
        self.sizes = [len(published[f"{name}.{norm}.running_means"][0]) for norm in NORMS]
        first, wide, inner = (published.weight(f"{name}.conv_{k}") for k in range(len(NORMS) - 1))
        widening = upsampled_conv(wide, None, side, _DIFFERENCED) if self.doubles else wide_conv(wide, None, side)
        last = FixedConv(*published.layer(f"{name}.conv_3"))
        after = side * 2 if self.doubles else side
        self.convs = nn.ModuleList([FixedConv(first), widening, wide_conv(inner, None, after), last])

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Return features (B, C', H, W), or twice as high and wide, of x (B, C, H, W) and conditions (B, 2 D)."""
        scales, offsets = (numbers.to(x.dtype).split(self.sizes, dim=1) for numbers in self.norms(condition))
        h = x
        for conv, scale, offset in zip(self.convs, scales, offsets, strict=True):
            h = conv(modulated(h, scale, offset, overwrite=h is not x))
        kept = x[:, : self.kept]
        return add_doubled(h, kept) if self.doubles else h.add_(kept)


class LastNorm(nn.Module):
    """The norm behind the blocks, which depends on no condition, and ReLU."""

    weight: torch.Tensor
    bias: torch.Tensor

    def __init__(self, published: HookedState, name: str, eps: float) -> None:
        super().__init__()
        self.register_buffer("weight", published[f"{name}.weight"])
        self.register_buffer("bias", published[f"{name}.bias"])
        self.statistics = Statistics(published[f"{name}.running_means"], published[f"{name}.running_vars"], eps)

    def affine(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return scale and offset (1, C)."""
        scale = self.weight * self.statistics.inverse
        return scale[None], torch.addcmul(self.bias, self.statistics.mean, scale, value=-1)[None]

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return features of the same shape."""
        scale, offset = (numbers.to(features.dtype) for numbers in self.affine())
        return modulated(features, scale, offset, overwrite=True)


class BigGANDeepNetwork(FrozenNetwork):
    """z (B, D), y (B,) int64 -> images (B, 3, S, S) in [-1, 1]; frozen, gradients reach z.

    z may be (B, num_layers, D): one for the first map, then one a block. Built from a published state that fits
    `shape`, entries `weight_v` or not, with the statistics of truncation 1.
    """

    feature_layer = "gen_z"
    embeddings: torch.Tensor

    def __init__(self, shape: BigGANDeepShape, state: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        published = HookedState(state)
        self.shape = shape
        self.latent_dim, self.image_size, self.num_layers = shape.z_dim, shape.image_size, shape.num_layers
        self.register_buffer("embeddings", published["embeddings.weight"].T.contiguous())
        weight, bias = published.layer("generator.gen_z")  # rows: of pixels, then of channels
        by_pixel = [t.unflatten(0, (FIRST_SIDE**2, -1)).transpose(0, 1).flatten(0, 1) for t in (weight, bias)]
        self.gen_z = FirstFeatures(by_pixel[0].contiguous(), by_pixel[1].contiguous())
        self.blocks = nn.ModuleList(Block(published, shape, i) for i in range(len(shape.doubles)))
        self.attention = None if shape.attention is None else _attention(published, shape.attention)
        self.norm = LastNorm(published, "generator.bn", shape.eps)
        weight, bias = published.layer("generator.conv_to_rgb")
        self.to_rgb = ColourConv(weight[:_COLOURS], bias[:_COLOURS])

    def truncated(self, truncation: float) -> Self:
        """Return the network with the statistics of another truncation in (0, 1]; all other tensors are shared."""
        other = copy.deepcopy(self, {id(buffer): buffer for buffer in self.buffers()})
        for module in other.modules():
            if isinstance(module, Statistics):
                module.choose(truncation)
        return other

    def conditions(self, z: torch.Tensor, y: torch.Tensor) -> list[torch.Tensor]:
        """Return the condition (B, 2 D) of every layer: its latent, then the class."""
        embedded = self.embeddings[y].to(z.dtype)
        if z.dim() == 2:
            return [torch.cat([z, embedded], dim=1)] * self.num_layers
        if z.shape[1] != self.num_layers:
            raise ValueError(f"latents are of {z.shape[1]} layers, not {self.num_layers}")
        return [torch.cat([one, embedded], dim=1) for one in z.unbind(1)]

    def forward(self, z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return the images of latents z and classes y."""
        first, *conditions = self.conditions(z, y)
        h = self.gen_z(first)
        for i, (block, condition) in enumerate(zip(self.blocks, conditions, strict=True)):
            if self.attention is not None and i == self.shape.attention:
                h = self.attention(h)
            h = block(h, condition)
        return torch.tanh(self.to_rgb(self.norm(h)).float())

    def first_weights(self) -> list[torch.Tensor]:
        """Return the part of the first map (16 C, D) that reads the latent, as SeFa does; float32."""
        return [self.gen_z.weight[:, : self.latent_dim].float()]

    def layer_weights(self) -> list[torch.Tensor]:
        """Return the parts of all maps that read the latent: the first, and to scales and offsets of every block."""
        norms = [block.norms for block in self.blocks if isinstance(block, Block)]
        return [*self.first_weights(), *(norm.weights()[:, : self.latent_dim].float() for norm in norms)]


def _attention(published: HookedState, index: int) -> PooledAttention:
    name = f"generator.layers.{index}"
    theta, phi, g, o = (published.weight(f"{name}.snconv1x1_{part}") for part in ("theta", "phi", "g", "o_conv"))
    return PooledAttention(theta, phi, g, published[f"{name}.gamma"] * o)
