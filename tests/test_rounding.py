"""The helper that decides what is rounding: it lets another order of sums pass, and no more."""

import numpy as np
import pytest
import torch
from rounding import close, room

WIDTH, DEPTH = 256, 12


def products(order: torch.Tensor) -> torch.Tensor:
    """Return WIDTH numbers around 1 behind DEPTH normalised sums of products, each summed in `order`."""
    rng = torch.Generator().manual_seed(0)
    values = torch.randn(WIDTH, generator=rng)
    for _ in range(DEPTH):
        weight = torch.randn(WIDTH, WIDTH, generator=rng) / WIDTH**0.5
        values = sum((weight * values).T[order], torch.zeros(WIDTH))  # one after the other: torch.sum has its own order
    return values


def test_sums_in_another_order_are_close_but_not_equal():
    straight, backwards = products(torch.arange(WIDTH)), products(torch.arange(WIDTH).flip(0))
    assert not torch.equal(straight, backwards)
    close(straight, backwards, depth=DEPTH)


@pytest.mark.parametrize("change", [lambda x: x * (1 + 3e-5), lambda x: x + 3e-5, lambda x: x.flip(0)])
def test_what_is_not_rounding_is_told_apart(change):
    values = torch.linspace(-1, 1, 64)
    close(values, values + room(DEPTH) / 2, depth=DEPTH)
    with pytest.raises(AssertionError):
        close(change(values), values, depth=DEPTH)


def test_room_grows_with_depth_and_scale_alone():
    assert room(1) == 8 * 2**-23
    assert room(12, 5.0) == pytest.approx(60 * room(1))
    close(np.full(3, 100.0 + 5e-5), [100.0] * 3, depth=1)
    with pytest.raises(AssertionError):
        close(np.full(3, 1.0 + 5e-5), [1.0] * 3, depth=1)


@pytest.mark.parametrize("bad", [[1.0, float("nan")], [1.0], [[1.0, 1.0]]])
def test_other_shapes_and_nan_are_never_close(bad):
    with pytest.raises(AssertionError):
        close(torch.tensor(bad), torch.ones(2), depth=100, scale=100.0)
