"""Comparing direction sets: figures one can solve in the head, and RCA of directions known by heart."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
from toy import ToyGenerator

from discovery.charts import cosine_picture
from discovery.comparing.comparison import (
    Match,
    Recognition,
    effective_rank,
    matches,
    nearest,
    overlap,
    random_overlap,
    reconstruction,
    selected,
)
from discovery.comparing.settings import CompareSettings
from discovery.methods.deformator.deformators import FixedDeformator
from discovery.methods.deformator.training import discover
from discovery.methods.deformator.validation import confusion, validate
from toolkit.compute.engine import choose_engine
from toolkit.directions import Choice, DirectionSet
from toolkit.errors import UserError
from toolkit.streams import Stream

ENGINE = choose_engine("cpu", "fp32")
SETTINGS = CompareSettings(steps=6, batch=4, validation_batches=3)
AXES = torch.eye(8)
HALFWAY = torch.tensor([[math.sqrt(0.5), math.sqrt(0.5)]])


def test_a_set_lies_wholly_in_itself_and_not_at_all_in_an_orthogonal_one():
    assert overlap(AXES[:3], AXES[:3]) == 1
    assert overlap(AXES[:3], -AXES[:3].flip(0)) == 1
    assert overlap(AXES[:3], AXES[3:]) == 0
    assert overlap(HALFWAY, torch.eye(2)) == pytest.approx(math.sqrt(0.5))


def test_overlap_has_a_direction():
    assert overlap(AXES[:1], AXES[:4]) == 1
    assert overlap(AXES[:4], AXES[:1]) == 0.25


def test_nearest_within_a_set():
    assert nearest(AXES) == 0
    assert nearest(torch.cat([AXES[:1], -AXES[:1], AXES[1:2]])) == pytest.approx(2 / 3)
    assert nearest(AXES[:1]) is None


def test_effective_rank_counts_distinct_directions():
    assert effective_rank(AXES[:5]) == pytest.approx(5)
    assert effective_rank(torch.cat([AXES[:1], -AXES[:1]])) == pytest.approx(1)
    assert effective_rank(torch.cat([AXES[:2], AXES[:2]])) == pytest.approx(2)
    angle = torch.tensor(math.pi / 3)  # the squared singular values are 1 +- cos
    pair = torch.stack([AXES[0, :2], torch.stack([angle.cos(), angle.sin()])])
    assert effective_rank(pair) == pytest.approx(math.exp(-0.75 * math.log(0.75) - 0.25 * math.log(0.25)))


def test_random_overlap_in_closed_form():
    assert random_overlap(1, 2) == pytest.approx(2 / math.pi)
    for count in (1, 4, 20):  # on a sphere |cosine| is uniform
        assert random_overlap(count, 3) == pytest.approx(count / (count + 1))


def test_random_overlap_is_what_random_vectors_give():
    drawn = Stream(0, "test").normal(4000 * 6, 16)
    drawn = (drawn / drawn.norm(dim=1, keepdim=True)).view(4000, 6, 16)
    largest = (drawn[:, 1:] @ drawn[:, 0, :, None]).abs().amax(dim=(1, 2))
    assert random_overlap(5, 16) == pytest.approx(largest.mean().item(), abs=0.005)


def test_matches_pair_each_direction_once_the_nearest_first():
    second = torch.cat([AXES[3:4], -AXES[1:2], (AXES[:1] + AXES[2:3]) / math.sqrt(2)])
    found = matches(AXES[:2], second)
    assert found[0] == Match(1, 1, -1.0)
    assert (found[1].first, found[1].second) == (0, 2)
    assert found[1].cosine == pytest.approx(math.sqrt(0.5))
    assert len(found) == 2


def test_recognition_of_counts():
    found = Recognition.of(torch.tensor([[3, 1, 0], [0, 4, 0], [0, 0, 0]]))
    assert found.rca == 7 / 8
    assert found.rca_error == pytest.approx(math.sqrt(7 / 64 / 8))
    assert found.recognised == (0.75, 1.0, None)


def directions(vectors, **more):
    return DirectionSet(vectors, "toy", "known", **more)


def test_the_first_are_selected_without_scores_and_the_best_with():
    names = ("a", "b", "c", "d")
    plain = directions(AXES[:4], names=names, choice=Choice(3, 1, 2.0))
    scored = dataclasses.replace(plain, scores={"score": [0.1, 0.4, 0.2, 0.3]})
    assert selected(plain, 2).names == ("a", "b")
    best = selected(scored, 2)
    assert best.names == ("b", "d")
    assert torch.equal(best.vectors, AXES[[1, 3]])
    assert best.scores == {"score": [0.4, 0.3]}
    assert best.choice is None
    assert selected(scored, 4) is scored


def test_the_fixed_deformator_gives_its_vectors_back_and_learns_nothing():
    vectors = torch.randn(3, 8)
    deformator = FixedDeformator(vectors)
    assert torch.allclose(deformator.directions(scale=2.0), vectors, atol=1e-6)
    assert list(deformator.parameters()) == []


def trained(settings, vectors):
    state = reconstruction(ToyGenerator(), directions(vectors), settings, ENGINE)
    steps = list(discover(state, ToyGenerator(), settings.training(), ENGINE))
    return state, steps


def test_directions_stay_while_the_reconstructor_learns():
    start = reconstruction(ToyGenerator(), directions(AXES[:3]), SETTINGS, ENGINE)
    state, steps = trained(SETTINGS, AXES[:3])
    assert state.deformator_optimiser is None
    assert torch.equal(state.deformator.vectors, AXES[:3])
    before, after = start.reconstructor.state_dict(), state.reconstructor.state_dict()
    assert not torch.equal(before["convnet.0.weight"], after["convnet.0.weight"])
    assert len(steps) == 6


def test_every_set_starts_alike():
    first, second = (reconstruction(ToyGenerator(), directions(v), SETTINGS, ENGINE) for v in (AXES[:3], AXES[3:6]))
    pairs = zip(first.reconstructor.parameters(), second.reconstructor.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert [s.state() for s in first.streams.values()] == [s.state() for s in second.streams.values()]


def test_confusion_agrees_with_the_accuracy_of_discovery():
    state, _ = trained(SETTINGS, AXES[:3])
    counts = confusion(state, ToyGenerator(), SETTINGS.training(), ENGINE)
    assert counts.sum() == 12
    assert Recognition.of(counts).rca == validate(state, ToyGenerator(), SETTINGS.training(), ENGINE)


def test_different_directions_are_recognised_and_equal_ones_are_not():
    settings = dataclasses.replace(SETTINGS, steps=150, batch=16, reconstructor_rate=3e-3, validation_batches=10)
    apart, _ = trained(settings, AXES[:2])
    same, _ = trained(settings, AXES[[0, 0]])
    assert Recognition.of(confusion(apart, ToyGenerator(), settings.training(), ENGINE)).rca > 0.8
    assert Recognition.of(confusion(same, ToyGenerator(), settings.training(), ENGINE)).rca < 0.65


def test_stop_and_resume_equals_no_stop_bit_for_bit():
    straight, _ = trained(SETTINGS, AXES[:3])
    first = reconstruction(ToyGenerator(), directions(AXES[:3]), SETTINGS, ENGINE)
    list(itertools.islice(discover(first, ToyGenerator(), SETTINGS.training(), ENGINE), 2))
    resumed = reconstruction(ToyGenerator(), directions(AXES[:3]), SETTINGS, ENGINE)
    resumed.load_state_dict(first.state_dict())
    list(discover(resumed, ToyGenerator(), SETTINGS.training(), ENGINE))
    expected, found = straight.reconstructor.state_dict(), resumed.reconstructor.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_settings_refuse_what_discovery_refuses():
    with pytest.raises(UserError, match="min_alpha is 7"):
        CompareSettings(min_alpha=7.0)


def test_cosine_picture_shows_more_light_where_sets_agree():
    drawn = cosine_picture(np.ones((4, 4)), ["a$b$", "c"], [3, 1])
    assert drawn.dtype == np.uint8
    assert drawn.shape[2] == 4
    assert drawn[..., :3].mean() > cosine_picture(np.zeros((4, 4)), ["a$b$", "c"], [3, 1])[..., :3].mean()
