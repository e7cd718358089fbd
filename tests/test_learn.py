"""toolkit learn, end to end on a handful of pictures: stages, resuming, what is brought in, what ends it."""

import contextlib
import json

import pytest
from cli_runs import ran, refused
from PIL import Image

import toolkit
from cli.learning import rates, recipe, stages, verdicts
from cli.learning.job import FOLDERS, Brought, Job
from cli.learning.run import learn
from cli.learning.settings import LearnSettings
from generators.compact.settings import GeneratorSettings
from generators.face import open_generator
from generators.scene import SceneGenerator
from toolkit.compute.engine import choose_engine
from toolkit.errors import UserError, WeakPoint
from toolkit.files.writing import read_json
from toolkit.pictures.photo_folder import list_photos
from toolkit.pictures.pixels import to_bytes
from toolkit.streams import Stream
from toolkit.watch import Watch

TINY = ("--smoke", "--image-size", 32, "--methods", "sefa,ganspace", "--precision", "fp32")
FINAL = ("segmenter.safetensors", "result.json", "report.html", "plan.json")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Return a folder of 24 pictures of one soft thing over its ground."""
    folder, scene = tmp_path_factory.mktemp("photos"), SceneGenerator(32)
    for number, picture in enumerate(to_bytes(scene(scene.sample(24, Stream(0, "learn"))))):
        Image.fromarray(picture).save(folder / f"{number:02}.png")
    return folder


@pytest.fixture(scope="module")
def whole(photos, tmp_path_factory):
    """Return the folder of an unbroken run, and what it printed."""
    out = tmp_path_factory.mktemp("learnt") / "run"
    return out, ran("learn", photos, "--out", out, *TINY, "--go-on")


def contents(run):
    return {name: (run / name).read_bytes().replace(str(run).encode(), b"RUN") for name in FINAL}


def test_photos_become_a_segmenter_with_one_report(whole, photos, tmp_path):
    out, printed = whole
    assert f"wrote {out / 'segmenter.safetensors'}, {out / 'report.html'}" in printed
    assert f"next: toolkit predict MY_PHOTOS --segmenter {out} --refine --out predictions" in printed
    assert all((out / folder).is_dir() for folder in FOLDERS.values())
    last = out / "5-self-training" / "segmenter.safetensors"
    assert (out / "segmenter.safetensors").read_bytes() == last.read_bytes()
    page = (out / "report.html").read_text()
    titles = ("Weak points", "Photos and their masks", "1. Generator", "2. Directions", "3. Pick", "4. Segmenter")
    assert all(f"{title}</h2>" in page for title in (*titles, "5. Self-training", "Plan"))
    assert page.count("data:image/") >= 7
    ran("predict", photos, "--segmenter", out, "--out", tmp_path / "predictions")


def test_weak_points_stand_on_the_screen_in_the_page_and_in_the_result(whole):
    out, printed = whole
    points = read_json(out / "result.json")["weak_points"]
    assert {point["about"] for point in points} >= {"photos", "generator"}
    assert printed.index("weak points:") > printed.index("self-training:")
    for point in points:
        assert point["what"] in printed
        assert point["what"] in (out / "report.html").read_text()
    assert "give more --hours" in printed  # advice names flags as a shell has them


def test_repeated_it_is_finished_and_as_another_run_it_is_refused(whole, photos):
    out, _ = whole
    before = contents(out)
    assert "is finished already" in ran("learn", photos, "--out", out, *TINY)
    assert contents(out) == before
    assert "--seed was 0, now 1" in refused("learn", photos, "--out", out, *TINY, "--seed", 1)
    assert "generator was None" in refused("learn", photos, "--out", out, *TINY, "--generator", "scene")
    taken = out.parent / "taken"
    taken.mkdir()
    (taken / "notes.txt").write_text("mine")
    assert "holds other files and no run" in refused("learn", photos, "--out", taken, *TINY)


class Breaking(Watch):
    """Ends everything at the advance number `at`, as a kill does; notes the stage of each but those of photos."""

    def __init__(self, at=None):
        self.at, self.stages = at, []
        self.stage = None

    def say(self, line):
        self.stage = line.partition(":")[0] if line.partition(":")[0] in FOLDERS else self.stage

    @contextlib.contextmanager
    def bar(self, label, total, done=0, unit="steps"):
        def advance(count=1, note=None):
            self.stages += [self.stage] if unit != "photos" else []
            if len(self.stages) == self.at:
                raise KeyboardInterrupt

        yield advance


def job(photos, out, watch, **changes):
    settings = LearnSettings(**{"smoke": True, "image_size": 32, "methods": "sefa,ganspace", **changes})
    brought, engine = Brought(), choose_engine("cpu", "fp32")
    return Job(photos, list_photos(photos), settings, brought, engine, out, watch, open_generator, lambda plan: None)


def test_killed_in_any_stage_and_repeated_it_leaves_what_an_unbroken_run_leaves(photos, tmp_path):
    counting = Breaking()
    learn(job(photos, tmp_path / "run-0", counting), go_on=True)
    assert set(counting.stages) == set(FOLDERS)
    for number, stage in enumerate(FOLDERS, start=1):
        of_stage = [at for at, name in enumerate(counting.stages, start=1) if name == stage]
        out = tmp_path / f"run-{number}"  # as long as the other: it stands in cards
        with pytest.raises(KeyboardInterrupt):
            learn(job(photos, out, Breaking(of_stage[2 * len(of_stage) // 3])), go_on=True)
        assert max(path.name for path in out.glob("[1-5]-*")) == FOLDERS[stage]
        assert not (out / "result.json").exists()
        learn(job(photos, out, Breaking()), go_on=True)
        assert contents(out) == contents(tmp_path / "run-0")


def test_a_stage_that_is_done_is_not_looked_at_again(photos, tmp_path, monkeypatch):
    learn(job(photos, tmp_path / "run", Breaking()), until="pick", go_on=True)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*.safetensors")}
    for name in ("read_squares", "pick_direction"):
        monkeypatch.setattr(stages, name, None)
    learn(job(photos, tmp_path / "run", Breaking()), until="pick", go_on=True)
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_until_a_stage_and_then_on(photos, tmp_path, whole):
    out = tmp_path / "run"
    printed = ran("learn", photos, "--out", out, *TINY, "--go-on", "--until", "directions")
    assert f"wrote {out / '2-directions'}, {out / 'report.html'}" in printed
    assert "without --until goes on" in printed
    assert not (out / "3-pick").exists()
    assert "choose one of generator, directions" in refused("learn", photos, "--out", out, *TINY, "--until", "masks")
    ran("learn", photos, "--out", out, *TINY, "--go-on")
    assert (out / "result.json").read_bytes() == (whole[0] / "result.json").read_bytes()


def test_results_of_stages_are_taken_out_and_brought_in(photos, tmp_path, whole):
    done = whole[0]
    given = ("--out", tmp_path / "by-generator", *TINY, "--go-on", "--generator", done / "1-generator")
    printed = ran("learn", photos, *given)
    assert not (tmp_path / "by-generator" / "1-generator").exists()
    assert "collapsed" not in printed  # what was brought is not judged
    brought = ("--out", tmp_path / "by-directions", *TINY, "--directions", done / "3-pick")
    ran("learn", photos, *brought)
    assert {path.name for path in (tmp_path / "by-directions").glob("?-*")} == {"4-segmenter", "5-self-training"}
    assert "choose one of segmenter" in refused(
        "learn", photos, *brought[2:], "--out", tmp_path / "x", "--until", "pick"
    )
    ran(
        "learn", photos, "--out", tmp_path / "by-free", *TINY, "--go-on", "--directions", done / "2-directions" / "sefa"
    )
    assert (tmp_path / "by-free" / "3-pick" / "pick.json").is_file()
    ran("learn", photos, "--out", tmp_path / "by-segmenter", *TINY, "--segmenter", done / "4-segmenter")
    assert (tmp_path / "by-segmenter" / "segmenter.safetensors").is_file()


def test_a_generator_that_some_method_cannot_search_is_searched_by_the_others(photos, tmp_path):
    printed = ran("learn", photos, "--out", tmp_path / "run", *TINY, "--go-on", "--generator", "scene@image_size=32")
    assert "sefa is omitted" in printed
    assert {path.name for path in (tmp_path / "run" / "2-directions").iterdir()} == {"ganspace"}
    alone = ("--smoke", "--methods", "sefa", "--generator", "scene")
    assert "none of the --methods sefa" in refused("learn", photos, "--out", tmp_path / "none", *alone)


def test_a_stage_that_failed_ends_the_run_in_a_line_until_one_goes_on(photos, tmp_path):
    out = tmp_path / "run"
    line = refused("learn", photos, "--out", out, *TINY)
    assert line.startswith("generator: its samples differ")
    assert f"look at {out / 'report.html'}, or go on all the same with --go-on" in line
    assert "it has collapsed" in (out / "report.html").read_text()
    assert not (out / "2-directions").exists()
    assert refused("learn", photos, "--out", out, *TINY) == line  # nothing is trained again for it


FAILING = {
    "pick": ("of_pick", "no direction darkens"),
    "segmenter": ("of_pairs", "hardly any"),
    "self-training": ("of_self_training", "rarely fit"),
}


@pytest.mark.parametrize("stage", FAILING)
def test_each_stage_can_end_the_run(stage, photos, tmp_path, monkeypatch):
    out = tmp_path / "run"
    for name in ("of_generator", "of_pick"):
        monkeypatch.setattr(verdicts, name, lambda *figures: [])
    judge, what = FAILING[stage]
    monkeypatch.setattr(verdicts, judge, lambda *figures: [WeakPoint(stage, what, "try another", failed=True)])
    with pytest.raises(UserError, match=f"{stage}: {what}; try another; look at"):
        learn(job(photos, out, Breaking()))
    learned = learn(job(photos, out, Breaking()), go_on=True)
    assert [finding.what for finding in learned.findings if finding.failed] == [what]
    last = "4-segmenter" if stage == "self-training" else "5-self-training"  # what failed is not what one gets
    assert read_json(out / "result.json")["segmenter"] == last


def test_a_self_training_that_comes_to_nothing_leaves_the_segmenter_before_it(photos, tmp_path, monkeypatch):
    def comes_to_nothing(*arguments):
        raise UserError("only 3 photos have masks fit to train on, and 8 are needed")

    monkeypatch.setattr(stages, "self_train", comes_to_nothing)
    for name in ("of_generator", "of_pick"):
        monkeypatch.setattr(verdicts, name, lambda *figures: [])
    out = tmp_path / "run"
    with pytest.raises(UserError, match=r"self-training: only 3 photos have masks fit to train on.*4-segmenter"):
        learn(job(photos, out, Breaking()))
    learn(job(photos, out, Breaking()), go_on=True)
    assert (out / "segmenter.safetensors").read_bytes() == (out / "4-segmenter" / "segmenter.safetensors").read_bytes()


def test_another_stage_that_comes_to_nothing_says_which(photos, tmp_path, monkeypatch):
    def comes_to_nothing(*arguments):
        raise UserError("no direction will do")

    monkeypatch.setattr(stages, "pick_direction", comes_to_nothing)
    with pytest.raises(UserError, match=r"^pick: no direction will do"):
        learn(job(photos, tmp_path / "run", Breaking()), go_on=True)


def planned_in(out, photos, **changes):
    """Return the steps by part that a run plans, which is ended when its first stage begins."""
    with pytest.raises(KeyboardInterrupt):
        learn(job(photos, out, Breaking(1), smoke=False, **changes))
    return {part["name"]: part["steps"] for part in read_json(out / "plan.json")["parts"]}


def test_hours_become_steps_by_measured_rates_and_stay_so_when_resumed(photos, tmp_path, monkeypatch):
    seconds = [1.0]
    monkeypatch.setattr(rates, "seconds_each", lambda steps, engine: seconds[0])
    out = tmp_path / "run"
    first = planned_in(out, photos, hours=1.0)
    assert 500 < first["generator"] < 2000
    assert first["segmenter"] == first["self-training"] == 300
    seconds[0] = 0.5  # a machine that is less busy when the run is resumed
    assert planned_in(out, photos, hours=1.0) == first
    assert planned_in(tmp_path / "other", photos, hours=1.0)["generator"] > first["generator"]
    said = []
    monkeypatch.setattr(Breaking, "say", lambda self, line: said.append(line))
    again = planned_in(out, photos, hours=1.2)
    assert any("hours was 1, now 1.2: planned again" in line for line in said)
    assert again["generator"] > first["generator"]
    planned_in(tmp_path / "short", photos, hours=0.01)
    assert any("the fewest steps that make sense take about" in line for line in said)


def test_the_rates_of_every_part_are_measured_without_a_trace(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(rates, "_SECONDS", 0.0)
    monkeypatch.setattr(rates, "_LEAST_TIMED", 1)
    monkeypatch.setattr(rates, "_WARM", 1)
    monkeypatch.setattr(recipe, "generator_settings", lambda settings, steps: small_generator(steps))
    steps = planned_in(tmp_path / "run", photos, methods="ganspace,sefa,contrast,deformator", hours=1.0)
    assert list(steps) == [
        "generator",
        "ganspace",
        "sefa",
        "contrast",
        "deformator",
        "pick",
        "segmenter",
        "self-training",
    ]
    assert steps["sefa"] == steps["pick"] == 0
    assert all(steps[name] > 0 for name in ("generator", "ganspace", "segmenter", "self-training"))


def small_generator(steps):
    return GeneratorSettings(steps=steps, image_size=32, width=8, critic_width=8, latent_dim=16, batch=8)


def test_the_plan_of_another_run_is_taken_over(photos, tmp_path, whole):
    plan = read_json(whole[0] / "plan.json")
    for part in plan["parts"]:
        part["steps"] = 3
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    given = ("--plan", tmp_path / "plan.json", "--until", "generator", "--go-on")
    ran("learn", photos, "--out", tmp_path / "run", *TINY, *given)
    ran("learn", photos, "--out", tmp_path / "run", *TINY, "--go-on")
    for stage in ("generator", "segmenter", "self-training"):
        assert read_json(tmp_path / "run" / FOLDERS[stage] / "result.json")["steps"] == 3
    assert "is another plan than" in refused(
        "learn", photos, "--out", tmp_path / "run", *TINY, "--plan", whole[0] / "plan.json"
    )
    (tmp_path / "plan.json").write_text(json.dumps({**plan, "parts": plan["parts"][1:]}))
    assert "plans nothing for generator" in refused("learn", photos, "--out", tmp_path / "other", *TINY, *given)


def test_folders_that_will_not_do_are_refused_before_anything_is_made(photos, tmp_path):
    few = tmp_path / "few"
    few.mkdir()
    for path in list_photos(photos)[:10]:
        (few / path.name).write_bytes(path.read_bytes())
    assert "too few photos came (10); at least 16 are needed" in refused("learn", few, "--out", tmp_path / "run", *TINY)
    assert "lies in" in refused("learn", photos, "--out", photos / "run", *TINY)
    assert "no folder at" in refused("learn", tmp_path / "nothing", "--out", tmp_path / "run", *TINY)
    assert "name some of" in refused("learn", photos, "--out", tmp_path / "run", "--methods", "magic")
    assert not (tmp_path / "run").exists()


def test_the_library_learns_as_the_command_does(photos, tmp_path, whole):
    changes = {"smoke": True, "image_size": 32, "methods": "sefa,ganspace", "precision": "fp32"}
    with pytest.raises(UserError, match=r"go on all the same with go_on"):
        toolkit.learn(photos, tmp_path / "run", **changes)
    segmenter = toolkit.learn(photos, tmp_path / "run", go_on=True, **changes)
    assert segmenter.digest() == toolkit.Segmenter.load(whole[0]).digest()
