"""What networks of published weights are built of: layers that are never trained, and the generator around them."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import nn

from generators.protocol import Latents, in_a_line
from toolkit.streams import Stream

FIRST_SIDE = 4
# On CPUs differences beat the transposed convolution on few pixels of many channels: 16 images in bf16 take 26 ms
# against 390 with 1536 channels at side 4, but 37 against 12 with 256 at side 8; from side 16 on their backward loses.
_DIFFERENCED_BELOW, _DIFFERENCED_CHANNELS = 16, 1024


class FrozenLayer(nn.Module):
    """A layer of weights that are never trained: autocast's copies are kept, where it would cast at every call.

    Weights change by `load_state_dict`, `to` and its kin, or by giving the layer another tensor, and each of these
    drops the copies. Nobody may write into the tensors themselves: torch has no sure sign of that.
    """

    def __init__(self) -> None:
        super().__init__()
        self._copies: dict[str, _Copy] = {}

    def cast(self, name: str) -> torch.Tensor:
        """Return the buffer `name`, in the precision of the autocast around, if any."""
        weight = self.get_buffer(name)
        if weight.dtype != torch.float32 or not torch.is_autocast_enabled(weight.device.type):
            return weight
        dtype = torch.get_autocast_dtype(weight.device.type)
        if torch.compiler.is_compiling():  # a compiled call would be compiled anew whenever a copy is made
            return weight.to(dtype)
        copy = self._copies.get(name)
        if copy is None or copy.source is not weight or copy.cast.dtype != dtype:
            with torch.inference_mode(False):  # a later backward pass may need the copy
                copy = self._copies[name] = _Copy(weight, weight.to(dtype))
        return copy.cast

    def derived(self, name: str, made: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """Return what is made of the buffer `name`, at the first call that needs it; it is kept as copies are."""
        weight, key = self.get_buffer(name), f"{name} {made.__name__}"
        copy = self._copies.get(key)
        if copy is None or copy.source is not weight:
            with torch.inference_mode(False):
                copy = self._copies[key] = _Copy(weight, made(weight))
        return copy.cast

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self._copies.clear()
        super()._load_from_state_dict(*args, **kwargs)

    def _apply(self, *args: Any, **kwargs: Any) -> Self:
        self._copies.clear()
        return super()._apply(*args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_copies": {}}


def written_down() -> bool:
    """Return whether a program is being made of what runs: it has to hold for other batches and machines, too."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


class _Copy(NamedTuple):
    source: torch.Tensor
    cast: torch.Tensor


class FirstFeatures(FrozenLayer):
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
        features = F.linear(latents, self.cast("weight"), self.bias).unflatten(1, (-1, FIRST_SIDE, FIRST_SIDE))
        return features.contiguous(memory_format=self.layout)


class FixedConv(FrozenLayer):
    """A convolution that keeps the size, with weights that are never trained."""

    weight: torch.Tensor
    bias: torch.Tensor | None

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("weight", weight.contiguous(memory_format=torch.channels_last))
        self.register_buffer("bias", bias)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return features (B, C', H, W)."""
        return F.conv2d(features, self.cast("weight"), self.bias, padding=self.weight.shape[-1] // 2)


class ColourConv(FrozenLayer):
    """A convolution to three colours that keeps the size; on a CPU by one matrix product a tap, summed afterwards.

    The convolution of CPUs computes 16 channels where three are asked for: 24 ms against 12 with 128 channels at 256
    px.
    """

    weight: torch.Tensor
    taps: torch.Tensor
    bias: torch.Tensor

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight.contiguous(memory_format=torch.channels_last))
        # What a pixel adds to its neighbours: the kernel turned by 180 degrees.
        self.register_buffer("taps", weight.flip(2, 3).flatten(2).mT.flatten(0, 1).contiguous())
        self.register_buffer("bias", bias)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return colours (B, 3, H, W)."""
        side = self.weight.shape[-1]
        if features.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
            return F.conv2d(features, self.cast("weight"), self.bias, padding=side // 2)
        spread = torch.matmul(self.taps, features.flatten(2))
        return F.fold(spread, features.shape[2:], side, padding=side // 2) + self.bias[:, None, None]


class DifferencedUpsampledConv(FrozenLayer):
    """Nearest doubling and 3x3 convolution by differences of neighbours: 9 products a pixel, not 36.

    Along one axis, taps (a, b, c) give the doubled pixels 2i and 2i + 1
    a x[i - 1] + (b + c) x[i] = (a + b + c) x[i] - a d[i] and
    (a + b) x[i] + c x[i + 1] = (a + b + c) x[i] + c d[i + 1], where d[i] = x[i] - x[i - 1].
    In bfloat16 the sums of several roundings are twice as far off as the one of the convolution (0.026 against 0.013 of
    values around 1).
    """

    bias: torch.Tensor | None

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None = None) -> None:
        super().__init__()
        taps = weight.new_tensor([[1, 1, 1], [-1, 0, 0], [0, 0, 1]])  # of x, and of d for the even and odd pixels
        split = torch.einsum("ya,xb,oiab->yxoi", taps, taps, weight)
        self.register_buffer("point", split[0, 0].contiguous())
        self.register_buffer("across", split[0, 1:].flatten(0, 1).contiguous())
        self.register_buffer("down", split[1:, 0].flatten(0, 1).contiguous())
        self.register_buffer("both", split[1:, 1:].flatten(0, 2).contiguous())
        self.register_buffer("bias", bias)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return features (B, C', 2H, 2W)."""
        x = features.permute(0, 2, 3, 1)
        dy = F.pad(x, (0, 0, 0, 0, 1, 1)).diff(dim=1)
        dx, dxy = (F.pad(terms, (0, 0, 1, 1)).diff(dim=2) for terms in (x, dy))
        point = F.linear(x, self.cast("point"), self.bias)
        across = F.linear(dx, self.cast("across"))
        down = F.linear(dy, self.cast("down")).unflatten(3, (2, -1))
        both = F.linear(dxy, self.cast("both")).unflatten(3, (2, -1))
        points = point[:, :, None] + _even_and_odd(down, 1)  # (B, H, 2, W, C')
        gaps = across[:, :, None] + _even_and_odd(both, 1)  # (B, H, 2, W + 1, 2 C')
        doubled = points[:, :, :, :, None] + _even_and_odd(gaps.unflatten(4, (2, -1)), 3)
        return doubled.flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)


def _even_and_odd(terms: torch.Tensor, axis: int) -> torch.Tensor:
    """Return terms (.., L + 1, .., 2, C) as a view (.., L, 2, .., C): terms[i] even, terms[i + 1] odd."""
    return terms.unfold(axis, 2, 1).diagonal(0, -3, -1).movedim(-1, axis + 1)


class MergedUpsampledConv(FrozenLayer):
    """Nearest doubling and 3x3 convolution as one 4x4 transposed convolution: 16 products a pixel, not 36."""

    weight: torch.Tensor
    bias: torch.Tensor | None

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None = None) -> None:
        super().__init__()
        spread = weight.new_tensor([[1, 0, 0], [1, 1, 0], [0, 1, 1], [0, 0, 1]])
        merged = torch.einsum("ya,xb,oiab->ioyx", spread, spread, weight.flip(2, 3))
        self.register_buffer("weight", merged.contiguous(memory_format=torch.channels_last))
        self.register_buffer("bias", bias)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return features (B, C', 2H, 2W)."""
        return F.conv_transpose2d(features, self.cast("weight"), self.bias, stride=2, padding=1)


def upsampled_conv(
    weight: torch.Tensor, bias: torch.Tensor | None, side: int, many: int = _DIFFERENCED_CHANNELS
) -> nn.Module:
    """Return nearest doubling and a 3x3 convolution of features `side` pixels wide, in their cheaper form.

    `many` is how many channels differences need to be it; half as many where features are channels-last already.
    """
    differenced = side < _DIFFERENCED_BELOW and weight.shape[1] >= many
    return (DifferencedUpsampledConv if differenced else MergedUpsampledConv)(weight, bias)


def modulated(
    features: torch.Tensor, scale: torch.Tensor, offset: torch.Tensor, *, overwrite: bool = False
) -> torch.Tensor:
    """Return relu(scale * features + offset); features (B, C, H, W), scale and offset (B, C) or (1, C).

    Where nobody else needs the features and no gradient is asked for, `overwrite` saves memory of their size, of which
    a CPU would touch every page for the first time.
    """
    scale, offset = scale[:, :, None, None], offset[:, :, None, None]
    plain = torch.is_grad_enabled() or torch.compiler.is_compiling() or offset.dtype != features.dtype
    if overwrite and not plain:
        return torch.addcmul(offset, features, scale, out=features).relu_()
    return torch.addcmul(offset, features, scale).relu_()


def add_doubled(features: torch.Tensor, coarse: torch.Tensor) -> torch.Tensor:
    """Add `coarse` (B, C, H, W), doubled to the nearest, to `features` (B, C, 2H, 2W) in place and return these."""
    features.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).add_(coarse[:, :, :, None, :, None])
    return features


def likeliest_size(state: Mapping[str, torch.Tensor], entries: Iterable[tuple[str, int]], default: int) -> int:
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

    def __repr__(self) -> str:
        return in_a_line(self)

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
