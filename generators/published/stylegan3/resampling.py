"""Leaky ReLU between two filters, at a higher sampling rate (Karras et al. 2021, section 3.2), without waste.

The filter up is applied by phases: each of the samples between two given ones has its own few taps, so that inserted
zeros are never multiplied. The filter down is computed where a sample is kept. Features are channels-last, in which a
filter of each channel is a quick convolution, and pass through strip by strip, so that the activated samples, four
times as many or more, stay in the cache and are never all in memory.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F

from generators.frozen import FrozenLayer, written_down
from generators.published.stylegan3.geometry import LayerGeometry

SLOPE = 0.2
GAIN = math.sqrt(2)
_STRIP = 2**23  # bytes of activated samples at a time: what the last cache holds; half or twice makes no difference
_ELSEWHERE = 64  # times as much on GPUs, where many small steps wait for each other
_LEAST_STRIP = 4  # steps: each reads the taps' rows around it again
_BLOCK = 3 * 2**23  # bytes that await the last filter; beyond 32 MB, every allocation is cleared by the system anew


@dataclass(frozen=True)
class Phases:
    """How the filter up is applied along one axis of `size` samples, to give `count` of them.

    The sample up * q + p is the sum over the taps of `kernels[p]` times the samples from q + `offsets[p]` on.
    """

    kernels: tuple[tuple[float, ...], ...]
    offsets: tuple[int, ...]
    count: int

    @classmethod
    def of(cls, taps: torch.Tensor, up: int, before: int, count: int) -> "Phases":
        """Return the phases of a filter (n,) on samples `up` apart with zeros between and `before` in front."""
        flipped = taps.double().flip(0).tolist()
        starts = [(before - phase) % up for phase in range(up)]
        length = -(-len(flipped) // up)
        kernels = tuple(tuple((flipped[start::up] + [0.0])[:length]) for start in starts)
        offsets = tuple((phase + start - before) // up for phase, start in enumerate(starts))
        return cls(kernels, offsets, count)

    @property
    def up(self) -> int:
        """Return how many samples there are for each given one."""
        return len(self.kernels)

    @property
    def first(self) -> int:
        """Return the first sample that any phase reads, negative in front of the given ones."""
        return min(self.offsets)

    @property
    def width(self) -> int:
        """Return how many samples one step of all phases reads."""
        return max(offset + len(kernel) for offset, kernel in zip(self.offsets, self.kernels, strict=True)) - self.first

    @property
    def steps(self) -> int:
        """Return how many steps of all phases give `count` samples, or a few more."""
        return -(-self.count // self.up)

    def aligned(self) -> torch.Tensor:
        """Return the kernels (up, width) as they all read from the first sample on."""
        table = torch.zeros(self.up, self.width, dtype=torch.float64)
        for row, kernel, offset in zip(table, self.kernels, self.offsets, strict=True):
            row[offset - self.first :][: len(kernel)] = torch.tensor(kernel, dtype=torch.float64)
        return table


class FilteredLeakyReLU(FrozenLayer):
    """Features (B, C, H, W) up, through leaky ReLU and clamp, and down: (B, C, size, size)."""

    rows_up: torch.Tensor
    columns_up: torch.Tensor
    columns_down: torch.Tensor | None
    rows_down: torch.Tensor

    def __init__(
        self, geometry: LayerGeometry, up_filter: torch.Tensor, down_filter: torch.Tensor, clamp: float | None
    ) -> None:
        super().__init__()
        self.size, self.down, self.clamp = geometry.size_out, geometry.down, clamp
        channels, self.taps = geometry.channels_out, len(down_filter)
        count = (self.size - 1) * self.down + self.taps  # activated samples along either axis
        self.phases = phases = Phases.of(up_filter, geometry.up, geometry.padding[0], count)
        table = phases.up * torch.tensor(phases.kernels, dtype=torch.float64)
        flipped = down_filter.double().flip(0)
        rows, columns = (flipped.flip(1), None) if down_filter.dim() == 2 else (flipped[:, None], flipped[None])
        self.kept = count if columns is None else self.size  # columns that the last filter sees
        self.register_buffer("rows_up", _each(GAIN * table[:, :, None], channels))  # (phase, C, 1, taps, 1)
        self.register_buffer("columns_up", _each(phases.aligned()[:, None] * phases.up, channels).flatten(0, 1))
        self.register_buffer("columns_down", None if columns is None else _each(columns[None], channels)[0])
        self.register_buffer("rows_down", _each(rows[None], channels)[0])
        self.reach = GAIN * float(table.abs().sum(dim=1).max()) ** 2  # the largest that samples of 1 can become

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return features (B, C, size, size), channels-last."""
        clamp = self._clamp_of(features)
        # A backward pass needs all of it in any case, and a program has to hold for other batches.
        if written_down() or (torch.is_grad_enabled() and features.requires_grad):
            return self._rows(features, (0, self.size), self.phases.steps, clamp)
        batch, channels = features.shape[:2]
        row = self.phases.steps * self.phases.up * channels * features.element_size()
        room = 1 if features.device.type == "cpu" else _ELSEWHERE
        together = max(1, room * _STRIP // (row * self.phases.steps))
        strip = max(_LEAST_STRIP, room * _STRIP // row)
        height = max(self.taps, room * _BLOCK // (row * self.kept // self.phases.count) // self.down)
        whole = features[:, :, :0, :0].new_empty(0, channels, self.size, self.size) if not batch else None
        for images in torch.arange(batch).split(together):
            for first, last in _parts(self.size, height):
                part = self._rows(features[images[0] : images[-1] + 1], (first, last), strip, clamp)
                if len(part) == batch and last - first == self.size:
                    return part
                if whole is None:
                    shape = (batch, channels, self.size, self.size)
                    whole = part.new_empty(shape).contiguous(memory_format=torch.channels_last)
                whole[images[0] : images[-1] + 1, :, first:last] = part
        assert whole is not None
        return whole

    def _clamp_of(self, features: torch.Tensor) -> float | None:
        """Return the bound of activated features, None where no feature can come so far."""
        if self.clamp is None or features.device.type != "cpu" or written_down():
            return self.clamp  # to look would wait for the device
        low, high = torch.aminmax(features.detach().permute(0, 2, 3, 1))  # in the order of memory, 20 times as fast
        return None if max(float(high), -float(low)) * self.reach < self.clamp else self.clamp

    def _rows(self, features: torch.Tensor, rows: tuple[int, int], strip: int, clamp: float | None) -> torch.Tensor:
        """Return the rows (first, last) of what comes out; `strip` steps of the phases are activated at a time."""
        up = self.phases.up
        top, bottom = rows[0] * self.down, (rows[1] - 1) * self.down + self.taps  # activated rows
        start, stop = top // up, -(-bottom // up)
        held: torch.Tensor | None = None
        for first in range(start, stop, strip):
            last = min(first + strip, stop)
            for phase, part in enumerate(self._activated(features, first, last, clamp)):
                if held is None:
                    shape = (len(part), self.kept, (stop - start) * up, part.shape[1])
                    held = part.new_empty(shape[0], shape[2], shape[1], shape[3]).permute(0, 3, 1, 2)
                held[:, :, (first - start) * up + phase : (last - start) * up : up] = part
        assert held is not None
        held = held[:, :, top - start * up : bottom - start * up]
        stride = (self.down, self.down if self.columns_down is None else 1)
        return F.conv2d(held, self.cast("rows_down"), stride=stride, groups=held.shape[1])

    def _activated(self, features: torch.Tensor, first: int, last: int, clamp: float | None) -> Iterator[torch.Tensor]:
        """Yield the activated rows (B, C, last - first, kept) of these steps, phase by phase."""
        phases, channels, columns_up = self.phases, features.shape[1], self.cast("columns_up")
        above = phases.first + first
        below = phases.first + last - 1 + phases.width - features.shape[2]
        left, right = phases.first, phases.first + phases.steps - 1 + phases.width - features.shape[3]
        padded = F.pad(features, (-left, right, -above, below)).contiguous(memory_format=torch.channels_last)
        for kernel, offset in zip(self.cast("rows_up"), phases.offsets, strict=True):
            skipped = offset - phases.first
            h = padded[:, :, skipped : skipped + last - first + len(phases.kernels[0]) - 1]
            h = F.conv2d(h, kernel, groups=channels)
            # Each pixel once for each phase of the columns: what comes out are the pixels between in their order.
            h = F.conv2d(torch.cat([h] * phases.up, dim=1), columns_up, groups=len(columns_up))
            h = h.permute(0, 2, 3, 1).unflatten(3, (phases.up, channels)).flatten(2, 3).permute(0, 3, 1, 2)
            h = F.leaky_relu_(h, SLOPE)
            if clamp is not None:
                h = h.clamp_(-clamp, clamp)
            if self.columns_down is not None:
                h = F.conv2d(h, self.cast("columns_down"), stride=(1, self.down), groups=channels)
            yield h[..., : self.kept]


def _each(kernels: torch.Tensor, channels: int) -> torch.Tensor:
    """Return kernels (P, h, w) for each channel of a convolution by groups, (P, C, 1, h, w) float32."""
    return kernels.float()[:, None, None].repeat(1, channels, 1, 1, 1)


def _parts(count: int, most: int) -> list[tuple[int, int]]:
    """Return the bounds of parts of a range, each of `most` or fewer and about as long."""
    parts = -(-count // most)
    bounds = [count * i // parts for i in range(parts + 1)]
    return list(pairwise(bounds))
