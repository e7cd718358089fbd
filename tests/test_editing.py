"""Editing what is given: rows of latents and photos, shifted along a direction, as pictures one can see."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from generators.chosen_latents import split_rows
from generators.scene import SceneGenerator
from tests.cli_runs import ran, refused
from toolkit.directions import DirectionSet
from toolkit.errors import UserError
from toolkit.pictures.pixels import enlarged, enlargement
from toolkit.streams import Stream

PHOTO = Path(__file__).parent.parent / "assets" / "photos" / "flower.jpg"


@pytest.mark.parametrize(
    ("text", "name", "rows"),
    [
        ("z.npy", "z.npy", None),
        ("z.npy:0,3-5", "z.npy", [0, 3, 4, 5]),
        ("z.npy:7", "z.npy", [7]),
        ("C:\\z.npy", "C:\\z.npy", None),
        ("C:\\z.npy:2-2", "C:\\z.npy", [2]),
        ("z.npy:1-", "z.npy:1-", None),
        ("z-cub:1,1", "z-cub", [1, 1]),
    ],
)
def test_rows_are_split_from_a_files_name(text, name, rows):
    assert split_rows(text) == (name, rows)


def test_a_file_whose_name_looks_like_rows_is_a_file(tmp_path):
    path = tmp_path / "z:3"
    path.touch()
    assert split_rows(str(path)) == (str(path), None)
    with pytest.raises(UserError, match=r"rows 5-3 of z\.npy run from 5 to 3; write the smaller one first"):
        split_rows("z.npy:5-3")
    with pytest.raises(UserError, match=r"rows 0-100000 of z\.npy are 100001, but have to be 100000 or fewer"):
        split_rows("z.npy:0-100000")


@pytest.mark.parametrize("rows", ["99-", "-3", "x", ""])
def test_rows_of_a_file_that_are_none_are_told_apart_from_a_missing_file(tmp_path, rows):
    path = tmp_path / "z.npy"
    path.touch()
    with pytest.raises(UserError, match=r"names no rows; write them as in .*z\.npy:0,3-5"):
        split_rows(f"{path}:{rows}")


def test_small_pictures_are_enlarged_by_whole_factors():
    assert [enlargement(side) for side in (32, 64, 100, 127, 128, 512)] == [4, 2, 2, 2, 1, 1]
    pictures = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3)
    large = enlarged(pictures, 3)
    assert large.shape == (1, 6, 6, 3)
    assert np.array_equal(large[:, 1::3, 1::3], pictures)
    assert (large[0, :3, :3] == pictures[0, 0, 0]).all()


@pytest.fixture
def scene(tmp_path, monkeypatch):
    """A folder to work in with latents z.npy (6, D) of the scene and a set of two directions d.safetensors."""
    monkeypatch.chdir(tmp_path)
    generator = SceneGenerator()
    np.save("z.npy", generator.sample(6, Stream(5, "z")).z.numpy())
    vectors = torch.eye(generator.latent_dim)[:2]
    DirectionSet(vectors, "scene", "coordinates", card={"source": {"generator": "scene"}}).save(Path("d.safetensors"))
    return np.load("z.npy")


def images(*words):
    ran("sample", "--generator", "scene", *words, "--out", "images.npy")
    return np.load("images.npy")


def test_sample_shows_the_rows_of_a_file_shifted_along_a_direction(scene):
    np.save("shifted.npy", scene[[0, 2, 3]] + 2 * np.eye(scene.shape[1], dtype=np.float32)[1])
    edited = images("--latents", "z.npy:0,2-3", "--directions", "d.safetensors", "--direction", 1, "--alpha", 2)
    assert np.array_equal(edited, images("--latents", "shifted.npy"))
    assert np.array_equal(images("--latents", "z.npy:4"), images("--latents", "z.npy")[4:5])


def test_pictures_have_128_pixels_a_tile_or_what_size_says(scene):
    ran("sample", "--generator", "scene", "--latents", "z.npy:0", "--out", "a.png")
    ran("sample", "--generator", "scene", "--latents", "z.npy:0", "--out", "b.png", "--size", 64)
    with Image.open("a.png") as large, Image.open("b.png") as own:
        assert (large.size, own.size) == ((128, 128), (64, 64))
        assert np.array_equal(np.asarray(large)[::2, ::2], np.asarray(own))
    walk = ("render-gif", "d.safetensors", "--direction", 0, "--alpha", 2, "--frames", 2, "--latents", "z.npy:1,3")
    ran(*walk, "--out", "a.gif")
    ran(*walk, "--out", "b.gif", "--size", 40, "--mask")
    with Image.open("a.gif") as large, Image.open("b.gif") as small:
        assert (large.size, small.size) == ((2 * 128 + 2, 128), (2 * 40 + 2, 40))


def test_flags_that_do_not_go_together_are_refused(scene):
    sample = ("sample", "--generator", "scene", "--out", "x.npy")
    assert "no row 6; its rows are 0 to 5" in refused(*sample, "--latents", "z.npy:3-6")
    assert "give one of the two" in refused(*sample, "--latents", "z.npy", "--photo", PHOTO)
    assert "--photo says which images; omit --samples" in refused(*sample, "--photo", PHOTO, "--samples", 2)
    assert "--encoder goes with --photo" in refused(*sample, "--encoder", "flowers64")
    assert "--size goes with a .png" in refused(*sample, "--size", 64)
    assert "no encoder comes with scene" in refused(*sample, "--photo", PHOTO)
    walk = ("render-gif", "d.safetensors", "--direction", 0, "--alpha", 2, "--out", "x.gif")
    assert "omit --samples" in refused(*walk, "--latents", "z.npy", "--samples", 2)
    assert not list(Path().glob("x.*"))


def test_a_photo_is_embedded_as_embed_does(tmp_path):
    (tmp_path / "photos").mkdir()
    shutil.copy(PHOTO, tmp_path / "photos")
    z, cpu = tmp_path / "z.npy", ("--device", "cpu")
    ran("embed", tmp_path / "photos", "--out", z, *cpu)
    ran("sample", "--latents", z, "--direction", 25, "--alpha", 6, "--out", tmp_path / "a.npy", *cpu)
    ran("sample", "--photo", PHOTO, "--direction", 25, "--alpha", 6, "--out", tmp_path / "b.npy", *cpu)
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()
    ran("sample", "--photo", PHOTO, "--out", tmp_path / "own.npy", *cpu)
    assert np.abs(np.load(tmp_path / "own.npy") - np.load(tmp_path / "b.npy")).mean() > 0.05
