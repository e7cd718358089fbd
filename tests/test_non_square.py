"""Images that are not square through every command: those of a generator made elsewhere, 48 pixels wide and 32 high."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from cli_runs import DISCOVER, ran, refused
from PIL import Image

from discovery.methods.contrast import radial_map
from generators.catalogue import open_generator
from generators.own.trust import TYPED
from generators.protocol import image_shape, in_a_line
from toolkit.directions import DirectionSet
from toolkit.pictures.pixels import grid_size, with_longer_side

SPEC = "wide_models.discs:make@side=32@width=48"


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("wide")
    shutil.copytree(Path(__file__).parent / "own_package", place / "wide_models")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.syspath_prepend(place)
        ran("discover", "--generator", SPEC, "--out", "found", *DISCOVER)
        ran("pick", "found", "--samples", "8", "--num-alphas", "1", "--finalists", "2", "--compared-samples", "8")
        yield place


def size_of(path):
    with Image.open(path) as picture:
        return picture.size


def test_the_generator_says_its_shape():
    generator = open_generator(SPEC, trust=TYPED)
    assert image_shape(generator) == (32, 48)
    assert generator.image_size == 48
    assert "48 x 32 pixels" in in_a_line(generator)
    assert image_shape(open_generator("scene")) == (64, 64)


def test_samples_keep_their_shape():
    ran("sample", "--generator", SPEC, "--samples", "3", "--out", "samples.npy")
    assert np.load("samples.npy").shape == (3, 3, 32, 48)
    ran("sample", "--generator", SPEC, "--samples", "4", "--size", "24", "--out", "samples.png")
    assert size_of("samples.png") == (2 * 24 + 2, 2 * 16 + 2)


def test_walks_keep_their_shape():
    ran("render-gif", "found", "--out", "walk.gif", "--frames", "3", "--samples", "2", "--size", "48", "--mask")
    assert size_of("walk.gif") == (2 * 48 + 2, 32)


@pytest.mark.parametrize(
    "method",
    [
        ("ganspace", "--samples", "64", "--layer", "images", "--directions", "3"),
        ("contrast", "--steps", "2", "--batch", "2"),
    ],
)
def test_other_methods_see_them(method):
    name, *flags = method
    ran("discover", "--generator", SPEC, "--out", name, "--method", name, *flags)
    assert DirectionSet.load(Path(name)).vectors.shape[1] == 12


def test_a_segmenter_learns_from_them_and_knows_the_shorter_side():
    ran("segment", "found", "--out", "segmenter", "--steps", "2", "--batch", "4", "--width", "4",
        "--validation-samples", "4", "--precision", "fp32", "--max-memory", "2GB")  # fmt: skip
    assert json.loads((Path("segmenter") / "result.json").read_text())["steps"] == 2
    ran("sample", "--generator", SPEC, "--samples", "1", "--size", "96", "--out", "photo.png")
    ran("predict", "photo.png", "--segmenter", "segmenter", "--out", "masks")
    assert size_of("masks/photo_mask.png") == (96, 64)


def test_pairs_keep_their_shape():
    ran("synthesize", "found", "--out", "pairs", "--count", "3")
    sizes = {size_of(path) for path in Path("pairs").rglob("*.png") if "preview" not in path.name}
    assert (48, 32) in sizes


def test_photos_are_refused_where_they_would_be_squeezed():
    error = refused("train-encoder", "--generator", SPEC, "--out", "encoder", "--steps", "1")
    assert "48 x 32 pixels, but photos are embedded as squares" in error


def test_distances_from_the_centre_are_in_half_sides_of_each_axis():
    far = radial_map(3, 5, torch.device("cpu"))
    assert far.shape == (3, 5)
    assert torch.isclose(far[0, 2], far[1, 0])  # the middle of the upper and of the left edge


@pytest.mark.parametrize(("shape", "side", "expected"), [((32, 48), 24, (16, 24)), ((1, 900), 100, (1, 100))])
def test_the_longer_side_is_the_one_named(shape, side, expected):
    assert with_longer_side(*shape, side) == expected


def test_a_sheet_of_pictures_is_as_large_as_it_says():
    assert grid_size(3, 10, 20, columns=2, gap=2) == (42, 22)
