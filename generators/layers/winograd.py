"""3x3 convolutions by Winograd's minimal filtering F(2x2, 3x3) (Lavin and Gray 2016, 1509.09308), frozen."""

import torch
import torch.nn.functional as F

from generators.frozen import FixedConv, written_down

# On one thread of a CPU, in ms without and with it: 768 channels at side 16: 30 and 17; 384 at 32: 25 and 16; 192 at
# 64: 25 and 23; 512 at 64: 179 and 114; 256 at 128: 177 and 136; but 128 at 128: 48 and 49.
_LEAST, _MOST, _FROM_SIDE = 192, 768, 8
# Of the taps (a, b, c) along one axis: a, (a + b + c) / 2, (a - b + c) / 2, c.
_TAPS = torch.tensor([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], dtype=torch.float64)
_AT_ONCE = 64  # channels of weights that are transformed in double precision at a time
_TILES = 256  # of 2x2 pixels at a time, at least a row of them: with 256 channels their products are 4 MB


def wide_conv(weight: torch.Tensor, bias: torch.Tensor | None, side: int) -> FixedConv:
    """Return a 3x3 convolution of features `side` pixels wide, in its cheaper form."""
    return (WinogradConv if is_wide(weight, side) else FixedConv)(weight, bias)


def is_wide(weight: torch.Tensor, side: int) -> bool:
    """Return whether a weight (C', C, 3, 3) has so many channels that this pays, and not so many that memory counts."""
    return side >= _FROM_SIDE and min(weight.shape[:2]) >= _LEAST and max(weight.shape[:2]) <= _MOST


class WinogradConv(FixedConv):
    """A 3x3 convolution by 16 products for four pixels instead of 36; as one where that does not pay.

    It pays on CPUs in 32 bits: a sum of C products instead of one of 9 C is even nearer to the exact one. With
    gradients, in 16 bits, on GPUs and in exported programs it is a plain convolution.
    """

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return features (B, C', H, W)."""
        if not pays(features, self.weight):
            return super().forward(features)
        out = convolved(features, self.derived("weight", transformed))
        return out if self.bias is None else out.add_(self.bias[:, None, None])


def pays(features: torch.Tensor, weight: torch.Tensor) -> bool:
    """Return whether features (B, C, H, W) can be convolved so, and quicker."""
    if written_down() or features.device.type != "cpu" or features.requires_grad:
        return False
    exact = features.dtype == weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    even = features.shape[2] % 2 == features.shape[3] % 2 == 0
    return exact and even


def transformed(weight: torch.Tensor) -> torch.Tensor:
    """Return the weights (16, C, C') of products of tiles, of those (C', C, 3, 3) of a convolution."""
    tiles = weight.new_empty(4, 4, weight.shape[1], len(weight))
    for some, part in zip(tiles.split(_AT_ONCE, 3), weight.split(_AT_ONCE), strict=True):  # all would need much memory
        some.copy_(torch.einsum("ya,xb,oiab->yxio", _TAPS, _TAPS, part.double()))
    return tiles.flatten(0, 1)


def convolved(features: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return features (B, C', H, W), channels-last, of features (B, C, H, W) of even sides and transformed weights."""
    count, _, height, width = features.shape
    x = F.pad(features.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
    out = x.new_empty(count, height, width, weights.shape[2])
    images, rows = max(1, 4 * _TILES // (height * width)), 2 * max(1, 2 * _TILES // width)
    for i in range(0, count, images):
        for top in range(0, height, rows):
            _convolve(x[i : i + images, top : top + rows + 2], weights, out[i : i + images, top : top + rows])
    return out.permute(0, 3, 1, 2)


def _convolve(x: torch.Tensor, weights: torch.Tensor, out: torch.Tensor) -> None:
    """Write to `out` (B, H, W, C') what the padded features x (B, H + 2, W + 2, C) give."""
    count, height, width, channels = x.shape
    rows = x.new_empty(4, count, height // 2 - 1, width, channels)
    _combine(x, 1, rows)
    tiles = x.new_empty(4, 4, count, height // 2 - 1, width // 2 - 1, channels)
    _combine(rows, 3, tiles.transpose(0, 1))
    products = torch.bmm(tiles.flatten(2, 4).flatten(0, 1), weights)
    for i, pair in enumerate(_collect(products.view(*tiles.shape[:-1], -1))):
        for j, pixels in enumerate(_collect(pair)):
            out[:, i::2, j::2] = pixels


def _combine(x: torch.Tensor, axis: int, out: torch.Tensor) -> None:
    """Write to out[0 .. 3] d0 - d2, d1 + d2, d2 - d1 and d1 - d3, d0 .. d3 being every second pixel on along `axis`."""
    even, odd = (x.movedim(axis, 0)[start::2] for start in (0, 1))
    d0, d1, d2, d3 = (one.movedim(0, axis) for one in (even[:-1], odd[:-1], even[1:], odd[1:]))
    torch.sub(d0, d2, out=out[0])
    torch.add(d1, d2, out=out[1])
    torch.sub(d2, d1, out=out[2])
    torch.sub(d1, d3, out=out[3])


def _collect(products: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the two pixels of four products (4, ...), m0 + m1 + m2 and m1 - m2 - m3, overwriting the first two."""
    m0, m1, m2, m3 = products
    first = m0.add_(m1).add_(m2)
    return first, m1.sub_(m2).sub_(m3)
