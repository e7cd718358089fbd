"""A small generator for CPUs: one upsampled convolution a stage, every stage conditioned on the whole latent.

The network of `toolkit train-generator`. Of BigGAN (1809.11096) it keeps the class-free conditional batch norm fed by
the latent; what it leaves out is the second convolution and the shortcut of each block, which cost most on a CPU. The
last doubling is a pixel shuffle (Shi et al. 2016), since features at full size took half of the training time.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from torch import nn

from generators.compact.square import SquareShape, load_network
from generators.protocol import Latents, in_a_line
from toolkit.files.artefacts import save_artefact
from toolkit.streams import Stream

KIND = "compact generator"
_MAX_CHANNELS = 256


@dataclass(frozen=True)
class CompactShape(SquareShape):
    """The sizes that name a compact network."""

    what: ClassVar[str] = "a compact network"

    def channels(self) -> list[int]:
        """Return the channels at sides 4, 8, ... image_size / 2."""
        stages = int(math.log2(self.image_size // 8))
        return [min(_MAX_CHANNELS, self.width * 2 ** (stages - i)) for i in range(stages + 1)]


class LatentBatchNorm(nn.Module):
    """Batch norm whose gain and bias are linear in the latent: (1 + A z) * normed + B z."""

    def __init__(self, channels: int, latent_dim: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.gain = nn.Linear(latent_dim, channels)
        self.bias = nn.Linear(latent_dim, channels)
        for layer in (self.gain, self.bias):
            nn.init.orthogonal_(layer.weight, 0.3)
            nn.init.zeros_(layer.bias)

    def forward(self, features: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """Return features (B, C, H, W), normalised and modulated by z (B, D)."""
        gain, bias = 1 + self.gain(z), self.bias(z)
        if self.training:
            features = self.norm(features)
        else:  # what does not depend on the batch is the same everywhere in a picture: one pass over the features
            mean, var = self.norm.running_mean, self.norm.running_var
            assert mean is not None
            assert var is not None
            gain = gain * (var + self.norm.eps).rsqrt()
            bias = bias - gain * mean
        gain, bias = (values.to(features.dtype)[:, :, None, None] for values in (gain, bias))
        return torch.addcmul(bias, features, gain)


class DoublingConv(nn.Conv2d):
    """Nearest doubling and a 3x3 convolution, as one 4x4 transposed convolution: 16 products a pixel, not 36."""

    _kept: torch.Tensor | None = None

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__(channels, outputs, 3, padding=1, bias=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return features (B, C', 2H, 2W) of features (B, C, H, W)."""
        kernel = merged(self.weight) if self._kept is None else self._kept
        return F.conv_transpose2d(features, kernel.to(features.dtype), stride=2, padding=1)

    def settle(self) -> None:
        """Keep the merged kernel, of a weight that nobody changes any more."""
        self._kept = merged(self.weight.detach())

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)
        self._kept = None if self._kept is None else fn(self._kept)
        return self


def merged(weight: torch.Tensor) -> torch.Tensor:
    """Return the kernel (C, C', 4, 4) of the transposed convolution that doubles and convolves by (C', C, 3, 3)."""
    spread = weight.new_tensor([[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]])
    taps = torch.einsum("ya,xb->yxab", spread, spread).reshape(16, 9)
    kernels = taps @ weight.permute(2, 3, 0, 1).flatten(0, 1).flatten(1)
    # In this order oneDNN takes it nearly as fast as in its own, and twice as fast as channels-last.
    return kernels.view(4, 4, *weight.shape[:2]).permute(3, 2, 0, 1)


class CompactNetwork(nn.Module):
    """z (B, D) -> images (B, 3, S, S) in [-1, 1]."""

    def __init__(self, shape: CompactShape) -> None:
        super().__init__()
        self.shape = shape
        channels = shape.channels()
        self.linear = nn.Linear(shape.latent_dim, channels[0] * 16)
        self.first_norm = LatentBatchNorm(channels[0], shape.latent_dim)
        pairs = list(itertools.pairwise(channels))
        self.convs = nn.ModuleList(DoublingConv(a, b) for a, b in pairs)
        self.norms = nn.ModuleList(LatentBatchNorm(b, shape.latent_dim) for _, b in pairs)
        self.to_rgb = nn.Conv2d(channels[-1], 12, 3, padding=1)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Return images (B, 3, S, S) in [-1, 1] of z (B, D)."""
        features = self.linear(z).unflatten(1, (-1, 4, 4)).to(memory_format=torch.channels_last)
        features = F.silu(self.first_norm(features, z))
        for conv, norm in zip(self.convs, self.norms, strict=True):
            features = F.silu(norm(conv(features), z))
        return torch.tanh(F.pixel_shuffle(self.to_rgb(features).float(), 2))

    def settle(self) -> None:
        """Compute beforehand what depends on the weights alone, which nobody may change any more."""
        for conv in self.convs:
            assert isinstance(conv, DoublingConv)
            conv.settle()


class CompactGenerator:
    """A trained compact network as a generator (see generators.protocol), frozen and in evaluation mode."""

    feature_layer = "norms.0"

    def __init__(self, network: CompactNetwork, card: dict[str, Any]) -> None:
        self.network = network.eval().requires_grad_(False)
        self.card = card
        self.name: str = card["name"]
        self.latent_dim = network.shape.latent_dim
        self.image_size = network.shape.image_size

    def __repr__(self) -> str:
        return in_a_line(self)

    def sample(self, count: int, rng: Stream, truncation: float | None = None) -> Latents:
        """Return `count` latents from N(0, I), restricted to +-`truncation` if given."""
        return Latents(rng.normal(count, self.latent_dim, truncation))

    def __call__(self, latents: Latents) -> torch.Tensor:
        """Return images (B, 3, S, S) in [-1, 1]; gradients reach the latents."""
        return self.network(latents.z)

    def first_weights(self) -> list[torch.Tensor]:
        """Return the weights (M_i, D) of every linear map that reads the latent."""
        network = self.network
        norms = [network.first_norm, *network.norms]
        maps = [network.linear, *(layer for norm in norms for layer in (norm.gain, norm.bias))]
        return [layer.weight.float() for layer in maps]

    def to(self, device: torch.device) -> "CompactGenerator":
        """Return the generator on `device`."""
        self.network.to(device)
        return self

    def save(self, path: Path) -> None:
        """Write the generator as one artefact."""
        save_artefact(path, KIND, self.network.state_dict(), {**self.card, "shape": asdict(self.network.shape)})


def load_compact(path: Path) -> CompactGenerator:
    """Return the generator in an artefact; UserError when the file is another kind, damaged or does not fit."""
    network, card = load_network(path, KIND, CompactShape, CompactNetwork, "name")
    network.settle()
    return CompactGenerator(network, card)
