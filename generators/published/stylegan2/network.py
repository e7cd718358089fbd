"""The network of StyleGAN2 (Karras et al. 2020, 1912.04958) in plain torch, in its three architectures."""

import math
from collections.abc import Sequence

import torch
from torch import nn

from generators.frozen import written_down
from generators.mapping import MAPPING_RATE, mapping_of
from generators.published.stylegan2.layers import FILTER, ByPass, State, StyledConv, ToRGB, UpsampledStyledConv
from generators.published.stylegan2.shape import RESNET, StyleGAN2Shape, block_name
from generators.styled import StyledNetwork

__all__ = ["FILTER", "StyleGAN2Network"]
_GAIN = math.sqrt(2)
# Numbers of one sample's features (4 MB) from which on samples pass one by one through the blocks on a CPU: their
# features then stay in its cache, and no more than one sample's large ones are in memory.
_ALONE_FROM = 2**20
Noises = Sequence[torch.Tensor] | None
Passed = tuple[torch.Tensor, torch.Tensor | None]
"""Features and the image so far, if there is one."""


class StyleGAN2Network(StyledNetwork):
    """w -> images (B, 3, H, W), nominally in [-1, 1] and not clamped; frozen, gradients reach w.

    Built from a state of the entries of `shape` (see shape.entry_shapes), features clamped to +-`clamp` unless it is
    None. `mapping` takes z (B, Z) to w (B, D). A grey image has three equal channels.
    """

    constant: torch.Tensor

    def __init__(
        self, shape: StyleGAN2Shape, state: State, clamp: float | None = None, mapping_rate: float = MAPPING_RATE
    ) -> None:
        super().__init__()
        blocks, half = range(1, len(shape.channels)), math.sqrt(0.5) if shape.architecture == RESNET else 1.0
        self.shape = shape
        self.latent_dim, self.style_dim = shape.latent_dim, shape.style_dim
        self.num_layers, self.num_classes = shape.num_slots, shape.num_classes
        self.image_size, self.noise_shapes = shape.image_size, shape.noise_shapes
        self.mapping = mapping_of(state, shape.mapping_layers, mapping_rate)
        self.register_buffer("constant", state[f"{block_name(0)}.const"].float()[None])
        self.conv1 = StyledConv(state, f"{block_name(0)}.conv1", _GAIN, clamp)
        self.convs = nn.ModuleList()
        for name in map(block_name, blocks):
            self.convs.append(UpsampledStyledConv(state, f"{name}.conv0", _GAIN, clamp))
            self.convs.append(StyledConv(state, f"{name}.conv1", half * _GAIN, None if clamp is None else half * clamp))
        colours = [
            ToRGB(state, f"{block_name(i)}.torgb", clamp) if shape.has_colours(i) else None for i in (0, *blocks)
        ]
        self.to_rgb1, self.to_rgbs = colours[0], nn.ModuleList(step for step in colours[1:] if step is not None)
        resnet = shape.architecture == RESNET
        self.bypasses = nn.ModuleList(ByPass(state, f"{block_name(i)}.skip") for i in blocks if resnet)
        sizes = [channels * math.prod(side) for channels, side in zip(shape.channels, shape.sides, strict=True)]
        self._alone_from = next((i for i in blocks if sizes[i] >= _ALONE_FROM), len(sizes))

    @property
    def image_shape(self) -> tuple[int, int]:
        """Return height and width of the images in pixels."""
        return self.shape.image_shape

    def forward(self, w: torch.Tensor, noises: Noises = None) -> torch.Tensor:
        """Return the images of w (B, D), or of a w for every slot (B, num_layers, D) as in style mixing.

        Slot i styles the i-th convolution, and the step to colours behind it slot i + 1, which the next convolution
        shares. `noises` (B or 1, 1, h, w) of `noise_shapes` take the place of those stored; none is added if it is
        empty.
        """
        ws, num_blocks = self.by_layer(w), len(self.shape.channels)
        trains = torch.is_grad_enabled() and any(values.requires_grad for values in (w, *(noises or ())))
        together = trains or len(w) == 1 or w.device.type != "cpu" or written_down()
        alone = num_blocks if together else self._alone_from
        h = self.constant.expand(w.shape[0], -1, -1, -1).contiguous(memory_format=torch.channels_last)
        passed = self._through(range(alone), (h, None), ws, noises)
        if alone == num_blocks:
            return _coloured(passed)
        rows = (slice(i, i + 1) for i in range(len(w)))
        later = range(alone, num_blocks)
        return torch.cat([_coloured(self._through(later, *_only(row, passed, ws, noises))) for row in rows])

    def _through(self, blocks: range, passed: Passed, ws: torch.Tensor, noises: Noises) -> Passed:
        """Return features and image behind some blocks."""
        for block in blocks:
            passed = self._block(block, passed, ws, noises) if block else self._first(passed[0], ws, noises)
        return passed

    def _first(self, h: torch.Tensor, ws: torch.Tensor, noises: Noises) -> Passed:
        h = self.conv1(h, ws[:, 0], _noise(noises, 0))
        return h, None if self.to_rgb1 is None else self.to_rgb1(h, ws[:, 1])

    def _block(self, block: int, passed: Passed, ws: torch.Tensor, noises: Noises) -> Passed:
        h, image = passed
        around = self.bypasses[block - 1](h) if self.bypasses else None
        for i in (2 * block - 1, 2 * block):
            h = self.convs[i - 1](h, ws[:, i], _noise(noises, i))
        if around is not None:
            h = h + around
        if not self.shape.has_colours(block):
            return h, None
        to_rgb = self.to_rgbs[block - 1 if self.to_rgb1 is not None else -1]
        return h, to_rgb(h, ws[:, 2 * block + 1], image)

    def modulations(self) -> list[torch.Tensor]:
        """Return the weights (M_i, D) of the affine maps that read w, one a slot: the steps to colours share theirs,
        but the last.
        """
        layers = [self.conv1, *self.convs, self.to_rgbs[-1]]
        return [layer.modulation.weight for layer in layers]


def _noise(noises: Noises, i: int) -> torch.Tensor | bool:
    """Return the noise that layer i is given, or whether it takes its own."""
    return noises[i] if noises else noises is None


def _only(row: slice, passed: Passed, ws: torch.Tensor, noises: Noises) -> tuple[Passed, torch.Tensor, Noises]:
    """Return what stands in one row of a batch, as `_through` takes it."""
    h, image = passed
    given = None if noises is None else [noise if len(noise) == 1 else noise[row] for noise in noises]
    return (h[row], None if image is None else image[row]), ws[row], given


def _coloured(passed: Passed) -> torch.Tensor:
    """Return the image (B, 3, H, W), grey ones with three equal channels."""
    image = passed[1]
    assert image is not None  # the last block makes one
    return image if image.shape[1] == 3 else image.repeat(1, 3, 1, 1)
