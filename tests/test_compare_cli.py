"""toolkit compare on the closed-form scene: figures, files, resuming, and what it refuses."""

import itertools
import json
import re
import shutil

import pytest
import torch
from cli_runs import ran, refused, stopped

from cli.runs import progress as cli_progress
from generators.scene import FACTORS, SceneGenerator
from toolkit.directions import Choice, DirectionSet

SCENE = "scene@image_size=32"
TINY = (
    "--steps", "6", "--batch", "4", "--validation-batches", "3", "--log-every", "1", "--checkpoint-every", "2",
    "--precision", "fp32",
)  # fmt: skip


def saved(folder, vectors, generator=SCENE, **more):
    card = {"source": {"generator": generator}}
    DirectionSet(vectors, "scene", "known", card=card, **more).save(folder / "directions.safetensors")
    return folder


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Five factors as one set, the first three latent axes as another."""
    scene, folder = SceneGenerator(), tmp_path_factory.mktemp("sets")
    factors = torch.stack([scene.direction(name) for name in FACTORS[:5]])
    scores = {"score": [0.1, 0.5, 0.2, 0.4, 0.3]}
    return saved(folder / "factors", factors, scores=scores), saved(folder / "axes", torch.eye(16)[:3])


@pytest.fixture(scope="module")
def compared(sets, tmp_path_factory):
    out = tmp_path_factory.mktemp("compared") / "out"
    return out, ran("compare", *sets, "--out", out, *TINY)


def test_figures_of_both_sets(compared):
    out, output = compared
    result = json.loads((out / "result.json").read_text())
    factors, axes = result["sets"]
    assert (factors["set"], axes["set"]) == ("factors", "axes")
    assert factors["directions"] == ["direction_1", "direction_3", "direction_4"]
    assert axes["directions"] == ["direction_0", "direction_1", "direction_2"]
    for one in result["sets"]:
        assert one["recognition"]["chance"] == pytest.approx(1 / 3)
        assert 0 <= one["recognition"]["rca"] <= 1
        assert len(one["recognition"]["recognised"]) == 3
        assert one["nearest"] == 0
        assert one["effective_rank"] == pytest.approx(3)
        assert len(one["candidates"]) == 3
    assert {"rca", "overlap", "nearest", "border"} <= set(result["definitions"])
    assert "of the 5 directions of factors the 3 of the highest score are compared" in output


def test_overlaps_and_matches(compared):
    out, _ = compared
    result = json.loads((out / "result.json").read_text())
    there, back = result["overlaps"]
    assert (there["first"], there["second"]) == ("factors", "axes")
    assert there["overlap"] == back["overlap"] == pytest.approx(1 / 3)  # only the second factor is in both
    (match,) = result["matches"]
    best = match["pairs"][0]
    assert (best["first"], best["second"], best["cosine"]) == ("direction_1", "direction_1", 1.0)


def test_one_page_and_one_picture(compared):
    out, output = compared
    page = (out / "report.html").read_text()
    assert (out / "compare.png").exists()
    for title in ("Figures", "Strips", "Recognisable directions", "As background darkeners", "Distinctness"):
        assert f">{title}</h2>" in page
    assert len(re.findall("<figure><img", page)) == 4
    assert f"wrote {out / 'report.html'}" in output
    assert "next: toolkit render-gif" in output


def test_repeated_it_trains_nothing_and_says_the_same(compared, sets):
    out, _ = compared
    before = (out / "result.json").read_text()
    again = ran("compare", *sets, "--out", out, *TINY)
    assert again.count("is finished already") == 2
    assert (out / "result.json").read_text() == before


def test_ctrl_c_leaves_a_state_that_goes_on_bit_for_bit(compared, sets, tmp_path, monkeypatch):
    class Interrupted(cli_progress.StopRequest):
        """Ctrl-C in the fourth step of the second set."""

        asked = itertools.count()

        def __bool__(self):
            return next(self.asked) >= 5

    broken = tmp_path / "broken"
    with monkeypatch.context() as patch:
        patch.setattr(cli_progress, "StopRequest", Interrupted)
        assert "stopped at step" in stopped("compare", *sets, "--out", broken, *TINY)
    assert not (broken / "result.json").exists()
    assert "resuming at step" in ran("compare", *sets, "--out", broken, *TINY)
    whole, _ = compared
    assert (broken / "result.json").read_text() == (whole / "result.json").read_text()


def test_a_single_direction_has_no_rca(sets, tmp_path):
    scene = SceneGenerator()
    alone = saved(tmp_path / "alone", scene.contrast_direction()[None], choice=Choice(0, 1, 3.0))
    output = ran("compare", sets[1], alone, "--out", tmp_path / "out", *TINY)
    assert "RCA needs two classes" in output
    known, single = json.loads((tmp_path / "out" / "result.json").read_text())["sets"]
    assert known["recognition"]["chance"] == pytest.approx(1 / 3)
    assert single["recognition"] is None
    assert single["nearest"] is None
    assert single["candidates"][0]["sign"] == 1
    assert sorted(path.name for path in (tmp_path / "out" / "rca").iterdir()) == ["axes"]


def test_labels(sets, tmp_path):
    out = tmp_path / "out"
    ran("compare", sets[1], f"mine={sets[1]}", sets[1], "--out", out, "--directions", "2", *TINY)
    result = json.loads((out / "result.json").read_text())
    assert [one["set"] for one in result["sets"]] == ["axes", "mine", "axes-2"]
    assert [one["overlap"] for one in result["overlaps"]] == pytest.approx([1.0] * 6)
    assert len({json.dumps(one["recognition"]) for one in result["sets"]}) == 1


def test_bad_inputs_are_told_in_one_line(sets, tmp_path):
    out = ("--out", tmp_path / "out", *TINY)
    other = saved(tmp_path / "other", torch.eye(16)[:3], generator=f"{SCENE}@mixing_seed=1")
    longer = saved(tmp_path / "longer", torch.eye(20)[:3])
    assert "two direction sets or more" in refused("compare", sets[0], *out)
    assert "was found on scene@image_size=32@mixing_seed=1, factors on" in refused("compare", *sets, other, *out)
    assert "have 20 numbers" in refused("compare", *sets, longer, *out)
    assert "axes has 3; give 3 or fewer" in refused("compare", *sets, "--directions", "4", *out)
    assert "two sets are called 'a'" in refused("compare", f"a={sets[0]}", f"a={sets[1]}", *out)
    assert "cannot name a set" in refused("compare", f"={sets[0]}", sets[1], *out)
    assert "nowhere" in refused("compare", sets[0], tmp_path / "nowhere", *out)
    assert not (tmp_path / "out").exists()


def test_a_generator_given_by_hand_overrides_what_is_recorded(sets, tmp_path):
    other = saved(tmp_path / "other", torch.eye(16)[:3], generator="elsewhere")
    output = ran("compare", sets[1], other, "--generator", SCENE, "--out", tmp_path / "out", *TINY)
    assert f"--generator {SCENE} --direction" in output


def test_other_settings_and_folders_of_other_commands_are_refused(compared, sets, tmp_path):
    out, _ = compared
    assert "seed was 0, now 1" in refused("compare", *sets, "--out", out, *TINY, "--seed", "1")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    assert "holds files of something else" in refused("compare", *sets, "--out", tmp_path / "run", *TINY)


def test_more_steps_go_on_from_the_finished_runs(compared, sets, tmp_path):
    out = shutil.copytree(compared[0], tmp_path / "out")
    more = ("--steps", "8", *TINY[2:])
    assert ran("compare", *sets, "--out", out, *more).count("resuming at step 6") == 2
    result = json.loads((out / "result.json").read_text())
    assert [one["recognition"]["steps"] for one in result["sets"]] == [8, 8]


def test_a_comparison_of_single_directions_killed_as_it_writes_is_repeated(tmp_path, monkeypatch):
    import cli.commands.compare

    vector = SceneGenerator().contrast_direction()[None]
    single = [saved(tmp_path / name, vector, choice=Choice(0, 1, 3.0)) for name in ("a", "b")]
    command = ("compare", *single, "--out", tmp_path / "out", "--precision", "fp32")

    def killed(out, *arguments):
        (out / "result.json").write_text("{}")
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.commands.compare, "write_results", killed)
    stopped(*command)
    monkeypatch.undo()
    ran(*command)
    assert "compared" in (tmp_path / "out" / "report.html").read_text()
    assert not (tmp_path / "out" / ".lock").exists()
