"""The plan of toolkit learn: steps for slow and fast machines, few and many photos, and what is judged by figures."""

import json

import pytest

from cli.learning import recipe, verdicts
from cli.learning.plan import Plan
from cli.learning.rates import seconds_each
from cli.learning.settings import LearnSettings
from segmentation.self_training.settings import SelfTrainingSettings
from toolkit.compute.engine import choose_engine
from toolkit.compute.planning import Part, planned
from toolkit.errors import UserError

BATCH = 32


def parts(photos, slowness):
    """Return the parts of a run on so many photos; at slowness 1 rates are those of one thread of a fast processor."""
    generator, deformator = recipe.generator_bounds(photos, BATCH), recipe.deformator_bounds()
    taught = recipe.photos_taught_on(photos, SelfTrainingSettings())
    return [
        Part("generator", 0.3 * slowness, generator.least, generator.most, 4.0, photos * 0.002),
        Part("ganspace", 0.02 * slowness, 626, 626, fixed=100 * slowness),
        Part("sefa", fixed=100 * slowness),
        Part("contrast", 0.2 * slowness, 300, 300, fixed=20, optional=True),
        Part("deformator", 0.2 * slowness, deformator.least, deformator.most, fixed=100 * slowness, optional=True),
        Part("pick", fixed=60 * slowness),
        Part("segmenter", 0.8 * slowness, 300, 300),
        Part("self-training", 1.2 * slowness, 300, 300, fixed=0.02 * taught * slowness),
    ]


@pytest.mark.parametrize("photos", [300, 5000, 50_000])
@pytest.mark.parametrize("slowness", [0.02, 0.5, 1.0])
def test_a_plan_fills_the_hours_but_never_leaves_its_bounds(photos, slowness):
    plan = Plan.made(parts(photos, slowness), 3.0)
    for row in plan.rows:
        assert row.part.least <= row.steps <= row.part.most or row.omitted
    assert plan.seconds <= 3 * 3600 + 1
    can_grow = [row for row in plan.rows if row.steps < row.part.most]
    assert not can_grow or plan.seconds == pytest.approx(3 * 3600, rel=0.001)
    assert not any(row.omitted for row in plan.rows)


def test_few_photos_are_not_shown_for_ever_and_many_are_all_seen():
    fast = Plan.made(parts(300, 0.001), 3.0)
    assert fast.steps("generator") == 1500 * 300 // BATCH
    assert fast.seconds < 3600  # hours that nothing is gained by are not used
    assert Plan.made(parts(50_000, 0.001), 3.0).steps("generator") == 60_000
    assert recipe.generator_bounds(50_000, BATCH).least == 50_000 // BATCH
    assert recipe.generator_bounds(20, BATCH).least == 500
    assert recipe.photos_taught_on(300, SelfTrainingSettings()) == 300
    assert recipe.photos_taught_on(50_000, SelfTrainingSettings(steps=300)) == 6000


def test_where_time_is_short_methods_are_omitted_and_the_rest_has_its_least():
    plan = Plan.made(parts(300, 4.0), 0.2)
    assert [row.part.name for row in plan.rows if row.omitted] == ["contrast", "deformator"]
    assert plan.steps("generator") == 500
    assert plan.seconds > 0.2 * 3600
    assert ["deformator", "omitted", "0.0"] in plan.table()
    assert plan.table()[-1][0] == "together"
    one_less = Plan.made(parts(300, 1.0), 0.35)
    assert [row.part.name for row in one_less.rows if row.omitted] == ["deformator"]  # the last goes first


def test_time_that_one_part_cannot_use_goes_to_the_others():
    both = [Part("a", 1.0, 10, 100, weight=3), Part("b", 2.0, 10, 100), Part("c", 0.0, 5, 7, fixed=10)]
    assert planned(both, 240.0) == {"a": 100, "b": 65, "c": 7}
    assert planned(both, 120.0) == {"a": 70, "b": 20, "c": 7}
    assert planned(both, 1e9) == {"a": 100, "b": 100, "c": 7}
    assert planned([], 10.0) == {}


def test_a_plan_comes_back_from_its_file_and_something_else_is_refused(tmp_path):
    plan = Plan.made(parts(5000, 1.0), 3.0)
    path = tmp_path / "plan.json"
    plan.save(path, {"photos": 5000})
    assert Plan.load(path) == plan
    for change in ({"parts": 3}, {"parts": [{}]}, {"hours": "x"}):
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
        with pytest.raises(UserError, match="holds no plan"):
            Plan.load(path)


def test_other_hours_leave_what_has_begun_and_share_the_rest_anew():
    plan = Plan.made(parts(5000, 1.0), 1.0)
    longer = plan.again(1.2, {"generator"})
    assert longer.steps("generator") == plan.steps("generator")
    assert longer.steps("deformator") > plan.steps("deformator")
    back = longer.again(1.0, {"generator"})
    assert back.steps("deformator") == pytest.approx(plan.steps("deformator"), abs=2)
    assert [row.part for row in back.rows] == [row.part for row in plan.rows]
    short = Plan.made(parts(5000, 1.0), 0.35)
    assert short.again(3.0, {"deformator"}).steps("deformator") == short.steps("deformator") == 0
    assert short.again(3.0, set()).steps("deformator") > 0


def test_steps_are_timed_after_two_that_warm_up():
    ticks = iter(range(100))
    taken = []

    def steps():
        for number in range(50):
            taken.append(number)
            yield number + 1

    assert seconds_each(steps(), choose_engine("cpu"), clock=lambda: next(ticks)) == pytest.approx(3 / 4)
    assert len(taken) == 6  # of those timed a fourth, since two seconds had not passed
    assert seconds_each(iter([1, 1]), choose_engine("cpu")) < 1  # nothing is left to time


GOOD = {"swd": 20.0, "swd_photos": 14.0, "nearest_ratio": 0.95, "diversity": 0.98}


@pytest.mark.parametrize(
    ("figures", "words", "failed"),
    [
        ({"diversity": 0.1}, "collapsed", True),
        ({"diversity": 0.7}, "few ways", False),
        ({"swd": 200.0}, "14.3 times as far", True),
        ({"swd": 60.0}, "4.3 times as far", False),
        ({"nearest_ratio": 0.3}, "copies", False),
    ],
)
def test_a_generator_is_judged_by_its_figures(figures, words, failed):
    (finding,) = verdicts.of_generator({**GOOD, **figures}, 1000)
    assert words in finding.line
    assert finding.failed == failed
    assert verdicts.of_generator(GOOD, 1000) == []


def test_directions_pairs_and_masks_are_judged_by_their_figures():
    nothing = {"about": "darkening", "what": "nothing darkens grounds", "advice": "", "failed": True}
    (finding,) = verdicts.of_pick([nothing])
    assert finding.failed
    assert finding.what == "nothing darkens grounds"
    assert verdicts.of_pick([]) == []
    hardly_any = {"drawn": 100, "rejected": {"max_area": 92, "histogram_filter": 3}, "ease": None}
    assert [one.failed for one in verdicts.of_pairs(hardly_any)] == [True]
    few = {"drawn": 100, "rejected": {"max_area": 70}, "ease": {"text": "pass --max-area 0.8"}}
    assert "30% of the samples pass the filters: pass --max-area 0.8" in verdicts.of_pairs(few)[0].line
    assert verdicts.of_pairs({"drawn": 100, "rejected": {"max_area": 20}, "ease": None}) == []
    assert [[one.failed for one in verdicts.of_self_training(share)] for share in (0.1, 0.3, 0.55)] == [
        [True],
        [False],
        [],
    ]
    assert verdicts.of_photos(300)
    assert not verdicts.of_photos(5000)
    assert "500 steps are the fewest" in verdicts.of_plan("generator", 500, 500, 9000)[0].line
    assert "there was no time for it" in verdicts.of_plan("deformator", 0, 1500, 6500)[0].line
    assert not verdicts.of_plan("segmenter", 300, 300, 300)


@pytest.mark.parametrize(
    "values", [{"methods": "ganspace,magic"}, {"methods": " , "}, {"image_size": 65}, {"hours": 0}]
)
def test_settings_that_make_no_sense_are_refused(values):
    with pytest.raises(UserError):
        LearnSettings(**values)


def test_hours_are_no_part_of_what_a_run_is():
    assert "hours" not in LearnSettings().defining()
    assert LearnSettings(methods="sefa, sefa,ganspace").method_names == ["sefa", "ganspace"]
