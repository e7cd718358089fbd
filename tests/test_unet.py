"""The U-Net against the original's numbers: names, logits, and three training steps."""

import json

import numpy as np
import pytest
import torch
from conftest import GOLDEN
from golden_fill import decode, fill_state_dict
from rounding import close
from torch import nn
from torch.nn import functional as F

from segmentation.synthesis.synthesizer import Share, SyntheticBatch
from segmentation.unet.network import BilinearDoubling, UNet
from segmentation.unet.settings import SegmentationSettings
from segmentation.unet.training import rate_at, update
from toolkit.compute.engine import choose_engine
from toolkit.errors import UserError

DEPTH = 19  # two convolutions on each of nine levels, and the last


@pytest.fixture(scope="module")
def network():
    return fill_state_dict(UNet(), 0).eval()


def test_names_and_shapes_are_the_published_ones(network):
    expected = json.loads((GOLDEN / "unet_state_dict.json").read_text())
    found = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
    shapes = {name: entry["shape"] if isinstance(entry, dict) else entry for name, entry in expected.items()}
    assert found == shapes
    assert sum(p.numel() for p in network.parameters()) == 13_395_394


def test_logits_equal_the_original(network, golden):
    g = golden("unet")
    with torch.no_grad():
        logits = network(torch.from_numpy(decode(g["x64"])))
        odd = network(torch.from_numpy(decode(g["xodd"])))
    close(logits, g["logits64"], depth=DEPTH)
    close(odd, g["logits_odd"], depth=DEPTH)
    probability = 1 - logits.softmax(dim=1)[:, 0]
    close(probability, g["prob64"], depth=DEPTH)


def test_transposed_convolutions_equal_the_original(golden):
    g = golden("unet")
    network = fill_state_dict(UNet(bilinear=False), 0).eval()
    assert sum(p.numel() for p in network.parameters()) == 14_788_994
    with torch.no_grad():
        logits = network(torch.from_numpy(decode(g["x64"][:1])))
    close(logits, g["logits64_transposed_conv"], depth=DEPTH + 4)


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (40, 16)])
def test_any_size_from_16_gives_logits_of_that_size(size):
    with torch.no_grad():
        assert UNet(width=2).eval()(torch.zeros(1, 3, *size)).shape == (1, 2, *size)


def test_a_smaller_image_is_refused():
    with pytest.raises(UserError, match="16 x 15 pixels, but needs at least 16"):
        UNet(width=2)(torch.zeros(1, 3, 16, 15))


@pytest.mark.parametrize("size", [(1, 2), (7, 9)])
def test_doubling_and_its_gradient_are_bilinear_interpolation(size):
    features = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    expected = F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=True)
    found = BilinearDoubling()(features)
    assert torch.equal(found, expected)
    weights = torch.randn_like(found)
    torch.testing.assert_close(*(torch.autograd.grad(out, features, weights)[0] for out in (found, expected)))


def test_a_backward_pass_under_autocast_keeps_the_gradients_precision():
    features = torch.randn(2, 3, 5, 6, requires_grad=True)
    found = BilinearDoubling()(features)
    weights = torch.randn_like(found)
    (exact,) = torch.autograd.grad(found, features, weights, retain_graph=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(torch.autograd.grad(found, features, weights)[0], exact)


class Training:
    """The two parts of a segmentation state that an update touches."""

    def __init__(self) -> None:
        self.network = fill_state_dict(UNet(), 0).train()
        self.optimiser = torch.optim.Adam(self.network.parameters(), 1e-3, foreach=True)


def test_three_training_steps_equal_the_original(golden):
    g = golden("unet_train")
    state = Training()
    batch = Share.whole(SyntheticBatch(torch.from_numpy(decode(g["x"])), torch.from_numpy(g["y"]).bool()))
    settings = SegmentationSettings(rate=1e-3, rate_decay=0.2, decay_every=2)
    engine = choose_engine("cpu")
    losses = []
    for step in range(3):
        losses.append(update(state.network, state.optimiser, batch, rate_at(step, settings), engine).item())
        if step == 0:
            _compare_gradients(state.network, g)
    np.testing.assert_allclose([rate_at(step, settings) for step in range(3)], g["lrs"], rtol=1e-12)
    close(losses[0], g["losses"][0], depth=DEPTH)
    # Adam moves a weight by the whole rate along a gradient that is all rounding. So do the few weights whose own is
    # close to zero, which moves the later losses, and all biases before a norm: its mean by 2 * 0.1 * (0.001 + 0.002).
    np.testing.assert_allclose(losses, g["losses"], atol=2e-3)  # 6e-4 under SSE 4.1; a tenth more rate gives 1e-2
    np.testing.assert_allclose(state.network.outc.conv.bias.detach(), g["outc_bias_after"], atol=1e-5)
    norm = state.network.inc.double_conv[1]
    np.testing.assert_allclose(norm.running_mean, g["inc_bn_running_mean_after"], atol=6.1e-4)
    np.testing.assert_allclose(norm.running_var, g["inc_bn_running_var_after"], atol=1e-4)


def _compare_gradients(network: nn.Module, g: dict[str, np.ndarray]) -> None:
    expected = dict(zip(g["grad_names"].tolist(), g["grad_norms"].tolist(), strict=True))
    norms = {name: p.grad.norm().item() for name, p in network.named_parameters()}
    assert set(norms) == set(expected)
    # A bias in front of a batch norm has no gradient but rounding noise.
    checked = [name for name in expected if expected[name] >= 1e-5]
    assert len(checked) == 56
    # Where rounding decides for a ReLU or a maximum, whole gradients take another way: 1.2e-3 of a norm under SSE 4.1.
    np.testing.assert_allclose([norms[n] for n in checked], [expected[n] for n in checked], rtol=4e-3)
    close(network.outc.conv.weight.grad, g["grad_outc_weight"], depth=DEPTH, scale=1.0)  # that of what it sums
