"""What networks of published weights are built of: layers that are never trained, and the generator around them."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Self

import torch
import torch.nn.functional as F
from torch import nn

from generators.protocol import Latents
from toolkit.streams import Stream

FIRST_SIDE = 4
# On CPUs the transposed convolution beats doubling and convolving from this side of its input on.
_MERGED_FROM = 16


class FirstFeatures(nn.Module):
    """The linear map from latents (B, D) to features (B, C, 4, 4), in a memory `layout` that later ones keep."""

    weight: torch.Tensor
    bias: torch.Tensor

    def __init__(
        self, weight: torch.Tensor, bias: torch.Tensor, layout: torch.memory_format = torch.channels_last
    ) -> None:
        super().__init__()
        self.layout = layout
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        """Return features (B, C, 4, 4)."""
        features = F.linear(latents, self.weight, self.bias).unflatten(1, (-1, FIRST_SIDE, FIRST_SIDE))
        return features.contiguous(memory_format=self.layout)


class FixedConv(nn.Module):
    """A convolution that keeps the size, with weights that are never trained."""

    weight: torch.Tensor
    bias: torch.Tensor | None

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("weight", weight.contiguous(memory_format=torch.channels_last))
        self.register_buffer("bias", bias)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return features (B, C', H, W)."""
        return F.conv2d(features, self.weight, self.bias, padding=self.weight.shape[-1] // 2)


class UpsampledConv(FixedConv):
    """Nearest doubling, then the convolution."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return features (B, C', 2H, 2W)."""
        return super().forward(F.interpolate(features, scale_factor=2.0, mode="nearest"))


class MergedUpsampledConv(nn.Module):
    """Nearest doubling and 3x3 convolution as one 4x4 transposed convolution: 16 products a pixel, not 36."""

    weight: torch.Tensor
    bias: torch.Tensor

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor) -> None:
        super().__init__()
        spread = weight.new_tensor([[1, 0, 0], [1, 1, 0], [0, 1, 1], [0, 0, 1]])
        merged = torch.einsum("ya,xb,oiab->ioyx", spread, spread, weight.flip(2, 3))
        self.register_buffer("weight", merged.contiguous(memory_format=torch.channels_last))
        self.register_buffer("bias", bias)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return features (B, C', 2H, 2W)."""
        return F.conv_transpose2d(features, self.weight, self.bias, stride=2, padding=1)


def upsampled_conv(weight: torch.Tensor, bias: torch.Tensor, side: int) -> nn.Module:
    """Return nearest doubling and a 3x3 convolution of features `side` pixels wide, in their cheaper form."""
    return MergedUpsampledConv(weight, bias) if side >= _MERGED_FROM else UpsampledConv(weight, bias)


def modulated(features: torch.Tensor, scale: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
    """Return relu(scale * features + offset); features (B, C, H, W), scale and offset (B, C) or (1, C)."""
    return torch.addcmul(offset[:, :, None, None], features, scale[:, :, None, None]).relu_()


def add_doubled(features: torch.Tensor, coarse: torch.Tensor) -> torch.Tensor:
    """Add `coarse` (B, C, H, W), doubled to the nearest, to `features` (B, C, 2H, 2W) in place and return these."""
    features.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).add_(coarse[:, :, :, None, :, None])
    return features


def told_size(state: Mapping[str, torch.Tensor], entries: Iterable[tuple[str, int]], default: int) -> int:
    """Return the size that most of `entries` (name, axis) have, so that one wrong entry of a file is not believed."""
    shapes = [(state[name].shape, axis) for name, axis in entries if name in state]
    sizes = Counter(shape[axis] for shape, axis in shapes if len(shape) > axis)
    return sizes.most_common(1)[0][0] if sizes else default


class FrozenNetwork(nn.Module, ABC):
    """A module without anything to train that renders z (B, D) as images (B, 3, S, S) float32; gradients reach z.

    Conditional ones take classes (B,) besides.
    """

    latent_dim: int
    image_size: int
    feature_layer: str

    @abstractmethod
    def first_weights(self) -> list[torch.Tensor]:
        """Return the weights (M_i, D) of every linear map that reads the latent directly, float32."""


class FrozenGenerator:
    """A network of N(0, I) latents as a generator (see generators.protocol, Inspectable too)."""

    def __init__(self, network: FrozenNetwork, name: str) -> None:
        self.network = network
        self.name = name
        self.latent_dim = network.latent_dim
        self.image_size = network.image_size
        self.feature_layer = network.feature_layer

    def sample(self, count: int, rng: Stream, truncation: float | None = None) -> Latents:
        """Return `count` latents from N(0, I), restricted to +-`truncation` if given."""
        return Latents(rng.normal(count, self.latent_dim, truncation))

    def __call__(self, latents: Latents) -> torch.Tensor:
        """Return images (B, 3, S, S), in [-1, 1] where the network keeps to it; gradients reach the latents."""
        return self.network(latents.z)

    def first_weights(self) -> list[torch.Tensor]:
        """Return the weights (M_i, D) of every linear map that reads the latent directly, float32."""
        return self.network.first_weights()

    def to(self, device: torch.device) -> Self:
        """Return the generator on `device`."""
        self.network.to(device)
        return self
