"""Rendering many latents in batches of bounded size."""

import math
from collections.abc import Iterator, Sequence

import torch

from generators.protocol import Generator, Latents, image_shape
from toolkit.moves import AnyShift

_PIXELS = 64 * 128 * 128


@torch.no_grad()
def rendered(generator: Generator, latents: Latents) -> Iterator[tuple[slice, torch.Tensor]]:
    """Yield (rows, images of these rows) for all latents, a million pixels at a time, without gradients."""
    batch = max(1, _PIXELS // math.prod(image_shape(generator)))
    for start in range(0, len(latents), batch):
        rows = slice(start, min(start + batch, len(latents)))
        yield rows, generator(latents[rows])


def every_shift(latents: Latents, shifts: torch.Tensor | Sequence[AnyShift]) -> Latents:
    """Return M * N latents: all N of `latents` moved by the first of shifts (M, D), (M, 1, L, D), then by the next."""
    return Latents.cat([latents.shifted(shift) for shift in shifts])
