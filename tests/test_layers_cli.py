"""Edits by layer in every command, on a small StyleGAN2 in a file."""

import json
from functools import partial

import numpy as np
import pytest
import small_stylegan2
import torch
from PIL import Image
from rounding import close
from small_stylegan2 import LAYERS

import toolkit
from discovery.settings import PickSettings
from tests.cli_runs import ran, refused
from toolkit.directions import DirectionSet
from toolkit.errors import UserError
from toolkit.streams import Stream

CPU = ("--device", "cpu")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to work in with the generator tiny.pt."""
    monkeypatch.chdir(tmp_path)
    small_stylegan2.write(tmp_path / "tiny.pt")
    return tmp_path


@pytest.fixture
def a_set(folder):
    ran("discover", "--generator", "tiny.pt", "--method", "random", "--directions", 4, "--out", "set", *CPU)
    return DirectionSet.load("set")


def layers(path):
    return DirectionSet.load(path).layers.int().tolist()


FLAGS = {
    "deformator": (
        "--steps",
        2,
        "--batch",
        4,
        "--reconstructor",
        "lenet",
        "--validation-batches",
        1,
        "--directions",
        3,
    ),
    "ganspace": ("--samples", 64, "--directions", 3),
    "sefa": ("--directions", 3),
    "contrast": ("--steps", 2, "--batch", 4),
    "coordinates": ("--directions", 3),
    "random": ("--directions", 3),
}


@pytest.mark.parametrize("method", FLAGS)
def test_every_method_finds_directions_of_some_layers(folder, method):
    line = ("discover", "--generator", "tiny.pt", "--method", method, *FLAGS[method], *CPU)
    ran(*line, "--layers", "1-2,6", "--out", "some")
    found = DirectionSet.load("some")
    assert found.layers.int().tolist() == len(found) * [[0, 1, 1, 0, 0, 0, 1, 0]]
    assert "layers" not in found.card["source"]
    assert json.loads((folder / "some" / "run.json").read_text())["inputs"]["layers"] == "1-2,6"
    assert "layers was '1-2,6', now None" in refused(*line, "--out", "some")
    ran(*line, "--layers", "1,2,6", "--out", "some")  # resumed: they are the same layers
    ran(*line, "--out", "all")
    whole = DirectionSet.load("all")
    assert whole.layers is None
    trained = method in ("deformator", "contrast", "sefa")
    assert torch.equal(whole.vectors, found.vectors) is not trained


def test_library_finds_what_the_command_finds(folder):
    line = ("discover", "--generator", "tiny.pt", "--method", "contrast", *FLAGS["contrast"], *CPU)
    ran(*line, "--layers", "0-3", "--out", "set")
    found = toolkit.discover("tiny.pt", "contrast", layers="0-3", steps=2, batch=4, device="cpu")
    assert found.is_as(DirectionSet.load("set"))


def images(*words):
    ran("sample", "--generator", "tiny.pt", "--samples", 2, *words, "--out", "images.npy", *CPU)
    return np.load("images.npy")


def test_sample_shifts_the_layers_named(a_set):
    generator = toolkit.open_generator("tiny.pt")
    latents = toolkit.sample(generator, 2)
    w = latents.z[:, None].repeat(1, LAYERS, 1)
    w[:, [1, 4]] += 3 * a_set.vectors[2]
    np.save("w.npy", w.numpy())
    shifted = images("--directions", "set", "--direction", 2, "--alpha", 3, "--layers", "1,4")
    close(shifted, generator.network(w), depth=11)
    ran("sample", "--generator", "tiny.pt", "--latents", "w.npy", "--out", "given.npy", *CPU)
    close(shifted, np.load("given.npy"), depth=11)
    edited = toolkit.edit(latents, "set", 2, 3.0, layers="1,4")
    torch.testing.assert_close(edited.z, w)
    walked = toolkit.render(latents, None, "set", direction=2, reach=3.0, layers="1,4", frames=3, device="cpu")
    assert (walked[2] == toolkit.render(edited, generator, device="cpu")).all()


def test_pick_saves_the_layers_that_directions_are_judged_on(a_set):
    ran("pick", "set", "--direction", 1, "--alpha", 4, "--layers", "2-3", *CPU)
    assert layers("set")[1] == [0, 0, 1, 1, 0, 0, 0, 0]
    assert layers("set")[0] == LAYERS * [1]
    assert "direction_1 +4 at layers 2-3" in repr(DirectionSet.load("set"))
    ran("pick", "set", "--direction", 1, "--alpha", 4, "--layers", "all", *CPU)
    assert DirectionSet.load("set").layers is None
    ran("pick", "set", "--direction", 0, "--alpha", 4, "--layers", "7", "--out", "copy", *CPU)
    assert layers("copy")[0] == [0, 0, 0, 0, 0, 0, 0, 1]


def test_pick_judges_anew(a_set, monkeypatch):
    monkeypatch.setattr("discovery.picking.measuring.score_of", lambda figures, bounds: 0.5 + figures["centre"] / 10)
    small = ("--samples", 4, "--num-alphas", 1, "--compared-samples", 4, "--finalists", 2)
    ran("pick", "set", "--layers", "0-1", *small, *CPU)
    assert layers("set") == 4 * [[1, 1, 0, 0, 0, 0, 0, 0]]
    low = DirectionSet.load("set").scores["centre"]
    ran("pick", "set", "--layers", "6", *small, *CPU)
    assert layers("set") == 4 * [[0, 0, 0, 0, 0, 0, 1, 0]]
    high = DirectionSet.load("set").scores["centre"]
    assert low != high
    ran("pick", "set", *small, *CPU)  # on the layers that it has
    assert DirectionSet.load("set").scores["centre"] == high
    picked = toolkit.pick("set", layers="0-1", samples=4, num_alphas=1, compared_samples=4, finalists=2, device="cpu")
    assert picked.scores["centre"] == pytest.approx(low)


SEGMENTER = ("--steps", 2, "--batch", 2, "--width", 4, "--validation-samples", 2, "--mask-rule", "mean_thr")
NO_FILTERS = ("--no-area-filter", "--no-histogram-filter")


def test_masks_are_made_along_the_layers(a_set, folder):
    along = ("--direction", 0, "--alpha", 4)
    pairs = ("--samples", 4, "--batch", 2, *NO_FILTERS, *CPU)
    ran("synthesize", "set", *along, "--layers", "0-3", "--out", "pairs", *pairs)
    manifest = json.loads((folder / "pairs" / "manifest.json").read_text())
    assert manifest["layers"] == "0-3"
    assert "layers was '0-3', now '0-4'" in refused(
        "synthesize", "set", *along, "--layers", "0-4", "--out", "pairs", *pairs
    )
    ran("segment", "set", *along, "--layers", "0-3", "--out", "segmenter", *SEGMENTER, *NO_FILTERS, *CPU)
    assert json.loads((folder / "segmenter" / "run.json").read_text())["inputs"]["layers"] == "0-3"
    ran("pick", "set", *along, "--layers", "0-3", *CPU)
    ran("segment", "set", "--out", "segmenter", *SEGMENTER, *NO_FILTERS, *CPU)  # the same run
    settings = {"area_filter": False, "histogram_filter": False, "batch": 4, "device": "cpu"}
    one, _ = next(toolkit.synthesize("set", direction=0, alpha=4.0, layers="0-3", mask_rule="lighting", **settings))
    assert one.shape == (4, 3, 32, 32)


def test_photos_latents_by_layer_are_segmented_on(a_set):
    np.save("w.npy", np.random.default_rng(0).normal(size=(3, LAYERS, 8)).astype(np.float32))
    along = ("--direction", 0, "--alpha", 4, "--layers", "0-3", "--embeddings")
    ran("segment", "set", *along, "w.npy", "--z-noise", 0.1, "--out", "s", *SEGMENTER, *NO_FILTERS, *CPU)
    np.save("w.npy", np.zeros((3, 6, 8), np.float32))
    words = "latents of shape (N, 8) or (N, 8, 8) are needed"
    assert words in refused("segment", "set", *along, "w.npy", "--out", "other", *SEGMENTER, *CPU)


def test_walks_and_comparisons_take_sets_of_layers(a_set, folder, monkeypatch):
    monkeypatch.setattr("cli.commands.compare.PickSettings", partial(PickSettings, samples=4, num_alphas=1))
    ran("pick", "set", "--direction", 0, "--alpha", 4, "--layers", "0-3", "--out", "low", *CPU)
    walk = ("--frames", 2, "--samples", 2, *CPU)
    ran("render-gif", "low", *walk, "--out", "low.gif")
    ran("render-gif", "set", "--direction", 0, "--alpha", 4, "--layers", "0-3", *walk, "--out", "named.gif")
    assert (folder / "low.gif").read_bytes() == (folder / "named.gif").read_bytes()
    small = ("--steps", 2, "--batch", 4, "--reconstructor-size", 32, "--validation-batches", 1)
    ran("compare", "set", "low", "--directions", 2, "--out", "compared", *small, *CPU)
    result = json.loads((folder / "compared" / "result.json").read_text())
    assert (
        "cosines count the layers that two directions both move, since low moves some layers alone" in result["notes"]
    )
    shared = {(pair["first"], pair["second"]): pair["overlap"] for pair in result["overlaps"]}
    assert shared["set", "low"] == pytest.approx((1 + 0.5**0.5) / 2)  # one of the two moves half of the layers
    assert "which the original's files cannot say" in refused("export", "low", "--layout", "deformator", "--out", "x")
    assert "which the original's files cannot say" in refused(
        "export", "low", "--layout", "bg-direction", "--direction", 0, "--alpha", 1, "--out", "x.pth"
    )
    assert not (folder / "x").exists()


@pytest.mark.parametrize(
    "line",
    [
        ("discover", "--generator", "{generator}", "--method", "random", "--out", "new"),
        ("pick", "set", "--out", "new"),
        ("pick", "set", "--direction", 0, "--alpha", 1, "--out", "new"),
        ("render-gif", "set", "--direction", 0, "--alpha", 1, "--out", "new.gif"),
        (
            "sample",
            "--generator",
            "{generator}",
            "--directions",
            "set",
            "--direction",
            0,
            "--alpha",
            1,
            "--out",
            "new.png",
        ),
        ("segment", "set", "--direction", 0, "--alpha", 1, "--out", "new"),
        ("synthesize", "set", "--direction", 0, "--alpha", 1, "--out", "new"),
    ],
    ids=lambda line: " ".join(map(str, line[:3])),
)
def test_layers_that_are_not_there_are_refused_in_a_line(a_set, folder, line):
    words = [str(word).format(generator="tiny.pt") for word in line]
    assert "--layers names 5-8, but there are 8 layers, 0 to 7" in refused(*words, "--layers", "5-8", *CPU)
    assert "--layers is 'low', but has to be numbers and ranges" in refused(*words, "--layers", "low", *CPU)
    toolkit.discover("scene", "random", directions=3).save(folder / "set" / "directions.safetensors")
    words = [str(word).format(generator="scene") for word in line]
    assert "--layers is '0', but scene takes no latent for each layer" in refused(*words, "--layers", "0", *CPU)
    assert not list(folder.rglob("new*/*")) + list(folder.glob("new.*"))


def test_layers_of_no_direction_are_refused(folder):
    assert "--layers goes with --direction or --alpha" in refused("sample", "--layers", "0", "--out", "x.png")
    with pytest.raises(UserError, match="layers, sigma and centred say how a direction is walked along"):
        toolkit.render(toolkit.sample("tiny.pt", 1), "tiny.pt", layers="0")


def test_a_table_of_mixed_styles_is_that_of_w_plus_by_hand(folder):
    generator = toolkit.open_generator("tiny.pt")
    line = ("sample", "--generator", "tiny.pt", "--mix", "2-4", "--samples", 3, "--seed", 7, *CPU)
    ran(*line, "--out", "table.npy")
    sources, donors = (generator.sample(3, Stream(7, name)) for name in ("sample", "sample-mix"))
    w = sources.z[:, None, None].repeat(1, 3, LAYERS, 1)
    w[:, :, 2:5] = donors.z[None, :, None]
    close(np.load("table.npy"), generator.network(w.flatten(0, 1)), depth=11)
    ran(*line, "--size", 32, "--out", "table.png")
    picture = np.asarray(Image.open("table.png"))
    assert picture.shape == (4 * 34 - 2, 4 * 34 - 2, 3)
    assert (picture[:34, :34] == 255).all()
    tiles = [toolkit.render(one, generator, size=32, device="cpu") for one in (sources, donors)]
    assert np.abs(picture[34:66, :32].astype(int) - tiles[0][0]).max() <= 1
    assert np.abs(picture[:32, 34:66].astype(int) - tiles[1][0]).max() <= 1


def test_a_walk_may_start_from_mixed_styles(a_set, folder):
    walk = ("render-gif", "set", "--direction", 0, "--alpha", 4, "--frames", 2, "--seed", 3, *CPU)
    ran(*walk, "--samples", 2, "--mix", "4-7", "--out", "mixed.gif")
    first, second = (
        toolkit.open_generator("tiny.pt").sample(2, Stream(3, name)) for name in ("render-gif", "render-gif-mix")
    )
    np.save("w.npy", toolkit.mix(first, second, "4-7", "tiny.pt").z.numpy())
    ran(*walk, "--latents", "w.npy", "--out", "given.gif")
    assert (folder / "mixed.gif").read_bytes() == (folder / "given.gif").read_bytes()
    assert "--mix is '0', but scene takes no latent for each layer" in refused(
        "sample", "--generator", "scene", "--mix", "0", "--out", "x.png"
    )
    assert "--mix names 9" in refused(*walk, "--mix", "9", "--out", "x.gif")
