"""The sign of a direction that an eigenvector or a component leaves open.

A factorisation gives v or -v as the library and the machine have it; a command should give the same direction on all.
"""

import torch


def with_fixed_signs(vectors: torch.Tensor) -> torch.Tensor:
    """Return vectors (K, D), those turned round whose entry of the largest magnitude is negative."""
    largest = vectors.gather(1, vectors.abs().argmax(dim=1, keepdim=True))
    return torch.where(largest < 0, -vectors, vectors)
