"""Amounts of memory, what a training step needs, and batches cut to fit."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from segmentation.unet.network import UNet
from toolkit.compute.batches import even_slices
from toolkit.compute.memory import largest_micro_batch, parse_bytes, peak_memory, training_bytes
from toolkit.errors import UserError

CPU = torch.device("cpu")
SLACK = 1.4


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4GB", 4 * 10**9),
        ("4 gb", 4 * 10**9),
        (" 3.5GiB ", 7 * 2**29),
        ("512MB", 512 * 10**6),
        ("512MiB", 2**29),
        ("0.5GB", 5 * 10**8),
    ],
)
def test_amounts_of_memory(text, size):
    assert parse_bytes(text) == size


@pytest.mark.parametrize(
    "text", ["", "4", "GB", "0GB", "0.0MB", "-4GB", "4TB", "4KB", "4,5GB", "nanGB", "1e3MB", "4G", "9" * 400 + "GB"]
)
def test_what_is_no_amount_of_memory_is_refused(text):
    with pytest.raises(
        UserError, match="is no amount of memory; write a number above 0 and MB, MiB, GB or GiB"
    ) as error:
        parse_bytes(text)
    assert "\n" not in str(error.value)


def test_bytes_of_a_layer_solved_by_hand():
    layer = nn.Linear(10, 5, bias=False)
    needed = training_bytes(lambda count: layer(torch.ones(count, 10)).square().sum(), layer.parameters())
    # Four copies of 10 x 5 weights; of each sample the layer's input (10 numbers) and the square's (5).
    for count in (1, 2, 7):
        assert needed(count) == math.ceil(SLACK * 4 * (4 * 10 * 5 + 15 * count))


def test_memory_that_is_saved_twice_counts_once():
    def step(count):
        images = torch.ones(count, 100, requires_grad=True)
        return (images.view(count, 10, 10) * images.view(count, 10, 10) * images.detach().view(count, 10, 10)).sum()

    needed = training_bytes(step, [])
    assert needed(3) == math.ceil(SLACK * 4 * 3 * 100)  # the images, three times


def test_frozen_weights_count_once_whether_saved_or_not():
    frozen, unused = torch.ones(10, 5), torch.ones(30)
    start = torch.ones(10, requires_grad=True)

    def step(count):
        return (start.expand(count, 10) @ frozen).sum()

    assert training_bytes(step, [start], [frozen, unused])(2) == math.ceil(SLACK * 4 * (4 * 10 + 50 + 30))


def test_bytes_are_counted_where_batch_norm_needs_two_samples():
    network = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8))
    inputs = torch.randn(9, 4)
    needed = training_bytes(lambda count: network(inputs[:count]).sum(), network.parameters(), least=2)
    assert needed(4) - needed(3) == pytest.approx(needed(3) - needed(2), abs=1)


def test_from_few_samples_follows_what_many_need():
    network = UNet(width=4)

    def step(count):
        return F.cross_entropy(network(torch.zeros(count, 3, 32, 32)), torch.zeros(count, 32, 32, dtype=torch.long))

    few, many = (training_bytes(step, network.parameters(), least=least) for least in (1, 20))
    assert few(20) == many(20)
    assert few(95) == many(95)


def test_bf16_needs_less():
    network = UNet(width=8)

    def step(count):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            return network(torch.zeros(count, 3, 32, 32)).float().sum()

    half = False
    full = training_bytes(step, network.parameters())(32)
    half = True
    assert training_bytes(step, network.parameters())(32) < 0.7 * full


@pytest.mark.parametrize(
    ("limit", "size"), [(1000, 95), (960, 95), (950, 95), (949, 48), (470, 32), (320, 32), (20, 2), (10, 1)]
)
def test_the_batch_is_cut_into_as_few_even_parts_as_fit(limit, size):
    assert largest_micro_batch(lambda count: 10 * count, limit, 95) == size


@pytest.mark.parametrize(("batch", "least"), [(95, 1), (95, 2), (7, 2), (3, 2), (2, 2), (16, 4)])
def test_no_part_is_larger_than_the_limit_or_smaller_than_the_least(batch, least):
    smallest = math.ceil(batch / (batch // least))
    for limit in range(smallest, batch + 1):
        largest = largest_micro_batch(lambda count: count, limit, batch, least)
        parts = [rows.stop - rows.start for rows in even_slices(batch, largest)]
        assert sum(parts) == batch
        assert least <= min(parts) <= max(parts) <= min(limit, min(parts) + 1)


def test_even_slices_cover_a_batch_in_order():
    assert list(even_slices(95, None)) == [slice(0, 95)]
    assert list(even_slices(95, 32)) == [slice(0, 31), slice(31, 63), slice(63, 95)]


def test_a_batch_smaller_than_its_least_part_stays_whole():
    assert largest_micro_batch(lambda count: count, 10, 2, least=4) == 2


@pytest.mark.parametrize(("least", "smallest", "megabytes"), [(1, 1, 301), (2, 3, 501)])
def test_a_limit_below_the_smallest_part_is_refused_with_what_is_needed(least, smallest, megabytes):
    def needed(count):
        return 200 * 10**6 + 100 * 10**6 * count + 1

    message = f"max_memory is 300MB, but a training step with {smallest} of its 5 samples at a time needs {megabytes}MB"
    with pytest.raises(UserError, match=message) as error:
        largest_micro_batch(needed, 300 * 10**6, batch=5, least=least)
    assert "\n" not in str(error.value)
    assert largest_micro_batch(needed, parse_bytes(f"{megabytes}MB"), batch=5, least=least) == smallest


def test_peak_memory_is_in_bytes_and_sees_a_large_tensor():
    before = peak_memory(CPU)
    assert 10**7 < before < 10**12
    size = before // 2 + 10**8
    torch.ones(size, dtype=torch.uint8)
    assert peak_memory(CPU) >= before
    assert peak_memory(CPU) >= size
