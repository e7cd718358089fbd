"""Reconstructors against the original's numbers and state-dict tables."""

import json
from pathlib import Path

import pytest
import torch
from golden_fill import fill_state_dict
from rounding import close

from discovery.methods.deformator.reconstructors import (
    LeNetReconstructor,
    ResNetReconstructor,
    make_reconstructor,
)
from toolkit.errors import UserError

GOLDEN = Path(__file__).parent / "golden"
CASES = {
    "resnet_120": lambda: ResNetReconstructor(120),
    "resnet_120_128px": lambda: ResNetReconstructor(120),
    "resnet_120_down32": lambda: ResNetReconstructor(120, size=32),
    "lenet_64_1ch": lambda: LeNetReconstructor(64, channels=1),
    "lenet_120_3ch": lambda: LeNetReconstructor(120),
}


@pytest.mark.parametrize("tag", CASES)
def test_same_numbers_and_keys_as_the_original(golden, tag):
    arrays = golden("predictors")
    reconstructor = fill_state_dict(CASES[tag](), 0).eval()
    pair = [torch.from_numpy(arrays[f"{tag}_x{i}"]).float() / 64 for i in (1, 2)]
    with torch.no_grad():
        logits, alpha = reconstructor(*pair)
    depth = 21 if tag.startswith("resnet") else 5
    close(logits, arrays[f"{tag}_logits"], depth=depth)
    assert alpha.shape == (len(pair[0]),)
    close(alpha, arrays[f"{tag}_shift"].reshape(alpha.shape), depth=depth)
    shapes = {name: list(t.shape) for name, t in reconstructor.state_dict().items()}
    assert shapes == json.loads(str(arrays[f"{tag}_keys"]))


@pytest.mark.parametrize(
    ("file", "tag"), [("lenet_predictor_120_3ch", "lenet_120_3ch"), ("resnet18_predictor_120", "resnet_120")]
)
def test_state_dict_has_the_published_tables_keys_and_shapes(file, tag):
    table = json.loads((GOLDEN / f"{file}_state_dict.json").read_text())
    shapes = {name: list(t.shape) for name, t in CASES[tag]().state_dict().items()}
    assert shapes == table


def test_unused_layer_of_the_resnet_is_never_run():
    reconstructor = ResNetReconstructor(5)
    reconstructor.features_extractor.fc.register_forward_hook(lambda *_: pytest.fail("ran the unused layer"))
    logits, alpha = reconstructor(torch.zeros(2, 3, 32, 32), torch.zeros(2, 3, 32, 32))
    (logits.sum() + alpha.sum()).backward()
    unused = [name for name, weight in reconstructor.named_parameters() if weight.grad is None]
    assert unused == ["features_extractor.fc.weight", "features_extractor.fc.bias"]


def test_seed_names_the_weights_and_unknown_names_are_refused():
    first, again, other = (make_reconstructor("lenet", 4, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.convnet[0].weight, again.convnet[0].weight)
    assert not torch.equal(first.convnet[0].weight, other.convnet[0].weight)
    with pytest.raises(UserError, match="choose one of resnet, lenet"):
        make_reconstructor("vgg", 4)
