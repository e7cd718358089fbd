"""The network of StyleGAN3 (Karras et al. 2021, 2106.12423) in plain torch, exact to the published weights.

Each sample's style scales the input and the output of shared weights, or, of one large image, the weights themselves.
All constants are multiplied into the weights when the network is built. The original divides the styles by their mean
over the whole batch; demodulation cancels any such factor, so here each sample has its own.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from generators.frozen import FrozenLayer
from generators.mapping import equalised, in_float32, mapping_of
from generators.published.stylegan3 import filters
from generators.published.stylegan3.geometry import Constants, LayerGeometry
from generators.published.stylegan3.layout import INPUT, StyleGAN3Shape
from generators.published.stylegan3.resampling import FilteredLeakyReLU
from generators.styled import StyledNetwork

_EPS = 1e-8

State = Mapping[str, torch.Tensor]


class FourierFeatures(nn.Module):
    """Waves across the image, turned and moved by w and by a transform of the whole image, then mixed (section 3.1)."""

    frequencies: torch.Tensor
    phases: torch.Tensor
    transform: torch.Tensor
    points: torch.Tensor
    weight: torch.Tensor

    def __init__(self, state: State, first: LayerGeometry, transform: torch.Tensor) -> None:
        super().__init__()
        self.size, self.rate, self.cutoff = first.size_in, first.rate_in, first.cutoff_in
        self.affine = equalised(state, f"{INPUT}.affine")
        weight = state[f"{INPUT}.weight"].float()
        self.register_buffer("weight", weight / math.sqrt(len(weight)))
        self.register_buffer("frequencies", state[f"{INPUT}.freqs"].float())
        self.register_buffer("phases", state[f"{INPUT}.phases"].float())
        self.register_buffer("transform", transform.float())
        axis = (torch.arange(self.size) + 0.5 - self.size / 2) / self.rate
        self.register_buffer("points", torch.cartesian_prod(axis, axis).flip(1))  # (x, y), row by row

    def forward(self, w: torch.Tensor, moved: torch.Tensor | None = None) -> torch.Tensor:
        """Return features (B, C, size, size) of w (B, D); `moved` (B, 3, 3) takes points of the image to where they
        come from, before the transform of the weights.
        """
        with in_float32(w):
            whole = self._turned(w) @ (self.transform if moved is None else self.transform @ moved)
            frequencies = self.frequencies @ whole[:, :2, :2]  # (B, C, 2)
            phases = self.phases + (self.frequencies @ whole[:, :2, 2:]).squeeze(2)
            faded = (frequencies.norm(dim=2) - self.cutoff) / (self.rate / 2 - self.cutoff)
            waves = torch.sin(
                2 * math.pi * torch.baddbmm(phases[:, None], self.points.expand(w.shape[0], -1, -1), frequencies.mT)
            )
            features = (waves * (1 - faded).clamp(0, 1)[:, None]) @ self.weight.T
        return features.unflatten(1, (self.size, self.size)).permute(0, 3, 1, 2)

    def _turned(self, w: torch.Tensor) -> torch.Tensor:
        """Return the transforms (B, 3, 3) of points that w asks for: moved, then turned."""
        t = self.affine(w)
        cosine, sine, x, y = (t / t[:, :2].norm(dim=1, keepdim=True)).unbind(1)
        zero, one = torch.zeros_like(x), torch.ones_like(x)
        turn = torch.stack([cosine, -sine, zero, sine, cosine, zero, zero, zero, one], dim=1)
        move = torch.stack([one, zero, -x, zero, one, -y, zero, zero, one], dim=1)
        return turn.unflatten(1, (3, 3)) @ move.unflatten(1, (3, 3))


class ModulatedConv(FrozenLayer):
    """A modulated and demodulated convolution that keeps all of its border, and its bias."""

    weight: torch.Tensor
    energy: torch.Tensor
    bias: torch.Tensor

    def __init__(self, state: State, name: str) -> None:
        super().__init__()
        weight = state[f"{name}.weight"].float()
        weight = weight * weight.square().mean(dim=(1, 2, 3), keepdim=True).rsqrt()
        self.affine = equalised(state, f"{name}.affine")
        self.gain = float(state[f"{name}.magnitude_ema"].float().rsqrt())
        self.register_buffer("weight", weight.contiguous(memory_format=torch.channels_last))
        self.register_buffer("energy", weight.square().sum(dim=(2, 3)).T.contiguous())
        self.register_buffer("bias", state[f"{name}.bias"].float())

    def forward(self, features: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        """Return features (B, C', H + k - 1, W + k - 1) in style w (B, D)."""
        with in_float32(w):
            scale = self.affine(w)
            scale = scale * scale.square().mean(dim=1, keepdim=True).rsqrt()
            gain = self.gain * (scale.square() @ self.energy + _EPS).rsqrt()
        padding = self.weight.shape[-1] - 1
        alone = not _needs_gradient(features, scale) and len(features) == 1
        if alone and self.weight.numel() < features.numel():
            weight = self.weight * (gain.T * scale)[:, :, None, None]
            return F.conv2d(features, weight, self.bias, padding=padding)
        h = F.conv2d(features * _spatial(scale, features), self.cast("weight"), padding=padding)
        return torch.addcmul(self.bias.to(h.dtype)[:, None, None], h, _spatial(gain, h))


def _spatial(values: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """Return values (B, C) as (B, C, 1, 1) in the precision of `features`."""
    return values[:, :, None, None].to(features.dtype)


def _needs_gradient(*tensors: torch.Tensor) -> bool:
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


class AliasFreeLayer(nn.Module):
    """A modulated convolution and an activation at a higher rate (figure 4b)."""

    def __init__(self, state: State, geometry: LayerGeometry, clamp: float | None) -> None:
        super().__init__()
        name = f"synthesis.{geometry.name}"
        self.conv = ModulatedConv(state, name)
        up = _taps(state, f"{name}.up_filter", filters.up_filter(geometry))
        down = _taps(state, f"{name}.down_filter", filters.down_filter(geometry))
        self.activation = FilteredLeakyReLU(geometry, up, down, clamp)

    def forward(self, features: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        """Return features (B, C', S, S) in style w (B, D)."""
        return self.activation(self.conv(features, w))


def _taps(state: State, name: str, designed: np.ndarray | None) -> torch.Tensor:
    """Return a filter as the file has it, else as it is designed; one tap of 1 where there is none."""
    if name in state:
        return state[name].float()
    return torch.ones(1) if designed is None else torch.from_numpy(designed)


class ToColours(nn.Module):
    """The last layer: a modulated 1x1 convolution without demodulation, and a clamp; float32."""

    weight: torch.Tensor
    bias: torch.Tensor

    def __init__(self, state: State, name: str, clamp: float | None) -> None:
        super().__init__()
        weight = state[f"{name}.weight"].float()[:, :, 0, 0]
        gain = state[f"{name}.magnitude_ema"].float().rsqrt() / math.sqrt(weight.shape[1])
        self.affine = equalised(state, f"{name}.affine")
        self.clamp = clamp
        self.register_buffer("weight", weight * gain)
        self.register_buffer("bias", state[f"{name}.bias"].float()[:, None, None])

    def forward(self, features: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        """Return colours (B, 3, S, S) of features in style w (B, D)."""
        with in_float32(w):
            weight = self.weight * self.affine(w)[:, None]
        # Few rows a sample are cheaper to scale than the features.
        colours = features.permute(0, 2, 3, 1).flatten(1, 2) @ weight.mT.to(features.dtype)
        colours = colours.to(self.bias.dtype).mT.unflatten(2, features.shape[2:]) + self.bias
        return colours if self.clamp is None else colours.clamp(-self.clamp, self.clamp)


class Synthesis(nn.Module):
    """One w for the input and one for each layer -> images; modules bear the names of the published layout."""

    def __init__(self, shape: StyleGAN3Shape, state: State, constants: Constants, transform: torch.Tensor) -> None:
        super().__init__()
        *geometries, last = shape.geometry(constants)
        self.scale = constants.output_scale
        self.input = FourierFeatures(state, geometries[0], transform)
        layers = {geometry.name: AliasFreeLayer(state, geometry, constants.conv_clamp) for geometry in geometries}
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.names, self.last = list(layers), last.name
        self.add_module(last.name, ToColours(state, f"synthesis.{last.name}", constants.conv_clamp))

    @property
    def layers(self) -> list[nn.Module]:
        """Return the layers in order."""
        return [self.get_submodule(name) for name in (*self.names, self.last)]

    def modulations(self) -> list[torch.Tensor]:
        """Return the weights (M_i, D) of the affine maps that read w: of the input, the layers and the colours."""
        layers = (self.get_buffer(f"{name}.conv.affine.weight") for name in self.names)
        return [self.input.affine.weight, *layers, self.get_buffer(f"{self.last}.affine.weight")]

    def forward(self, slots: Sequence[torch.Tensor], moved: torch.Tensor | None = None) -> torch.Tensor:
        """Return images (B, C, S, S) of w (B, D) by slot; `moved` as in FourierFeatures."""
        h = self.input(slots[0], moved)
        for layer, w in zip(self.layers, slots[1:], strict=True):
            h = layer(h, w)
        return h * self.scale


class StyleGAN3Network(StyledNetwork):
    """w -> images (B, 3, S, S), nominally in [-1, 1] and not clamped; frozen, gradients reach w.

    Built from a published state that fits `shape`. Grey images come out in three equal colours. `transform` (3, 3)
    takes the place of the one in the state.
    """

    def __init__(
        self, shape: StyleGAN3Shape, state: State, constants: Constants, transform: torch.Tensor | None = None
    ) -> None:
        super().__init__()
        self.shape = shape
        self.latent_dim = shape.latent_dim
        self.style_dim = shape.style_dim
        self.num_layers = shape.num_slots
        self.drawing_layers = range(1, shape.num_slots - 1)  # the input turns and moves, the last layer colours
        self.num_classes = shape.num_classes
        self.image_size = shape.image_size
        self.mapping = mapping_of(state, shape.mapping_layers, constants.lr_multiplier)
        if transform is None:
            transform = state[f"{INPUT}.transform"]
        self.synthesis = Synthesis(shape, state, constants, transform)

    def forward(self, w: torch.Tensor, noises: Sequence[torch.Tensor] | None = None) -> torch.Tensor:
        """Return the images of w (B, D), or of a w for every slot (B, num_layers, D); the first drives the input.

        There is no noise to give.
        """
        return self.moved(w, None)

    def moved(self, w: torch.Tensor, transform: torch.Tensor | None) -> torch.Tensor:
        """Return the same images turned and shifted: `transform` (B, 3, 3) takes points to where they come from."""
        images = self.synthesis(self.by_layer(w).unbind(1), transform)
        return images.expand(-1, 3, -1, -1)

    def modulations(self) -> list[torch.Tensor]:
        """Return the weights (M_i, D) of the affine maps that read w, one a slot."""
        return self.synthesis.modulations()
