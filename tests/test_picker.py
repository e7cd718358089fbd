"""The picker finds the known background-darkening direction and its sign among distractors."""

import pytest
import torch

from benchmarks.regret import CloseUps, directions_of, regret
from discovery.picking import consensus, measuring, stages
from discovery.picking.bounds import Bounds
from discovery.picking.consensus import by_consensus, staple
from discovery.picking.picker import FIGURES, OF_FINALISTS, Candidate
from discovery.picking.picking import pick_direction, with_choice
from discovery.picking.verdict import weak_points
from discovery.settings import PickSettings
from generators.scene import FACTORS, SceneGenerator
from toolkit.compute.batches import rows_at_once
from toolkit.compute.engine import choose_engine
from toolkit.directions import Choice, DirectionSet
from toolkit.errors import UserError
from toolkit.streams import Stream

ENGINE = choose_engine("cpu", "fp32")
SETTINGS = PickSettings(samples=16, num_alphas=2, finalists=4, compared_samples=16)


def _with_distractors(generator: SceneGenerator, seed: int) -> tuple[DirectionSet, int, int]:
    """Return a set of the true direction (either sign), every other factor and random directions, and where it is."""
    stream = Stream(seed, "distractors")
    others = [generator.direction(name) for name in FACTORS if "brightness" not in name]
    rest = torch.stack(others + list(stream.normal(6, generator.latent_dim)))
    place = int(stream.integers(1, len(rest) + 1))
    sign = 1 if float(stream.uniform(1, 1)) < 0.5 else -1
    truth = sign * generator.contrast_direction()[None]
    return DirectionSet(torch.cat([rest[:place], truth, rest[place:]]), "scene", "test"), place, sign


def _pick(generator, directions, settings=SETTINGS):
    picked = pick_direction(generator, directions, settings, ENGINE)
    return picked.directions, picked


@pytest.mark.parametrize("seed", range(20))
def test_true_direction_and_sign_among_distractors(seed):
    generator = SceneGenerator(image_size=32, mixing_seed=seed)
    directions, place, sign = _with_distractors(generator, seed)
    picked, _ = _pick(
        generator, directions, PickSettings(samples=16, num_alphas=2, finalists=4, compared_samples=16, seed=seed)
    )
    assert (picked.choice.index, picked.choice.sign) == (place, sign)
    assert len(picked.scores["score"]) == len(directions)


def test_scores_say_what_the_direction_does():
    generator = SceneGenerator(image_size=32)
    directions = DirectionSet(torch.stack([generator.contrast_direction(), generator.direction("size")]), "scene", "t")
    picked, _ = _pick(generator, directions)
    assert picked.scores["border"][0] < -0.1
    assert picked.scores["inside"][0] > 0.1
    assert picked.scores["score"][0] > 2 * picked.scores["score"][1]
    assert set(picked.scores) >= set(FIGURES) - set(OF_FINALISTS)
    assert 0.05 < picked.scores["area"][0] < 0.2


def test_picking_twice_gives_the_same():
    generator = SceneGenerator(image_size=32)
    directions, _, _ = _with_distractors(generator, 1)
    assert _pick(generator, directions)[0].scores == _pick(generator, directions)[0].scores


def test_lengths_fall_by_a_fixed_ratio():
    assert PickSettings(max_alpha=4, num_alphas=3).alphas() == [2.25, 3, 4]


def test_no_direction_that_will_do_is_said_and_not_chosen():
    generator = SceneGenerator(image_size=32)
    directions = DirectionSet(torch.eye(16)[8:11], "scene", "t")  # numbers beyond the factors change nothing
    with pytest.raises(UserError, match="no direction darkens"):
        _pick(generator, directions)


def test_staple_finds_the_truth_and_the_raters():
    torch.manual_seed(0)
    truth = torch.rand(20_000) < 0.3
    sensitivities, specificities = (0.95, 0.6, 0.9, 0.8, 0.7), (0.95, 0.99, 0.7, 0.9, 0.8)
    votes = torch.stack(
        [
            torch.where(truth, torch.rand(len(truth)) < sensitivity, torch.rand(len(truth)) > specificity)
            for sensitivity, specificity in zip(sensitivities, specificities, strict=True)
        ]
    )
    probability, sensitivity, precision = staple(votes)
    assert ((probability > 0.5) == truth).float().mean() > 0.97
    torch.testing.assert_close(sensitivity, torch.tensor(sensitivities), atol=0.03, rtol=0)
    expected = (votes & truth).sum(dim=1) / votes.sum(dim=1)
    torch.testing.assert_close(precision, expected, atol=0.03, rtol=0)


def test_of_like_finalists_one_without_ground_is_chosen():
    generator = SceneGenerator(image_size=32)
    contrast = generator.contrast_direction()
    # The first lightens the ground as well; the others find the thing, each a little differently.
    ground = contrast + 0.8 * generator.direction("background_brightness")
    others = [contrast + 0.15 * generator.direction(name) for name in ("size", "texture", "position_x", "position_y")]
    vectors = torch.stack([ground, *others])
    directions = DirectionSet(vectors / vectors.norm(dim=1, keepdim=True), "scene", "test")
    finalists = [Candidate(index, 1, 4.0, 0.9 - 0.01 * index) for index in range(5)]
    judged = by_consensus(generator, directions, finalists, SETTINGS, ENGINE)
    assert judged[0].index != 0
    assert sorted(c.index for c in judged) == [0, 1, 2, 3, 4]
    assert judged[0].figures["precision"] > 0.9
    truth = generator.masks(generator.sample(128, Stream(0, "pick-consensus"))).float().mean().item()
    assert judged[0].figures["rule_area"] == pytest.approx(truth, rel=0.35)
    assert judged[0].figures["sensitivity"] > 0.5
    agreements = [c.figures["agreement"] for c in judged]
    assert max(agreements) - agreements[0] < 0.03
    assert judged[0].reason == "agrees most with the others; by its score among these"
    assert next(c for c in judged if c.index == 0).reason == "agrees less: takes in ground that others do not"


def test_without_others_near_its_score_the_best_stays():
    generator = SceneGenerator(image_size=32)
    directions, _, _ = _with_distractors(generator, 1)
    finalists = [Candidate(index, 1, 3.0, score) for index, score in enumerate((0.9, 0.8, 0.7, 0.65, 0.5))]
    judged = by_consensus(generator, directions, finalists, SETTINGS, ENGINE)
    assert [c.index for c in judged] == [0, 1, 2, 3, 4]
    assert {c.reason for c in judged} == {"by its score alone: too few come near the best for a consensus"}


def test_of_the_two_rules_the_one_that_overlaps_the_consensus_more_is_named(monkeypatch):
    generator = SceneGenerator(image_size=32)
    directions, _, _ = _with_distractors(generator, 1)
    finalists = [Candidate(index, 1, 3.0, 0.9) for index in range(5)]
    # lighting is the more precise, but finds a third less
    told = torch.tensor([0.6, 0.9] * 5), torch.tensor([0.99, 0.95] * 5)
    monkeypatch.setattr(consensus, "_UNSTEADY", 1.0)
    monkeypatch.setattr(consensus, "staple", lambda votes: (votes.float().mean(dim=0), *told))
    judged = by_consensus(generator, directions, finalists, SETTINGS, ENGINE)
    assert {c.mask_rule for c in judged} == {"mean_thr"}
    assert all(0 < c.figures["rule_area"] < 1 for c in judged)
    assert judged[0].figures["precision"] == pytest.approx(0.95)


GOOD = {"border": -0.28, "pass_rate": 0.9, "too_large": 0.05, "too_small": 0.0, "agreement": 0.8}
GOOD |= {"sensitivity": 0.9, "precision": 0.9}


@pytest.mark.parametrize(
    ("changes", "score", "reasons", "failed"),
    [
        ({}, 0.57, [], False),
        ({"border": -0.01}, 0.57, ["darkening"], True),  # digits on black
        ({"border": -0.1}, 0.57, ["darkening"], False),
        ({}, 0.25, ["score"], False),
        ({"pass_rate": 0.2}, 0.1, ["score", "pass_rate"], True),
        ({"too_large": 0.6}, 0.57, ["max_area"], False),
        ({"too_small": 0.6}, 0.57, ["min_area"], False),
        ({"agreement": 0.3}, 0.57, ["disagreement"], False),
    ],
)
def test_what_is_weak_about_a_pick_is_named(changes, score, reasons, failed):
    found = weak_points(score, {**GOOD, **changes}, Bounds(0.02, 0.5, 0.5))
    assert [point.about for point in found] == reasons
    assert any(point.failed for point in found) == failed


def test_things_of_moderate_size_are_judged_within_the_moderate_bounds():
    generator = SceneGenerator(image_size=32, mixing_seed=0)
    picked = _pick(generator, _with_distractors(generator, 0)[0])[1]
    assert picked.bounds == Bounds(0.02, 0.5, 0.5)
    assert picked.weak == []


@pytest.mark.parametrize("seed", range(3))
def test_the_right_direction_of_close_ups_wins_within_wider_bounds(seed):
    generator = CloseUps(image_size=32, mixing_seed=seed)
    assert generator.masks(generator.sample(64, Stream(0, "x"))).float().mean() > 0.57
    directions, place, sign = _with_distractors(generator, seed)
    chosen, picked = _pick(generator, directions)
    assert (chosen.choice.index, chosen.choice.sign) == (place, sign)
    assert picked.bounds.max_area > 0.7
    assert chosen.choice.max_area == chosen.resolve(0, 2.0).recorded_area == picked.bounds.max_area
    assert with_choice(chosen, 1, -2.0).choice == Choice(1, -1, 2.0, max_area=picked.bounds.max_area)
    assert "max_area" not in [point.about for point in picked.weak]


def test_bounds_that_are_set_stay_and_what_they_shut_out_is_weak():
    generator = CloseUps(image_size=32)
    settings = PickSettings(samples=16, num_alphas=2, finalists=4, compared_samples=16, max_area=0.4, max_border=0.9)
    picked = _pick(generator, _with_distractors(generator, 0)[0], settings)[1]
    assert picked.bounds == Bounds(0.02, 0.4, 0.9)
    assert "max_area" in [point.about for point in picked.weak]
    with pytest.raises(UserError, match="no mask would pass"):
        PickSettings(min_area=0.5, max_area=0.4)


def test_regret_is_the_best_finalist_less_the_picked_one():
    ious, picked = regret(CloseUps(image_size=32, mixing_seed=0), 0, SETTINGS)
    assert len(ious) == len(picked.finalists) == 4
    assert max(ious) - ious[0] <= 0.02
    assert ious[0] > 0.9


def test_precision_weighs_twice_as_much_in_an_agreement():
    assert consensus._agreement(0.5, 0.5) == pytest.approx(0.5)
    assert consensus._agreement(0.8, 0.9) > consensus._agreement(0.9, 0.8)
    assert consensus._agreement(0.94, 0.81) < consensus._agreement(0.73, 0.92)
    assert consensus._agreement(0.0, 0.0) == 0


def test_a_rule_whose_masks_grow_with_the_shift_is_no_rater():
    assert consensus._steady([{"lighting": 0.98, "mean_thr": 0.84}, {"lighting": 0.96, "mean_thr": 0.86}]) == [
        "lighting"
    ]
    assert consensus._steady([{"lighting": 0.88, "mean_thr": 0.90}]) == ["lighting", "mean_thr"]
    generator = SceneGenerator(image_size=32, mixing_seed=0)
    settings = PickSettings(samples=16, num_alphas=2, finalists=6, compared_samples=16)
    ious, picked = regret(generator, 0, settings)
    assert picked.finalists[0].mask_rule == "lighting"
    assert ious[0] > 0.8


class _Watched(SceneGenerator):
    """The scene, remembering how many pixels it was asked for at a time, and how many images in all."""

    def __init__(self, **shape: int) -> None:
        super().__init__(**shape)
        self.asked = []

    def __call__(self, latents):
        self.asked.append(len(latents))
        return super().__call__(latents)


@pytest.mark.parametrize("seed", range(3))
def test_judging_shrunk_pictures_ranks_directions_as_their_full_size_does(seed, monkeypatch):
    generator = _Watched(image_size=64, mixing_seed=seed)
    directions, place, sign = _with_distractors(generator, seed)
    full, whole = _pick(generator, directions)
    monkeypatch.setattr(measuring, "_SIDE", 32)
    shrunk, small = _pick(generator, directions)
    assert shrunk.choice == full.choice
    assert (shrunk.choice.index, shrunk.choice.sign) == (place, sign)
    assert [c.index for c in small.finalists[:2]] == [c.index for c in whole.finalists[:2]]


def test_large_pictures_are_rendered_one_by_one_and_kept_small():
    generator = _Watched(image_size=1024)
    latents = generator.sample(3, Stream(0, "large"))
    assert measuring.seen(generator, latents, ENGINE).shape == (3, 3, 128, 128)
    assert generator.asked == [1, 1, 1]
    assert rows_at_once(64 * 64, torch.device("cpu")) == 64
    assert rows_at_once(64 * 64, torch.device("cuda")) == 1024


@pytest.mark.parametrize("seed", range(3))
def test_stages_choose_what_judging_every_direction_in_full_chooses(seed, monkeypatch):
    generator = _Watched(image_size=32, mixing_seed=seed)
    directions = directions_of(generator, seed)
    settings = PickSettings(samples=24, num_alphas=2, finalists=5, compared_samples=16)
    staged, picked = _pick(generator, directions, settings)
    rendered = sum(generator.asked)
    monkeypatch.setattr(stages, "_STAGES", ())
    generator.asked = []
    full, whole = _pick(generator, directions, settings)
    assert staged.choice == full.choice
    assert picked.finalists == whole.finalists
    assert rendered < 0.6 * sum(generator.asked)
    judged_on = staged.scores["judged_on"]
    assert set(judged_on) >= {8.0, 24.0}
    assert judged_on[staged.choice.index] == 24


def test_the_images_that_stages_need_are_those_that_they_render(monkeypatch):
    generator = _Watched(image_size=32)
    directions = directions_of(generator, 0)
    settings = PickSettings(samples=24, num_alphas=2, finalists=2)
    stages.measured(generator, directions, settings, ENGINE)
    assert sum(generator.asked) == 24 + stages.images_needed(settings, len(directions))
    assert stages.plan(settings, 2) == [(4, 24)]
    assert stages.plan(settings, 26) == [(52, 8), (10, 12), (4, 24)]
