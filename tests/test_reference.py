"""The plain ways that speed is measured against give what the fast ones give."""

import pytest
import torch
from test_biggan import TINY, filled

from benchmarks.reference import PlainBigGAN, plain_components, plain_peaks
from generators.biggan import BigGANNetwork
from toolkit.masks import histogram_peaks, large_components


@pytest.mark.parametrize("classes", [[0, 1, 4], [2, 2, 2]])
def test_images_are_those_of_the_folded_network(classes):
    state, z, y = filled(TINY), torch.randn(3, TINY.dim_z), torch.tensor(classes)
    with torch.no_grad():
        torch.testing.assert_close(PlainBigGAN(state, TINY)(z, y), BigGANNetwork(TINY, state)(z, y), atol=1e-5, rtol=0)


def test_components_and_histograms_are_those_of_the_batched_filters():
    images = torch.nn.functional.interpolate(torch.randn(40, 3, 8, 8), size=(48, 48), mode="bilinear")
    masks = images[:, 0] > 0.3
    masks[0] = False
    assert torch.equal(plain_components(masks), large_components(masks))
    assert torch.equal(plain_peaks(images), histogram_peaks(images))
