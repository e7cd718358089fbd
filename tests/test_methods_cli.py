"""`toolkit discover --method ...`, and `toolkit pick` on several sets, through the command line."""

import json

import pytest
import torch
from cli_runs import SEGMENT, ran, refused

from generators.scene import SceneGenerator
from toolkit.directions import DirectionSet
from toolkit.files import sha256_of

SCENE = ("--generator", "scene@mixing_seed=2@image_size=32")
METHODS = {
    "ganspace": ("--samples", "60", "--batch", "20", "--directions", "5"),
    "contrast": ("--steps", "6", "--batch", "4", "--log-every", "2"),
    "coordinates": ("--directions", "5"),
    "random": ("--directions", "5"),
}
PICK = ("--samples", "6", "--lengths", "2", "--finalists", "3")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("methods")
    printed = {m: ran("discover", "--method", m, *SCENE, "--out", root / m, *flags) for m, flags in METHODS.items()}
    return root, printed


@pytest.mark.parametrize("method", METHODS)
def test_every_method_leaves_the_same_artefact_charts_and_page(runs, method):
    root, printed = runs
    found = DirectionSet.load(root / method)
    assert found.method == method
    assert found.card["source"] == {"generator": SCENE[1]}
    assert found.card["settings"]["seed"] == 0
    assert len(found) == (2 if method == "contrast" else 5)
    assert list((root / method / "charts").glob("*.png"))
    page = (root / method / "report.html").read_text()
    assert "data:image/" in page
    assert "://" not in page.replace("http://www.w3.org", "")
    assert json.loads((root / method / "result.json").read_text())["directions"] == len(found)
    following = "segment" if method == "contrast" else "pick"
    assert f"next: toolkit {following} {root / method}" in printed[method]


def test_a_finished_run_is_left_as_it_is(runs):
    path = runs[0] / "random" / "directions.safetensors"
    before = sha256_of(path)
    again = ("discover", "--method", "random", *SCENE, "--out", runs[0] / "random", *METHODS["random"])
    assert "finished already" in ran(*again)
    assert sha256_of(path) == before
    assert "--method" not in refused(*again[:-1], "4")
    assert "holds a discover random run" in refused("discover", "--method", "coordinates", *again[3:])


def test_sefa_reads_the_shipped_generators_layers(tmp_path):
    ran("discover", "--method", "sefa", "--directions", "3", "--out", tmp_path / "sefa")
    found = DirectionSet.load(tmp_path / "sefa")
    torch.testing.assert_close(found.vectors @ found.vectors.T, torch.eye(3), atol=1e-4, rtol=0)
    eigenvalues = found.scores["eigenvalue"]
    assert eigenvalues == sorted(eigenvalues, reverse=True)


def test_settings_are_those_of_the_method(runs, tmp_path):
    text = (runs[0] / "ganspace" / "config.toml").read_text()
    assert "samples = 60" in text
    assert "deformator" not in text
    message = refused("discover", "--method", "sefa", "--deformator", "fc", "--out", tmp_path / "r")
    assert message == "--deformator goes with --method deformator, not sefa; leave it away"
    message = refused("discover", "--method", "pca", "--out", tmp_path / "r")
    assert "choose one of deformator, ganspace, sefa, contrast, coordinates, random" in message
    again = ("discover", "--method", "ganspace", *SCENE, "--config", runs[0] / "ganspace" / "config.toml")
    ran(*again, "--out", tmp_path / "again")
    assert torch.equal(DirectionSet.load(tmp_path / "again").vectors, DirectionSet.load(runs[0] / "ganspace").vectors)
    assert not (tmp_path / "r").exists()


def test_contrast_trains_a_segmenter_by_light_against_dark(runs, tmp_path):
    flags = ("--mask-rule", "light-dark", "--no-area-filter", *SEGMENT, "--steps", "2")
    ran("segment", runs[0] / "contrast", "--out", tmp_path / "s", *flags)
    assert (tmp_path / "s" / "segmenter.safetensors").exists()
    found = DirectionSet.load(runs[0] / "contrast")
    assert torch.equal(found.opposite_shift(0, 6.0), 6 * found.vectors[1])


def test_several_sets_are_ranked_together_into_a_new_folder(runs, tmp_path):
    root, out = runs[0], tmp_path / "together"
    before = sha256_of(root / "random" / "directions.safetensors")
    printed = ran("pick", root / "random", f"axes={root / 'coordinates'}", "--out", out, *PICK)
    found = DirectionSet.load(out)
    assert found.names[0] == "random/direction_0"
    assert found.names[5] == "axes/direction_0"
    assert len(found) == 10
    assert found.choice is not None
    assert f"toolkit segment {out} --out segmenter" in printed
    assert (out / "pick.png").exists()
    assert sha256_of(root / "random" / "directions.safetensors") == before
    ran("render-gif", out, "--out", tmp_path / "d.gif", "--frames", "3", "--samples", "2")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("random", "coordinates"), "2 sets are ranked together in a new folder; give --out FOLDER"),
        (("random", "coordinates", "--out", "random"), "holds files already"),
        (("random", "a=nothing", "--out", "new"), "no direction set at nothing"),
        (("a=random", "a=coordinates", "--out", "new"), "two sets are called 'a'"),
        (("flowers64",), "flowers64 is a published or shipped set, which stays as it is; give --out FOLDER"),
        (("random", "flowers64", "--out", "new"), "have 64 numbers"),
    ],
)
def test_sets_that_cannot_be_ranked_together(runs, monkeypatch, arguments, text):
    monkeypatch.chdir(runs[0])
    assert text in refused("pick", *arguments)
    assert not (runs[0] / "new" / "directions.safetensors").exists()


def test_a_shipped_set_is_ranked_as_a_copy(tmp_path):
    ran("pick", "flowers64", "--out", tmp_path / "copy", "--choose", "39", "--alpha", "-4")
    choice = DirectionSet.load(tmp_path / "copy").choice
    assert (choice.index, choice.sign, choice.alpha) == (39, -1, 4.0)


def test_merging_sets_of_different_files_is_refused():
    scene = SceneGenerator()
    vectors = torch.eye(scene.latent_dim)[:2]
    sets = {
        name: DirectionSet(vectors, "g", "known", card={"source": {"generator_digest": name}}) for name in ("a", "b")
    }
    with pytest.raises(Exception, match="b was found on g, a on g, or on another file of it"):
        DirectionSet.merged(sets)
