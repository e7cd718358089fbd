"""3x3 convolutions by Winograd's minimal filtering F(2x2, 3x3) (Lavin and Gray 2016, 1509.09308), frozen."""

import torch
import torch.nn.functional as F

from generators.frozen import FixedConv

# Of the taps (a, b, c) along one axis: a, (a + b + c) / 2, (a - b + c) / 2, c.
_TAPS = torch.tensor([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], dtype=torch.float64)
_TILES = 256  # of 2x2 pixels at a time, at least a row of them: with 256 channels their products are 4 MB


class WinogradConv(FixedConv):
    """A 3x3 convolution without bias by 16 products for four pixels instead of 36; as one where that does not pay.

    It pays on CPUs in 32 bits: a sum of C products instead of one of 9 C is even nearer to the exact one. With
    gradients, in 16 bits and on GPUs it is a plain convolution.
    """

    transformed: torch.Tensor

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__(weight)
        transformed = torch.einsum("ya,xb,oiab->yxio", _TAPS, _TAPS, weight.double()).flatten(0, 1)
        self.register_buffer("transformed", transformed.to(weight.dtype).contiguous())

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return features (B, C', H, W)."""
        if not self._pays(features):
            return super().forward(features)
        count, _, height, width = features.shape
        x = F.pad(features.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
        out = x.new_empty(count, height, width, self.transformed.shape[2])
        images, rows = max(1, 4 * _TILES // (height * width)), 2 * max(1, 2 * _TILES // width)
        for i in range(0, count, images):
            for top in range(0, height, rows):
                self._convolve(x[i : i + images, top : top + rows + 2], out[i : i + images, top : top + rows])
        return out.permute(0, 3, 1, 2)

    def _pays(self, features: torch.Tensor) -> bool:
        exact = features.dtype == self.transformed.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
        even = features.shape[2] % 2 == features.shape[3] % 2 == 0
        plain = features.device.type != "cpu" or features.requires_grad or torch.compiler.is_compiling()
        return exact and even and not plain

    def _convolve(self, x: torch.Tensor, out: torch.Tensor) -> None:
        """Write to `out` (B, H, W, C') what the padded features x (B, H + 2, W + 2, C) give."""
        count, height, width, channels = x.shape
        rows = x.new_empty(4, count, height // 2 - 1, width, channels)
        _combine(x, 1, rows)
        tiles = x.new_empty(4, 4, count, height // 2 - 1, width // 2 - 1, channels)
        _combine(rows, 3, tiles.transpose(0, 1))
        products = torch.bmm(tiles.flatten(2, 4).flatten(0, 1), self.transformed)
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
