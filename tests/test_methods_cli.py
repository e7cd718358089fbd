"""`toolkit discover --method ...`, and `toolkit pick` on several sets, through the command line."""

import json

import numpy as np
import pytest
import torch
from cli_runs import SEGMENT, ran, refused, stopped

import discovery.animation
import discovery.picking.picking as picking
from discovery.comparing.merging import merged
from generators.compact.network import CompactGenerator, CompactNetwork, CompactShape
from generators.scene import SceneGenerator
from toolkit.directions import DirectionSet
from toolkit.files.writing import sha256_of

SCENE = ("--generator", "scene@mixing_seed=2@image_size=32")
METHODS = {
    "ganspace": ("--samples", "60", "--batch", "20", "--directions", "5"),
    "contrast": ("--steps", "6", "--batch", "4", "--log-every", "2"),
    "coordinates": ("--directions", "5"),
    "random": ("--directions", "5"),
}
PICK = ("--samples", "6", "--num-alphas", "2", "--finalists", "3")


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
    assert message == "--deformator goes with --method deformator, not sefa; omit it"
    message = refused("discover", "--method", "pca", "--out", tmp_path / "r")
    assert "choose one of deformator, ganspace, sefa, contrast, pose, coordinates, random" in message
    again = ("discover", "--method", "ganspace", *SCENE, "--config", runs[0] / "ganspace" / "config.toml")
    ran(*again, "--out", tmp_path / "again")
    assert torch.equal(DirectionSet.load(tmp_path / "again").vectors, DirectionSet.load(runs[0] / "ganspace").vectors)
    assert not (tmp_path / "r").exists()


def test_contrast_trains_a_segmenter_by_light_against_dark(runs, tmp_path):
    flags = ("--no-area-filter", *SEGMENT, "--steps", "2")
    ran("segment", runs[0] / "contrast", "--out", tmp_path / "s", *flags)
    assert 'mask_rule = "light-dark"' in (tmp_path / "s" / "config.toml").read_text()
    message = refused("segment", runs[0] / "contrast", "--out", tmp_path / "s", *flags, "--mask-rule", "mean_thr")
    assert "--mask-rule was 'light-dark', now 'mean_thr'" in message
    assert (tmp_path / "s" / "segmenter.safetensors").exists()
    found = DirectionSet.load(runs[0] / "contrast")
    assert torch.equal(found.opposite_shift(0, 5.0), 5 * found.vectors[1])


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
    ran("pick", "flowers64", "--out", tmp_path / "copy", "--direction", "39", "--alpha", "-4")
    choice = DirectionSet.load(tmp_path / "copy").choice
    assert (choice.index, choice.sign, choice.alpha) == (39, -1, 4.0)


def test_merging_sets_of_different_files_is_refused():
    scene = SceneGenerator()
    vectors = torch.eye(scene.latent_dim)[:2]
    sets = {
        name: DirectionSet(vectors, "g", "known", card={"source": {"generator_digest": name}}) for name in ("a", "b")
    }
    with pytest.raises(Exception, match="b was found on another file of g than a; give sets of one generator"):
        merged(sets)


def test_names_given_by_hand_count_in_copies_too(runs, tmp_path):
    ran("pick", runs[0] / "random", "--out", tmp_path / "a", "--direction", "1", "--alpha", "2")
    (tmp_path / "a" / "human_annotation.txt").write_text("0: zoom\n")
    ran("pick", tmp_path / "a", "--out", tmp_path / "b", "--direction", "zoom", "--alpha", "3")
    assert DirectionSet.load(tmp_path / "b").names[0] == "zoom"


def test_a_choice_that_cannot_be_leaves_no_copy(runs, tmp_path):
    for flags in (("--direction", "0", "--alpha", "0"), ("--direction", "nothing", "--alpha", "1")):
        refused("pick", runs[0] / "random", "--out", tmp_path / "c", *flags)
        assert not list((tmp_path / "c").glob("*"))


def test_a_generator_that_changed_since_is_refused_unless_named(tmp_path):
    compact = CompactNetwork(CompactShape(image_size=16, latent_dim=4, width=4))
    path = tmp_path / "g.safetensors"
    CompactGenerator(compact, {"name": "g"}).save(path)
    ran("discover", "--method", "random", "--generator", path, "--out", tmp_path / "r")
    compact.linear.bias.data += 1
    CompactGenerator(compact, {"name": "g"}).save(path)
    flags = ("--direction", "0", "--frames", "3", "--samples", "2", "--out", tmp_path / "d.gif")
    assert f"{path} is another file than the directions were found on" in refused("render-gif", tmp_path / "r", *flags)
    ran("render-gif", tmp_path / "r", "--generator", path, *flags)


def test_masks_of_an_animation_take_the_chosen_opposite(runs, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        discovery.animation, "walk_frames", lambda *given: seen.append(given) or [np.zeros((8, 8, 3), np.uint8)] * 2
    )
    ran("render-gif", runs[0] / "contrast", "--out", tmp_path / "d.gif", "--mask")
    found = DirectionSet.load(runs[0] / "contrast")
    assert torch.equal(seen[0][2], found.chosen_shift())
    assert torch.equal(seen[0][3], 5 * found.vectors[1])
    assert seen[0][6].opposed  # by the rule that is recorded with the choice


def test_ctrl_c_outside_of_training_says_so(runs, monkeypatch):
    def interrupted(*_given):
        raise KeyboardInterrupt

    monkeypatch.setattr(picking, "pick_direction", interrupted)
    assert "stopped; rerun the command to resume from its last checkpoint" in stopped("pick", runs[0] / "random", *PICK)


@pytest.fixture
def scene_set(tmp_path):
    scene = SceneGenerator()
    vectors = torch.stack([scene.contrast_direction(), torch.eye(16)[0]])
    card = {"source": {"generator": "scene@image_size=32"}}
    DirectionSet(vectors, "scene", "known", card=card).save(tmp_path / "set" / "directions.safetensors")
    return tmp_path / "set"


def test_a_pick_into_a_new_folder_killed_before_its_set_is_repeated(scene_set, tmp_path, monkeypatch):
    command = ("pick", scene_set, "--out", tmp_path / "out", *PICK)

    def killed(self, path):
        raise KeyboardInterrupt

    monkeypatch.setattr(DirectionSet, "save", killed)
    stopped(*command)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["pick.csv", "pick.json", "pick.png"]
    monkeypatch.undo()
    ran(*command)
    chosen = DirectionSet.load(tmp_path / "out").choice
    assert chosen is not None
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    ran(*command)  # as after a kill behind its last file
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert "holds another choice already" in refused(*command[:4], "--direction", "1", "--alpha", "2")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    ran("label", tmp_path / "out", "0", "sky")
    assert "holds files already" in refused(*command)


def test_names_given_while_a_set_is_judged_are_kept(scene_set, monkeypatch):
    judge = picking.pick_direction

    def named_meanwhile(*arguments):
        ran("label", scene_set, "1", "sky")
        return judge(*arguments)

    monkeypatch.setattr(picking, "pick_direction", named_meanwhile)
    ran("pick", scene_set, *PICK)
    found = DirectionSet.load(scene_set)
    assert found.names[1] == "sky"
    assert found.choice is not None
    assert json.loads((scene_set / "pick.json").read_text())["candidates"]


def test_a_set_that_changes_while_it_is_judged_is_not_written_over(scene_set, monkeypatch):
    judge, path = picking.pick_direction, scene_set / "directions.safetensors"

    def discovered_meanwhile(*arguments):
        DirectionSet(torch.eye(16)[:2], "scene", "known").save(path)
        return judge(*arguments)

    monkeypatch.setattr(picking, "pick_direction", discovered_meanwhile)
    assert "has changed since it was judged; pick again" in refused("pick", scene_set, *PICK)
    assert torch.equal(DirectionSet.load(path).vectors, torch.eye(16)[:2])
    assert [one.name for one in scene_set.iterdir()] == ["directions.safetensors"]
