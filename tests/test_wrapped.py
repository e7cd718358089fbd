"""Weights as training scripts leave them, and what else lies under the name of a weights file."""

import argparse
import shutil
import warnings
import zipfile
from pathlib import Path, PosixPath

import numpy as np
import pytest
import torch
from cli_runs import ran, refused
from safetensors.torch import save_file
from torch import nn

from generators.catalogue import open_generator
from generators.protocol import Latents
from segmentation.predict.segmenter import Segmenter
from segmentation.unet.network import UNet
from toolkit.errors import UserError
from toolkit.files.artefacts import load_pickled, load_state_file

PLACES = ["state_dict", "model", "model_state_dict", "params_ema", "generator", "g", "net/weights"]
PREFIXES = ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."]
# What scripts save beside weights; the last is NumPy's scalar, which torch reads only where it is told to.
BESIDE = {
    "epoch": 3,
    "mask_values": [0, 1],
    "args": argparse.Namespace(rate=1e-3),
    "best": np.float64(0.5),
    "mean": np.zeros(3),
    "folder": PosixPath("/data"),
}


@pytest.fixture(scope="module")
def network():
    return UNet(width=4).eval()


@pytest.fixture(scope="module")
def biggan():
    """A small published BigBiGAN state, which is a known layout of generators."""
    from test_tfhub import NARROW, FilledVariables
    from tf_writing import module_names

    from generators.tensorflow.hub import convert_tf_variables

    names = {name: [NARROW.get(n, n) for n in shape] for name, shape in module_names().items()}
    return convert_tf_variables(FilledVariables(names))


def photo(folder: Path) -> Path:
    (folder / "in").mkdir(exist_ok=True)
    (folder / "in" / "photo.png").touch()
    return folder / "in" / "photo.png"


def nested(place: str, state, beside=()):
    for key in reversed(place.split("/")):
        state = {key: state, **dict(beside)}
    return state


def prefixed(prefix: str, state):
    return {prefix + name: tensor for name, tensor in state.items()}


def assert_is(path: Path, network: nn.Module) -> None:
    read = Segmenter.load(path).network.state_dict()
    assert all(torch.equal(read[name], tensor) for name, tensor in network.state_dict().items())
    assert read.keys() == network.state_dict().keys()


@pytest.mark.parametrize("prefix", PREFIXES)
def test_prefixes_of_wrappers_are_no_part_of_names(network, tmp_path, prefix):
    state = prefixed(prefix, network.state_dict())
    torch.save(state, tmp_path / "net.pth")
    assert_is(tmp_path / "net.pth", network)
    save_file(state, tmp_path / "net.safetensors")
    assert_is(tmp_path / "net.safetensors", network)


@pytest.mark.parametrize("place", PLACES)
def test_a_segmenter_is_found_where_a_script_put_it(network, tmp_path, place):
    optimiser = torch.optim.Adam(nn.Linear(2, 2).parameters()).state_dict()
    torch.save({**nested(place, network.state_dict(), BESIDE.items()), "optimizer": optimiser}, tmp_path / "net.pth")
    assert_is(tmp_path / "net.pth", network)
    ran("convert", tmp_path / "net.pth", "--out", tmp_path / "net.safetensors")
    assert_is(tmp_path / "net.safetensors", network)


@pytest.mark.parametrize("name", BESIDE)
def test_values_beside_the_weights_are_left_out(network, tmp_path, name):
    torch.save({**network.state_dict(), name: BESIDE[name]}, tmp_path / "net.pth")
    assert_is(tmp_path / "net.pth", network)


def test_scalars_of_an_older_numpy_are_read_too(network, tmp_path):
    torch.save({**network.state_dict(), "best": np.float64(0.5)}, tmp_path / "new.pth", pickle_protocol=2)
    rewrite(tmp_path / "new.pth", tmp_path / "old.pth", b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert_is(tmp_path / "old.pth", network)


def rewrite(source: Path, target: Path, old: bytes, new: bytes) -> None:
    """Copy an archive of torch.save with other words in its pickle."""
    with zipfile.ZipFile(source) as read, zipfile.ZipFile(target, "w") as write:
        for name in read.namelist():
            content = read.read(name)
            if name.endswith("data.pkl"):
                assert old in content
                content = content.replace(old, new)
            write.writestr(name, content)


@pytest.mark.parametrize("place", PLACES)
def test_a_generator_is_found_where_a_script_put_it(biggan, tmp_path, place):
    torch.save(nested(place, prefixed("module.", biggan), BESIDE.items()), tmp_path / "g.pth")
    torch.save(biggan, tmp_path / "plain.pth")
    opened, plain = open_generator(str(tmp_path / "g.pth")), open_generator(str(tmp_path / "plain.pth"))
    latents = Latents(torch.zeros(1, opened.latent_dim))
    with torch.no_grad():
        assert torch.equal(opened(latents), plain(latents))
    ran(
        "sample",
        "--generator",
        "bigbigan",
        "--weights",
        tmp_path / "g.pth",
        "--samples",
        "1",
        "--out",
        tmp_path / "x.png",
    )


def test_the_one_that_fits_is_taken_among_others(network, biggan, tmp_path):
    torch.save({"generator": biggan, "net": network.state_dict(), "d": {"w": torch.ones(2)}}, tmp_path / "both.pth")
    assert_is(tmp_path / "both.pth", network)
    assert open_generator(str(tmp_path / "both.pth")).name == "bigbigan"


def test_several_that_fit_are_named(network, tmp_path):
    torch.save({"params": network.state_dict(), "ema": {"net": network.state_dict()}}, tmp_path / "net.pth")
    words = ("--segmenter", tmp_path / "net.pth", "--out", tmp_path / "out")
    message = refused("predict", photo(tmp_path), *words)
    count = len(network.state_dict())
    assert f"of which several fit U-Net weights: params ({count} tensors), ema/net ({count} tensors)" in message
    assert message.endswith("save one alone: torch.save(torch.load(FILE)['params'], NEW)")


def test_several_of_which_none_fits_are_named_with_the_way_for_own_networks(tmp_path):
    torch.save({"g": {"a": torch.ones(1)}, "d": {"b": torch.ones(1)}}, tmp_path / "net.pth")
    message = refused("sample", "--generator", tmp_path / "net.pth", "--out", tmp_path / "x.png")
    assert "of which none fits generator weights: g (1 tensors), d (1 tensors)" in message
    assert message.endswith("package.module:factory@weights=FILE")


@pytest.mark.parametrize("held", [{"a": torch.ones(1)}, {"state_dict": {"a": torch.ones(1)}}])
def test_one_that_does_not_fit_gets_the_hint_of_its_kind_nested_or_flat(tmp_path, held):
    torch.save(held, tmp_path / "net.pth")
    message = refused("sample", "--generator", tmp_path / "net.pth", "--out", tmp_path / "x.png")
    assert "has no layout of a known generator (its entries begin with a)" in message
    assert message.endswith("package.module:factory@weights=FILE")


@pytest.mark.parametrize("held", [[1], {"epoch": 3}, torch.ones(3)])
def test_what_holds_no_table_says_so(tmp_path, held):
    torch.save(held, tmp_path / "net.pth")
    with pytest.raises(UserError, match="holds no table of tensors, but U-Net weights is one"):
        load_state_file(tmp_path / "net.pth", "U-Net weights")


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 282000000\n"
OTHERS = {
    "page": (b"\n <!DOCTYPE html><html>not found</html>", "a web page"),
    "head": (b"\xef\xbb\xbf<HTML>", "a web page"),
    "xml": (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "a web page"),
    "lfs": (LFS, "a Git LFS pointer, which stands for a file of 282 MB"),
    "annex": (b"/annex/objects/MD5E-s3--abc.pth\n", "a git-annex pointer"),
    "empty": (b"", "an empty file"),
}


@pytest.mark.parametrize("ending", [".pth", ".pt", ".safetensors"])
@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_no_weights_file_is_named(tmp_path, kind, ending):
    content, said = OTHERS[kind]
    file = tmp_path / f"it{ending}"
    file.write_bytes(content)
    for line in (
        ("sample", "--generator", file, "--out", tmp_path / "x.png"),
        ("predict", photo(tmp_path), "--segmenter", file, "--out", tmp_path / "o"),
        ("pick", file, "--out", tmp_path / "p"),
    ):
        message = refused(*line)
        assert message.startswith(f"{file} is {said}")


def test_an_array_of_latents_is_named_too(tmp_path):
    (tmp_path / "z.npy").write_bytes(LFS)
    message = refused("sample", "--generator", "scene", "--latents", tmp_path / "z.npy", "--out", tmp_path / "x.png")
    assert "z.npy is a Git LFS pointer, which stands for a file of 282 MB, not a latents file (.npy)" in message


def test_a_program_is_no_file_of_weights(tmp_path, monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)), tmp_path / "a.pt")
    monkeypatch.setattr(torch.jit, "load", None)
    for name in ("a.pt", "a.pth"):
        if name != "a.pt":
            shutil.copy(tmp_path / "a.pt", tmp_path / name)
        with pytest.raises(UserError, match="is a TorchScript program, which is not run here"):
            load_pickled(tmp_path / name, "weights")


class Runs:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_pickle_is_not_run(tmp_path, network, zipped):
    held = {**network.state_dict(), "args": Runs(tmp_path / "ran")}
    torch.save(held, tmp_path / "net.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(UserError, match="no pickle of tensors and plain values alone"):
        Segmenter.load(tmp_path / "net.pth")
    assert not (tmp_path / "ran").exists()
