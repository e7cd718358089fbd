"""The picker finds the known background-darkening direction and its sign among distractors."""

import pytest
import torch

from discovery.picker import FIGURES, best_of_each, chosen, rank, with_operator_scores
from discovery.settings import PickSettings
from generators.scene import FACTORS, SceneGenerator
from toolkit.directions import DirectionSet
from toolkit.engine import choose_engine
from toolkit.errors import UserError
from toolkit.streams import Stream

ENGINE = choose_engine("cpu", "fp32")
SETTINGS = PickSettings(samples=16, lengths=2, finalists=4)


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
    ranked = best_of_each(list(rank(generator, directions, settings, ENGINE)))
    finalists = with_operator_scores(generator, directions, ranked, settings, ENGINE)
    return chosen(directions, ranked, finalists), ranked


@pytest.mark.parametrize("seed", range(20))
def test_true_direction_and_sign_among_distractors(seed):
    generator = SceneGenerator(image_size=32, mixing_seed=seed)
    directions, place, sign = _with_distractors(generator, seed)
    picked, ranked = _pick(generator, directions, PickSettings(samples=16, lengths=2, finalists=4, seed=seed))
    assert (picked.choice.index, picked.choice.sign) == (place, sign)
    assert len(ranked) == len(directions)


def test_scores_say_what_the_direction_does():
    generator = SceneGenerator(image_size=32)
    directions = DirectionSet(torch.stack([generator.contrast_direction(), generator.direction("size")]), "scene", "t")
    picked, _ = _pick(generator, directions)
    assert picked.scores["border"][0] < -0.1
    assert picked.scores["inside"][0] > 0.1
    assert picked.scores["score"][0] > 2 * picked.scores["score"][1]
    assert set(picked.scores) >= set(FIGURES) - {"operator"}
    assert 0.05 < picked.scores["area"][0] < 0.2


def test_picking_twice_gives_the_same():
    generator = SceneGenerator(image_size=32)
    directions, _, _ = _with_distractors(generator, 1)
    assert _pick(generator, directions)[0].scores == _pick(generator, directions)[0].scores


def test_lengths_fall_by_a_fixed_ratio():
    assert PickSettings(longest=4, lengths=3).alphas() == [2.25, 3, 4]


def test_no_direction_that_will_do_is_said_and_not_chosen():
    generator = SceneGenerator(image_size=32)
    directions = DirectionSet(torch.eye(16)[8:11], "scene", "t")  # numbers beyond the factors change nothing
    with pytest.raises(UserError, match="no direction darkens"):
        _pick(generator, directions)
