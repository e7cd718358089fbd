"""Gradients in buckets: sent while the backward pass runs, the same ones in the same order, put back as the sums."""

import pytest
import torch
from torch import nn

from toolkit.compute.batches import with_last
from toolkit.compute.gradients import summing
from toolkit.compute.team import SOLO


def _network() -> nn.Sequential:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 2, 1))
    return layers.to(memory_format=torch.channels_last)


class _Doubling:
    """Sends to itself: the sum of two processes that hold the same. Notes sizes, and what ran before each waited."""

    def __init__(self) -> None:
        self.sent: list[int] = []
        self.waited = 0

    def __call__(self, flat: torch.Tensor):
        self.sent.append(flat.numel())

        def wait() -> None:
            self.waited += 1
            flat.mul_(2)

        return wait


IMAGES = torch.linspace(-1, 1, 2 * 3 * 8 * 8).view(2, 3, 8, 8)


def test_sums_take_the_gradients_place_in_the_layout_of_the_weights():
    network, alone, send = _network(), _network(), _Doubling()
    alone(IMAGES).square().mean().backward()
    loss = network(IMAGES).square().mean()
    with summing(network.parameters(), send, bucket_bytes=4 * 150):
        loss.backward()
        assert send.sent == [14, 144 + 4, 108]  # before the context ends
        assert send.waited == 0
    assert send.waited == 3
    for one, other in zip(network.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(one.grad, 2 * other.grad, rtol=0, atol=0)
        assert one.grad.stride() == one.stride()


def test_what_has_no_gradient_stays_without_one_and_holds_nothing_up():
    network, send = _network(), _Doubling()
    unused = nn.Parameter(torch.ones(5))
    with summing([*network.parameters(), unused], send):
        network(IMAGES).sum().backward()
        assert send.sent == []  # its bucket is not full
    assert sum(send.sent) == sum(parameter.numel() for parameter in network.parameters())
    assert unused.grad is None


def test_gradients_of_parts_add_up_before_they_are_sent_once():
    network, alone, send = _network(), _network(), _Doubling()
    alone(IMAGES).sum().backward()
    for part, last in with_last(IMAGES.split(1)):
        with summing(network.parameters(), send) if last else SOLO.summing([]):
            network(part).sum().backward()
    assert len(send.sent) == 1
    for one, other in zip(network.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(one.grad, 2 * other.grad)


def test_an_error_in_the_pass_is_not_hidden_and_leaves_no_hooks():
    network, send = _network(), _Doubling()
    with pytest.raises(ZeroDivisionError), summing(network.parameters(), send):
        raise ZeroDivisionError
    network(IMAGES).sum().backward()
    assert send.sent == []
