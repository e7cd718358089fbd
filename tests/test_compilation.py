"""Compiling changes nothing but speed, and a compiler that fails ends no run."""

import pytest
import torch
from seg_toy import DiscGenerator, contrast_shift
from torch import nn

from benchmarks.networks import multiplications
from discovery.methods.deformator.training import DiscoveryState, discover
from discovery.settings import DiscoverySettings
from segmentation.synthesis.synthesizer import PriorSource
from segmentation.unet.network import UNet, Up
from segmentation.unet.settings import SegmentationSettings
from segmentation.unet.training import SegmentationState, train
from toolkit.compute.compilation import compiled, pays
from toolkit.compute.engine import choose_engine
from toolkit.errors import UserError

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def fresh_compiler():
    yield
    torch.compiler.reset()


@pytest.mark.parametrize(
    ("mode", "device", "steps", "expected"),
    [
        ("off", "cuda", 10**6, False),
        ("auto", "cpu", 10**6, False),
        ("auto", "mps", 10**6, False),
        ("auto", "cuda", 300, False),
        ("auto", "cuda", 12_000, True),
        ("on", "cpu", 1, True),
    ],
)
def test_only_long_runs_on_gpus_are_compiled_unasked(mode, device, steps, expected):
    assert pays(mode, torch.device(device), steps) is expected


def test_compiling_changes_neither_results_nor_names_nor_gradients():
    network = Up(4, 2, bilinear=True).double()
    below, skip = torch.randn(2, 2, 4, 4).double(), torch.randn(2, 2, 8, 8).double()
    names = list(network.state_dict())
    fast = compiled(network, pytest.fail, backend="aot_eager")
    results = []
    for call in (network, fast):
        output = call(below, skip)
        results.append([output, *torch.autograd.grad(output.square().sum(), list(network.parameters()))])
    torch.testing.assert_close(*results)
    assert list(network.state_dict()) == names


def test_the_mode_of_a_compiled_network_follows_the_network():
    network = nn.Dropout()
    fast = compiled(network, pytest.fail, backend="eager")
    assert (fast(torch.ones(100)) == 0).any()
    network.eval()
    assert (fast(torch.ones(100)) == 1).all()


def test_a_failing_compiler_is_told_once_and_the_work_done_without():
    def broken(graph, inputs):
        raise RuntimeError("no compiler here\nand many more lines")

    told = []
    fast = compiled(lambda x: 2 * x, told.append, backend=broken)
    for _ in range(2):
        assert torch.equal(fast(torch.ones(2)), torch.full((2,), 2.0))
    assert len(told) == 1
    assert "\n" not in told[0]
    assert told[0].startswith("warning: torch.compile failed, going on without it")
    assert "no compiler here" in told[0]


def test_errors_of_the_work_itself_come_through():
    fast = compiled(UNet(width=2), pytest.fail, backend="eager")
    with pytest.raises(UserError, match="needs at least 16"):
        fast(torch.zeros(1, 3, 8, 8))


def test_an_unknown_mode_is_refused():
    with pytest.raises(UserError, match="'always'; choose one of auto, on, off"):
        pays("always", CPU, 1)


def test_multiplications_of_forward_and_backward_are_counted():
    convolution = nn.Conv2d(3, 5, 3, padding=1)
    images = torch.randn(2, 3, 8, 8)
    forward = 2 * 5 * 8 * 8 * 3 * 9
    assert multiplications(lambda: convolution(images)) == forward
    # The images need no gradient: the weights' alone.
    assert multiplications(lambda: convolution(images).sum().backward()) == 2 * forward


def _unhurried(optimiser):
    # Adam takes a full step along a gradient that is all rounding, as those of biases before batch norm are.
    optimiser.param_groups[0]["eps"] = 1e-3


def _through_aot(work):
    return compiled(work, pytest.fail, backend="aot_eager")


def test_a_compiled_training_is_the_plain_one(monkeypatch):
    monkeypatch.setattr("toolkit.compute.engine.compiled", _through_aot)
    settings = SegmentationSettings(steps=3, batch=4, width=4, validation_samples=3, validate_every=3, seed=1)
    generator = DiscGenerator()
    networks = []
    for mode in ("off", "on"):
        engine = choose_engine("cpu").for_training(mode, settings.steps)
        state = SegmentationState.start(generator, contrast_shift(), settings, engine, PriorSource(generator))
        _unhurried(state.optimiser)
        assert [step.step for step in train(state, settings, engine)] == [1, 2, 3]
        networks.append(state.network.state_dict())
    torch.testing.assert_close(networks[1], networks[0])
    assert engine.describe().endswith("compiled")


def test_a_compiled_discovery_is_the_plain_one(monkeypatch):
    monkeypatch.setattr("toolkit.compute.engine.compiled", _through_aot)
    settings = DiscoverySettings(steps=2, batch=4, directions=5, reconstructor="lenet")
    generator, states = DiscGenerator(), []
    for mode in ("off", "on"):
        engine = choose_engine("cpu").for_training(mode, settings.steps)
        state = DiscoveryState.start(generator, settings, engine)
        _unhurried(state.deformator_optimiser)
        assert len(list(discover(state, generator, settings, engine))) == 2
        states.append(state.deformator.state_dict())
    torch.testing.assert_close(states[1], states[0])
