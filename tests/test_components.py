"""Directions of GANSpace, InterFaceGAN and SeFa open from the files that those tools leave."""

import zipfile

import numpy as np
import pytest
import torch
from cli_runs import ran, refused

from discovery.opening import open_directions
from toolkit.directions import DirectionSet
from toolkit.errors import UserError

NAME = "stylegan2-ffhq_style_ipca_c80_n1000000_w.npz"


def cached(folder, name=NAME, **changes):
    """Write a file as GANSpace's decomposition.py does, of latents in W with known deviations; return (path, parts)."""
    rng = np.random.default_rng(0)
    components = np.linalg.qr(rng.normal(size=(6, 6)))[0][:3]
    deviations, mean = np.array([3.0, 2.0, 0.5]), rng.normal(size=6)
    parts = {
        "act_comp": components[:, None],
        "act_mean": mean[None],
        "act_stdev": deviations,
        "lat_comp": components[:, None],
        "lat_mean": mean[None],
        "lat_stdev": deviations,
        "var_ratio": deviations**2 / 20,
        "random_stdevs": np.ones(3),
        **changes,
    }
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **{k: np.asarray(v, np.float32) for k, v in parts.items() if v is not None})
    return path, parts


def test_components_of_ganspace_open_with_their_signs_and_deviations(tmp_path):
    path, parts = cached(tmp_path)
    found = open_directions(path)
    np.testing.assert_allclose(found.vectors, parts["lat_comp"][:, 0], atol=1e-6)
    np.testing.assert_allclose(found.scores["sigma"], [3, 2, 0.5])
    np.testing.assert_allclose(found.scores["variance"], parts["var_ratio"], rtol=1e-6)
    np.testing.assert_allclose(found.scores["centre"], parts["lat_comp"][:, 0] @ parts["lat_mean"][0], rtol=1e-5)
    assert (found.generator, found.source.missing) == ("stylegan2", "FILE@space=w")


@pytest.mark.parametrize(
    ("name", "generator", "missing"),
    [
        ("stylegan-bedrooms_g_mapping_ipca_c80_n1000000.npz", "stylegan-z", "FILE@space=z"),
        ("biggan-512-golden_retriever_generator.gen_z_ipca_c80_n1000000.npz", "biggan-512", "FILE"),
        ("stylegan2_ada-ffhq_mapping_ipca_c80_n1000_w_seed5.npz", "stylegan2_ada", "FILE@space=w"),
        ("mine.npz", "mine", "FILE"),
    ],
)
def test_the_name_of_the_file_says_the_generator(tmp_path, name, generator, missing):
    found = open_directions(cached(tmp_path, name)[0])
    assert (found.generator, found.source.missing) == (generator, missing)


@pytest.mark.parametrize("shape", [(3, 6), (3, 1, 6)])
def test_components_of_either_shape_open(tmp_path, shape):
    assert open_directions(cached(tmp_path, lat_comp=np.ones(shape))[0]).vectors.shape == (3, 6)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"lat_comp": None, "lat_stdev": None},
            "lacks lat_comp, lat_stdev; name a file of GANSpace's",
        ),
        ({"lat_comp": np.ones((3, 18, 6))}, r"holds an array \[3, 18, 6\]; K vectors that are not 0"),
        ({"lat_comp": np.zeros((3, 1, 6))}, "vectors that are not 0"),
        ({"lat_stdev": np.ones(2)}, r"do not fit one another \(.*lat_stdev \[2\]"),
        ({"lat_mean": np.ones((1, 7))}, "do not fit one another"),
        ({"lat_mean": np.full((1, 6), np.nan)}, "holds values that are no finite numbers"),
    ],
)
def test_files_that_hold_no_components_are_refused(tmp_path, changes, text):
    with pytest.raises(UserError, match=text):
        open_directions(cached(tmp_path, **changes)[0])


def test_what_a_file_unpacks_to_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr("discovery.originals.arrays._LARGEST", 10_000)
    path = cached(tmp_path, act_comp=np.zeros((3, 1, 99, 99)))[0]  # of no use here, so it may be of any size
    assert len(open_directions(path)) == 3
    with pytest.raises(UserError, match=r"has more than 0\.01 MB"):
        open_directions(cached(tmp_path, lat_comp=np.zeros((3, 1, 5000)))[0])


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.array([{"a": 1}], dtype=object), "it holds object, not numbers"),
        (np.array(["text"]), "not numbers"),
        (np.zeros((2, 3, 4)), r"holds an array \[2, 3, 4\]"),
        (np.zeros((0, 4)), r"holds an array \[0, 4\]"),
    ],
)
def test_arrays_that_are_no_directions_are_refused(tmp_path, array, text):
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    with pytest.raises(UserError, match=text):
        open_directions(tmp_path / "x.npy")


def test_a_header_that_promises_more_than_the_file_has_is_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.ones((2, 4), np.float32))
    content = (tmp_path / "x.npy").read_bytes()
    (tmp_path / "x.npy").write_bytes(content.replace(b"(2, 4)", b"(9, 4)"))
    with pytest.raises(UserError, match="more or fewer bytes than its shape"):
        open_directions(tmp_path / "x.npy")


def test_a_boundary_opens_under_the_name_of_its_file_and_rows_under_numbers(tmp_path):
    boundary = np.array([[3.0, 0, 4, 0]])
    np.save(tmp_path / "smile.npy", boundary)
    found = open_directions(tmp_path / "smile.npy")
    assert found.names == ("smile",)
    torch.testing.assert_close(found.vectors, torch.tensor([[0.6, 0, 0.8, 0]]))
    np.save(tmp_path / "rows.npy", np.asfortranarray(np.arange(1.0, 9).reshape(2, 4)).astype(">f8"))
    rows = open_directions(tmp_path / "rows.npy")
    assert rows.names == ("direction_0", "direction_1")
    torch.testing.assert_close(rows.vectors[1], torch.tensor([5.0, 6, 7, 8]) / 174**0.5)


def test_convert_makes_a_direction_set_of_them(tmp_path):
    path = cached(tmp_path)[0]
    shown = ran("convert", path, "--out", tmp_path / "d.safetensors")
    assert "found 3 directions of 6 numbers: published (GANSpace)" in shown
    made, opened = DirectionSet.load(tmp_path / "d.safetensors"), open_directions(path)
    assert torch.equal(made.vectors, opened.vectors)
    assert made.scores == opened.scores
    assert made.card["converted_from"] == "published (GANSpace)"
    assert list(made.card["sha256"]) == [NAME]


def test_commands_that_write_into_a_set_say_how_to_make_one(tmp_path):
    path = cached(tmp_path)[0]
    assert "stays as it is; make a direction set of it: toolkit convert" in refused("label", path, "0", "dark")


def test_damaged_archives_are_refused(tmp_path):
    path = cached(tmp_path)[0]
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(UserError, match=r"cannot read .* as components of GANSpace"):
        open_directions(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("lat_comp.npy", b"no array")
    with pytest.raises(UserError, match="cannot read"):
        open_directions(path)
