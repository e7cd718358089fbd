"""Which shift and which mask rule are meant: named ones before what was recorded with the choice."""

import pytest
import torch

from generators.scene import SceneGenerator
from segmentation.synthesis.source import MaskSource
from toolkit.directions import Choice, DirectionSet
from toolkit.errors import UserError
from toolkit.watch import Watch


def a_set(rule):
    choice = Choice(1, -1, 2.5, opposite=0, mask_rule=rule)
    return DirectionSet(torch.eye(16)[:3], "scene", "known", choice=choice)


def test_the_choice_is_meant_where_nothing_is_named():
    shift = a_set(None).resolve()
    assert (shift.index, shift.name, shift.alpha) == (1, "direction_1", -2.5)
    assert torch.equal(shift.vector, -2.5 * torch.eye(16)[1])
    assert torch.equal(shift.opposite, 2.5 * torch.eye(16)[0])
    assert a_set(None).resolve(alpha=4.0).alpha == -4.0
    other = a_set(None).resolve("2", -3.0)
    assert (other.index, other.alpha) == (2, -3.0)
    assert torch.equal(other.opposite, -other.vector)
    with pytest.raises(UserError, match="direction needs the shift length too; give alpha, negative for the other way"):
        a_set(None).resolve("2")


@pytest.mark.parametrize(
    ("recorded", "index", "asked", "rule"),
    [
        ("mean_thr", 1, None, "mean_thr"),
        ("mean_thr", 1, "lighting", "lighting"),
        ("mean_thr", 0, None, "lighting"),
        (None, 1, None, "lighting"),
    ],
)
def test_the_recorded_rule_is_that_of_the_chosen_direction_unless_another_is_named(recorded, index, asked, rule):
    assert a_set(recorded).resolve(index, 1.0).mask_rule(asked) == rule


def test_a_recorded_rule_that_is_not_here_is_refused_and_can_be_replaced():
    with pytest.raises(UserError, match=r"are made by the rule 'os\.system', which is not here; .* or give mask_rule"):
        a_set("os.system").resolve().mask_rule()
    assert a_set("os.system").resolve().mask_rule("mean_thr") == "mean_thr"


def test_pairs_are_made_by_the_recorded_rule_and_another_is_noted():
    class Lines(Watch):
        def __init__(self):
            self.said = []

        def say(self, line):
            self.said.append(line)

    generator, lines = SceneGenerator(image_size=16), Lines()
    source = MaskSource.along(a_set("light-dark").resolve(), generator, {}, watch=lines)
    assert source.mask_rule == "light-dark"
    assert torch.equal(source.shift, torch.stack([-2.5 * torch.eye(16)[1], 2.5 * torch.eye(16)[0]]))
    assert lines.said == []
    source = MaskSource.along(a_set("light-dark").resolve(), generator, {}, "lighting", watch=lines)
    assert source.shift.shape == (16,)
    assert lines.said == ["note: masks of this direction were found to be best by mask_rule=light-dark"]
