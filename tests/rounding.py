"""How far apart two right results may lie: rounding alone, from the depth and the scale of what is computed.

A CPU's vector width, its number of threads and torch's choice of kernel decide the order in which products are summed,
and with it the last bits. Against float64 the architectures of this project were off by 0.05 to 3.3 epsilon of float32
a layer, relative to their largest number (ResNet-18 at one end, the SNGAN of 64 px at the other; AVX2 and AVX-512
alike). Layers hand on what they are given and add their own, so errors grow by at most the depth; two results can be
off to opposite sides; and 8 epsilon a layer leave a fifth above twice 3.3. What sums twice, such as a convolution by
differences, counts twice; what iterates counts as its iterations; elementwise functions count as nothing.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import torch

EPSILONS_A_LAYER = 8


def room(depth: int, scale: float = 1.0, dtype: torch.dtype = torch.float32) -> float:
    """Return the largest difference that rounding explains in numbers up to `scale` behind `depth` sums of products."""
    return EPSILONS_A_LAYER * torch.finfo(dtype).eps * depth * scale


def close(ours: object, theirs: object, *, depth: int, scale: float | None = None) -> None:
    """Fail unless both are finite, of one shape, and equal to rounding in float32; `scale`: the largest of `theirs`."""
    actual, expected = _doubles(ours), _doubles(theirs)
    assert expected.isfinite().all()
    largest = float(expected.abs().max()) if scale is None else scale
    torch.testing.assert_close(actual, expected, atol=room(depth, largest), rtol=0)


def close_layers(ours: Iterable[Sequence[float]], theirs: Iterable[Sequence[float]], *, depth: int) -> None:
    """Compare rows of (mean, standard deviation, some values), one a layer, with room for values of 4 deviations."""
    for mine, other in zip(ours, theirs, strict=True):
        close(mine, other, depth=depth, scale=abs(other[0]) + 4 * other[1])


def _doubles(values: object) -> torch.Tensor:
    plain = values.detach().double().numpy() if isinstance(values, torch.Tensor) else values
    return torch.from_numpy(np.array(plain, dtype=np.float64, order="C"))
