"""The whole chain on snapshots of StyleGAN2-ADA and StyleGAN3, 64 px of drawn weights, through every command."""

import json
from pathlib import Path

import numpy as np
import pytest
from cli_runs import DISCOVER, _invoke, ran
from PIL import Image
from stub_pickles import write

import toolkit
from toolkit.directions import DirectionSet

KINDS = ("stylegan2ada", "stylegan3t")
CPU = ("--device", "cpu", "--precision", "fp32")
COMPARE = ("--steps", "2", "--batch", "4", "--validation-batches", "2")
ALL_MASKS = ("--no-area-filter", "--no-histogram-filter")  # those of drawn weights are of any size
PICK = ("--samples", "8", "--num-alphas", "1", "--finalists", "2", "--compared-samples", "8")


@pytest.fixture(scope="module", params=KINDS)
def folder(request, tmp_path_factory):
    """A folder with a snapshot, and what was made of it: directions, a choice, a segmenter."""
    place = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        write(request.param, "snapshot.pkl", resolution=64)
        ran("convert", "snapshot.pkl", "--out", "g.safetensors", "--name", "drawn")
        ran(
            "discover",
            "--generator",
            "snapshot.pkl@psi=0.7",
            "--out",
            "found",
            "--layers",
            "2-5",
            *DISCOVER,
            "--directions",
            "2",
        )
        ran("pick", "found", "--direction", "0", "--alpha", "3", *CPU)
        ran("segment", "found", "--out", "segmenter", "--steps", "2", "--batch", "4", "--width", "4",
            "--validation-samples", "4", *ALL_MASKS, *CPU)  # fmt: skip
        (place / "photos").mkdir()
        for i, image in enumerate(toolkit.render(toolkit.sample("g.safetensors", 4), "g.safetensors")):
            Image.fromarray(image).save(place / "photos" / f"{i}.png")
        yield place


def test_the_choice_is_saved_with_its_layers(folder):
    found = DirectionSet.load(folder / "found")
    assert found.choice is not None
    assert found.layers[:, 2:6].all()
    assert not found.layers[:, :2].any()
    assert json.loads((folder / "segmenter" / "result.json").read_text())["steps"] == 2


def test_directions_are_judged(folder):
    # Whether one of drawn weights darkens what lies around is a matter of chance, and of the processor.
    code, output = _invoke("pick", "found", "--out", "picked", *PICK, *CPU)
    assert "judging: 4/4" in output
    assert code == 0 or "no direction darkens the background" in output


def test_the_converted_file_renders_the_same_images(folder):
    latents = toolkit.sample("g.safetensors@psi=0.7", 2)
    ours, theirs = (toolkit.render(latents, name) for name in ("g.safetensors", "snapshot.pkl"))
    np.testing.assert_array_equal(ours, theirs)
    assert toolkit.open_generator("g.safetensors").name == "drawn"


def test_walks_samples_and_tables_are_drawn(folder):
    ran(
        "render-gif", "found", "--out", "walk.gif", "--frames", "3", "--samples", "2", "--layers", "0-3", "--mask", *CPU
    )
    ran("sample", "--generator", "g.safetensors", "--mix", "2-5", "--samples", "2", "--out", "mixed.png", *CPU)
    ran("sample", "--generator", "snapshot.pkl@psi=0.7", "--directions", "found", "--direction", "0", "--alpha", "2",
        "--samples", "2", "--out", "moved.png", *CPU)  # fmt: skip
    for name in ("walk.gif", "mixed.png", "moved.png", "g.png"):
        with Image.open(folder / name) as picture:
            assert min(picture.size) >= 64


@pytest.mark.parametrize(
    "method", [("sefa", "--directions", "4"), ("ganspace", "--samples", "64", "--directions", "4"),
               ("contrast", "--steps", "2", "--batch", "2"), ("random", "--directions", "4")]
)  # fmt: skip
def test_every_method_finds_directions_by_layer(folder, method):
    name, *flags = method
    ran("discover", "--generator", "g.safetensors", "--method", name, "--layers", "0-3", "--out", name, *flags, *CPU)
    assert DirectionSet.load(folder / name).layers.shape[1] == toolkit.open_generator("g.safetensors").num_layers
    ran("render-gif", name, "--direction", "0", "--alpha", "2", "--out", f"{name}.gif", "--frames", "2", *CPU)


def test_sets_are_named_and_compared(folder):
    ran("label", "found", "0", "first")
    ran("discover", "--generator", "snapshot.pkl@psi=0.7", "--method", "random", "--directions", "2", "--layers", "2-5",
        "--out", "control", *CPU)  # fmt: skip
    ran("compare", "found", "control", "--out", "compared", *COMPARE, *CPU)
    assert (folder / "compared" / "report.html").is_file()


def test_pairs_are_written_and_photos_segmented(folder):
    ran("synthesize", "found", "--out", "pairs", "--count", "2", *ALL_MASKS, *CPU)
    assert list((folder / "pairs").rglob("*.png"))
    ran("predict", "photos", "--segmenter", "segmenter", "--out", "masks")
    assert len(list((folder / "masks").glob("*_mask.png"))) == 4


def test_a_photo_is_embedded_and_edited(folder):
    ran("embed", "photos", "--generator", "g.safetensors", "--space", "w+", "--steps", "3", "--out", "w.npy", *CPU)
    assert np.load("w.npy").ndim == 3
    ran("render-gif", "found", "--generator", "g.safetensors", "--latents", "w.npy:0", "--layers", "4-5",
        "--out", "me.gif", "--frames", "2", *CPU)  # fmt: skip
    assert Path("me.gif").is_file()
