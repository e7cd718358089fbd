"""TensorFlow's pickles of StyleGAN2, written from states of StyleGAN2-ADA by the renaming turned round."""

import pickle
import re

import numpy as np
import pytest
import stub_pickles
import torch
from golden_modern import every, filled_state, golden_arrays, table

from generators.catalogue import open_generator
from generators.nvlabs.reading import read_networks
from generators.protocol import Latents
from toolkit.errors import UserError

LAYERS = {"conv0": "Conv0_up", "conv1": "Conv1", "torgb": "ToRGB", "skip": "Skip"}


def variables(state):
    """(part, name, array) of every entry of a state as TensorFlow's networks have them."""
    for name, tensor in state.items():
        value = tensor.numpy()
        part, _, rest = name.partition(".")
        if rest.endswith("resample_filter"):
            continue
        if part == "mapping" and rest == "w_avg":
            yield "", "dlatent_avg", value
        elif part == "mapping":
            layer, entry = rest.split(".")
            layer = "LabelEmbed" if layer == "embed" else f"Dense{layer.removeprefix('fc')}"
            yield part, f"{layer}/{entry}", value.T if entry == "weight" else value
        elif rest == "b4.const":
            yield part, "4x4/Const/const", value[None]
        else:
            yield part, *layer_variable(*re.fullmatch(r"b(\d+)\.(\w+)\.(.*)", rest).groups(), value)


def layer_variable(side, layer, entry, value):
    scope = f"{side}x{side}/{'Conv' if (side, layer) == ('4', 'conv1') else LAYERS[layer]}"
    if entry == "noise_const":
        return f"noise{2 * int(np.log2(int(side))) - (5 if layer == 'conv0' else 4)}", value[None, None]
    if entry == "affine.weight":
        return f"{scope}/mod_weight", value.T
    if entry == "affine.bias":
        return f"{scope}/mod_bias", value - 1
    if entry == "weight":
        kernel = value.transpose(2, 3, 1, 0)
        return f"{scope}/weight", kernel[::-1, ::-1] if layer in ("conv0", "skip") else kernel
    return f"{scope}/{entry}", value[()]  # numbers of no dimension are scalars of NumPy there


def network(name, held, arguments, version=4, **more):
    state = {"version": version, "name": name, "static_kwargs": stub_pickles.EasyDict(arguments), "components": {}}
    return stub_pickles.Network({**state, "build_module_src": "raise RuntimeError", "variables": held, **more})


def write(path, state, arguments=None, protocol=3, version=4, extra=()):
    found = list(variables(state))
    parts = {
        part: network(part, [(name, value) for at, name, value in found if at == part], {})
        for part in ("synthesis", "mapping")
    }
    own = [("lod", np.float32(0)), *((name, value) for at, name, value in found if not at), *extra]
    average = network("Gs", own, arguments or {}, version, components=parts)
    others = [network(name, [("lod", np.float32(0))], {}) for name in ("G", "D")]
    with stub_pickles.names_of_the_original():
        path.write_bytes(pickle.dumps((*others, average), protocol))
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("name", ["stylegan2ada_cond_32", "stylegan2ada_resnet_32"])
def test_entries_are_those_of_its_successor(name, protocol, tmp_path):
    state = filled_state("stylegan2ada", table(name))
    read = read_networks(write(tmp_path / "g.pkl", state, protocol=protocol)).tensors
    assert set(read) == set(state)
    for entry, tensor in state.items():
        torch.testing.assert_close(read[entry], tensor, atol=1e-6, rtol=0)  # 1 was taken away and added


@pytest.mark.parametrize("name", ["stylegan2ada_64", "stylegan2ada_cond_32"])
def test_images_are_the_golden_ones(name, tmp_path):
    arrays = golden_arrays(name)
    clamp = arrays["config"]["synthesis_kwargs"]["conv_clamp"]
    arguments = {"mapping_layers": 2, "conv_clamp": clamp, "fmap_base": 1024, "resample_kernel": [1, 3, 3, 1]}
    path = write(tmp_path / "g.pkl", filled_state("stylegan2ada", table(name)), arguments)
    y = torch.tensor([1, 4]) if "cond" in name else None
    images = open_generator(f"{path}@space=z")(Latents(torch.from_numpy(arrays["z"]), y))[:, : arrays["out"].shape[1]]
    torch.testing.assert_close(images, torch.from_numpy(arrays["out"]), atol=2e-5, rtol=0)
    assert every(images, 2).std() > 0.1
    kept = read_networks(path).config["init_kwargs"]
    assert kept["synthesis_kwargs"] == {"channel_base": 2048, "conv_clamp": clamp}
    assert kept["mapping_kwargs"] == {"num_layers": 2}


@pytest.fixture(scope="module")
def state():
    return filled_state("stylegan2ada", table("stylegan2ada_orig_32"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"version": 3}, "it is of version 3, older than StyleGAN2"),
        ({"extra": [("4x4/Dense/weight", np.ones(3))]}, "it has 4x4/Dense/weight, which is none of StyleGAN2"),
        ({"extra": [("dlatent_avg", np.ones(3))]}, "dlatent_avg is there twice"),
        ({"extra": [("noise", "text")]}, "it has noise, which is none of StyleGAN2"),
        ({"arguments": {"resample_kernel": [1, 2, 1]}}, "it resamples with another filter than 1, 3, 3, 1"),
    ],
    ids=str,
)
def test_other_networks_are_told_what_to_do(change, reason, state, tmp_path):
    path = write(tmp_path / "g.pkl", state, **change)
    with pytest.raises(UserError) as caught:
        read_networks(path)
    assert str(caught.value).startswith(f"{path} is a TensorFlow pickle that is not read here ({reason}); convert it")
    assert "with legacy.py of the stylegan3 repository" in str(caught.value)


def test_a_missing_variable_is_named_as_in_torch(state, tmp_path):
    gone = {name: tensor for name, tensor in state.items() if name != "synthesis.b8.conv0.bias"}
    with pytest.raises(UserError, match=r"missing: synthesis\.b8\.conv0\.bias; check"):
        open_generator(str(write(tmp_path / "g.pkl", gone)))


def test_calls_in_gs_are_named_and_not_made(state, tmp_path, monkeypatch):
    class Call:
        def __reduce__(self):
            return __import__("os").mkdir, ("ran",)

    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"holds \w+\.mkdir in Gs, which is no part of StyleGAN2 or StyleGAN3"):
        read_networks(write(tmp_path / "g.pkl", state, extra=[("more", Call())]))
    assert not (tmp_path / "ran").exists()
