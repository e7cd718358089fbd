"""The plain ways that speed is measured against give what the fast ones give."""

import pytest
import torch
from rounding import close
from test_biggan import TINY, depth, filled

from benchmarks.reference import PlainBigGAN, plain_components, plain_peaks
from generators.published.biggan.network import BigGANNetwork
from toolkit.masks.connected import large_by_mask, large_by_runs
from toolkit.masks.filters import histogram_peaks, histograms_by_bin, histograms_by_image


@pytest.mark.parametrize("classes", [[0, 1, 4], [2, 2, 2]])
def test_images_are_those_of_the_folded_network(classes):
    state, z, y = filled(TINY), torch.randn(3, TINY.dim_z), torch.tensor(classes)
    with torch.no_grad():
        close(PlainBigGAN(state, TINY)(z, y), BigGANNetwork(TINY, state)(z, y), depth=depth(TINY))


def patterns(side: int) -> torch.Tensor:
    """Masks (8, side, side) that are hard to label: long paths, many dead ends, many corners, nothing, everything."""
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    turns = torch.where(y % 4 == 1, side - 1, 0)
    snake = (y % 2 == 0) | (x == turns)
    comb = (x % 2 == 0) | (y == side - 1)
    ring = torch.minimum(torch.minimum(y, x), side - 1 - torch.maximum(y, x))
    spiral = ((ring % 2 == 0) & ~((x == ring) & (y == ring + 1))) | ((ring % 2 == 1) & (x == ring) & (y == ring + 1))
    dots = (y % 2 == 0) & (x % 2 == 0)
    full = torch.ones(side, side, dtype=torch.bool)
    one = (y == side // 2) & (x == side // 3)
    return torch.stack([snake, comb, spiral, (y + x) % 2 == 0, dots, full, ~full, one])


def hard_masks(count: int, side: int, rng: torch.Generator) -> dict[str, torch.Tensor]:
    """Masks (count, side, side) by kind."""

    def uniform(*size: int) -> torch.Tensor:
        return torch.rand(*size, generator=rng)

    def turned(masks: torch.Tensor) -> torch.Tensor:
        return torch.cat([part.rot90(turn, (1, 2)) for turn, part in enumerate(masks.chunk(4))])

    coarse = torch.nn.functional.interpolate(
        uniform(count, 1, side // 4, side // 4), size=(side, side), mode="bilinear"
    )
    bare = patterns(side)[torch.arange(count) % 8]
    cuts = uniform(count, side, side) < 0.1 * uniform(count, 1, 1)
    return {
        "noise": uniform(count, side, side) < uniform(count, 1, 1),
        "blobs": coarse[:, 0] + 0.1 * uniform(count, side, side) > 0.3 + 0.5 * uniform(count, 1, 1),
        "patterns": turned(bare),
        "patterns with cuts": turned(bare & ~cuts),
        "patterns with specks": turned(bare ^ cuts),
    }


@pytest.mark.parametrize("large", [large_by_mask, large_by_runs])
def test_components_are_those_of_the_plain_way(plain_masks, large):
    for kind, (masks, kept) in plain_masks.items():
        assert torch.equal(large(masks, 0.2), kept), kind


@pytest.fixture(scope="module")
def plain_masks():
    rng = torch.Generator().manual_seed(0)
    found = {kind: (masks, plain_components(masks)) for kind, masks in hard_masks(2000, 24, rng).items()}
    for size in [(1, 1), (1, 9), (9, 1), (2, 3), (7, 12), (33, 20)]:
        masks = torch.rand(20, *size, generator=rng) < 0.5
        found[f"{size}"] = masks, plain_components(masks)
    return found


@pytest.mark.parametrize("ratio", [0.0, 0.1, 1 / 3, 0.5, 1.0])
def test_components_are_compared_with_the_ratio_as_in_the_plain_way(ratio):
    masks = torch.rand(200, 10, 10, generator=torch.Generator().manual_seed(0)) < 0.3
    kept = plain_components(masks, ratio)
    assert torch.equal(large_by_mask(masks, ratio), kept)
    assert torch.equal(large_by_runs(masks, ratio), kept)


def edges_of_bins() -> torch.Tensor:
    """Float32 values at the edges of 12 bins over [-1, 1], right below and right above."""
    edges = torch.linspace(-1, 1, 13)
    values = [edges]
    for towards in (-2.0, 2.0):
        beside = edges
        for _ in range(5):
            beside = torch.nextafter(beside, torch.tensor(towards))
            values.append(beside)
    return torch.cat(values)


@pytest.mark.parametrize("histograms", [histograms_by_image, histograms_by_bin])
def test_histograms_are_those_of_torch(histograms):
    rng = torch.Generator().manual_seed(0)
    edges, beyond = edges_of_bins(), torch.tensor([torch.nan, torch.inf, -torch.inf, 1e30, -300.0, -0.0, 1e-40])
    mixed = torch.cat([edges, beyond])[torch.randint(len(edges) + len(beyond), (50, 99), generator=rng)]
    for values in (edges[:, None], beyond[:, None], mixed, 1.5 * torch.randn(50, 300, generator=rng)):
        assert torch.equal(histograms(values), torch.stack([torch.histc(row, 12, -1, 1) for row in values]))


def test_peaks_are_those_of_the_plain_way():
    images = torch.nn.functional.interpolate(torch.randn(40, 3, 8, 8), size=(48, 48), mode="bilinear")
    assert torch.equal(plain_peaks(images), histogram_peaks(images))
