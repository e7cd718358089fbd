"""Deformators against the original's numbers, and what each kind promises."""

import json

import pytest
import torch
from golden_fill import fill_state_dict
from rounding import close

from discovery.methods.deformator.deformators import (
    FcDeformator,
    IdDeformator,
    LinearDeformator,
    OrthoDeformator,
    ProjDeformator,
    RandomDeformator,
    make_deformator,
)
from toolkit.errors import UserError

ROOT = 120**0.5
CASES = {
    "fc_120": (FcDeformator(120, 120), None),
    "linear_120": (LinearDeformator(120, 120), None),
    "linear_nobias_120": (LinearDeformator(120, 120, bias=False), None),
    "linear_40_80_120": (LinearDeformator(40, 120, 80), None),
    "linear_40_150_120": (LinearDeformator(40, 120, 150), None),
    "linear_spatial_16_1_1": (LinearDeformator(16, 16), None),
    "proj_120": (ProjDeformator(120, 120), None),
    "proj_40_80_120": (ProjDeformator(40, 120, 80), None),
    "ortho_120": (OrthoDeformator(120, 120), None),
    "ortho_big_120": (OrthoDeformator(120, 120), {"log_mat_half": ROOT}),
    "ortho_small_120": (OrthoDeformator(120, 120), {"log_mat_half": 0.001 * ROOT}),
    "ortho_60_60_120": (OrthoDeformator(60, 120, 60), None),
    "id_120": (IdDeformator(120, 120), None),
    "random_120": (RandomDeformator(120, 120), None),
}


def exponential(skew):
    """Return the sums of products in exp(skew): a polynomial, then squarings, each of which doubles the error."""
    return 12 + round(float(torch.linalg.matrix_norm(skew.detach(), 2)))


def depth(deformator):
    """Return the sums of products from shifts (B, K) to their deformed ones."""
    if isinstance(deformator, OrthoDeformator):
        return 1 + exponential(deformator.log_mat_half - deformator.log_mat_half.T)
    return 8 if isinstance(deformator, FcDeformator) else 1  # four linear maps and their norms


@pytest.mark.parametrize("tag", CASES)
def test_same_numbers_and_keys_as_the_original(golden, tag):
    deformator, scales = CASES[tag]
    arrays = golden("deformators")
    fill_state_dict(deformator, 0, scales)
    with torch.no_grad():
        found = deformator.eval()(torch.from_numpy(arrays[f"{tag}_in"]))
    expected = torch.from_numpy(arrays[f"{tag}_out"]).flatten(1)
    close(found, expected, depth=depth(deformator))
    shapes = {name: list(t.shape) for name, t in deformator.state_dict().items()}
    if tag == "random_120":  # kept on purpose: the original loses its matrix on saving
        assert shapes.pop("linear") == [120, 120]
    assert shapes == json.loads(str(arrays[f"{tag}_keys"]))


def test_fc_in_training_mode_updates_its_statistics_like_the_original(golden):
    arrays = golden("deformators")
    deformator = fill_state_dict(FcDeformator(24, 24, hidden=32), 0).train()
    found = deformator(torch.from_numpy(arrays["fc_train_24_in"]))
    close(found, arrays["fc_train_24_out"], depth=depth(deformator))
    close(deformator.bn1.running_mean, arrays["fc_train_24_bn1_mean_after"], depth=2)


def test_linear_starts_at_the_padded_identity(golden):
    expected = torch.from_numpy(golden("deformators")["init_linear_40_80_weight"])
    assert torch.equal(LinearDeformator(40, 120, 80).linear.weight, expected)


@pytest.mark.parametrize("tag", ["3_0.1", "3_1.0", "8_5.0", "30_1.0", "64_3.0"])
def test_matrix_is_the_original_exponential(golden, tag):
    skew, expected = (torch.from_numpy(golden("expm")[f"{name}_{tag}"]) for name in ("a", "expm"))
    deformator = OrthoDeformator(len(skew), len(skew))
    deformator.load_state_dict({"log_mat_half": skew.triu()})
    assert torch.equal(skew, skew.triu() - skew.triu().T)
    close(deformator.matrix(), expected, depth=exponential(skew))


@pytest.mark.parametrize("optimiser", [torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD, torch.optim.Adagrad])
@pytest.mark.parametrize("way", ["fused", "foreach"])
@pytest.mark.parametrize("kind", ["fc", "linear", "ortho", "proj"])
def test_directions_follow_every_step_of_every_optimiser(kind, optimiser, way):
    deformator = make_deformator(kind, 5, 7, random_init=True)
    steps = optimiser(deformator.parameters(), lr=0.1, **{way: True})
    seen = []
    for _ in range(3):
        steps.zero_grad()
        deformator(torch.eye(5)).square().sum().add(deformator(torch.eye(5)).sum()).backward()
        steps.step()
        fresh = make_deformator(kind, 5, 7, seed=1)
        fresh.load_state_dict(deformator.state_dict())
        seen.append(deformator.directions(6.0))  # looked at between steps, as charts do
        assert torch.equal(seen[-1], fresh.directions(6.0))
    assert not torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[1], seen[2])


def test_ortho_matrix_follows_its_weights_and_has_gradients():
    deformator = make_deformator("ortho", 5, 5, random_init=True)
    assert deformator.matrix().requires_grad
    with torch.no_grad():
        first = deformator.matrix()
        deformator.log_mat_half.mul_(2)
        assert not torch.allclose(deformator.matrix(), first)
        deformator.load_state_dict({"log_mat_half": torch.zeros(5, 5)})
        assert torch.equal(deformator.matrix(), torch.eye(5))


def test_fewer_ortho_directions_are_orthonormal_in_the_whole_latent_space():
    ours = make_deformator("ortho", 4, 10, random_init=True).directions()
    close(ours @ ours.T, torch.eye(4), depth=20)
    assert ours[:, 4:].abs().max() > 0.1
    published = make_deformator("ortho", 4, 10, random_init=True, out_dim=4).directions()
    close(published @ published.T, torch.eye(4), depth=20)
    assert published[:, 4:].abs().max() == 0


def test_directions_are_the_columns_of_the_matrix():
    linear = make_deformator("linear", 3, 7, random_init=True)
    assert torch.allclose(linear.directions(6.0), linear.linear.weight.T, atol=1e-6)
    random = make_deformator("random", 3, 7)
    assert torch.allclose(random.directions(), random.linear.T, atol=1e-6)
    assert torch.equal(make_deformator("id", 3, 7).directions(), torch.eye(3, 7))


def test_fc_directions_leave_statistics_and_mode_alone():
    deformator = make_deformator("fc", 6, 6)
    before = {name: t.clone() for name, t in deformator.state_dict().items()}
    assert deformator.directions(6.0).shape == (6, 6)
    assert deformator.training
    assert all(torch.equal(t, before[name]) for name, t in deformator.state_dict().items())


@pytest.mark.parametrize("name", ["linear", "fc", "ortho", "proj", "random", "id"])
def test_every_kind_takes_fewer_directions_than_latent_numbers(name):
    deformator = make_deformator(name, 4, 10)
    assert deformator(torch.eye(4)).shape == (4, 10)
    assert deformator.eval()(torch.eye(4)[0]).shape == (1, 10)


def test_random_matrix_survives_saving_and_a_zero_row_stays_zero():
    saved = make_deformator("random", 4, 6, seed=1)
    loaded = make_deformator("random", 4, 6, seed=2)
    loaded.load_state_dict(saved.state_dict())
    assert torch.equal(saved(torch.eye(4)), loaded(torch.eye(4)))
    assert torch.equal(ProjDeformator(4, 6, bias=False)(torch.zeros(1, 4)), torch.zeros(1, 6))


def test_seed_names_the_weights_and_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    first = make_deformator("ortho", 4, 4, random_init=True, seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.log_mat_half, make_deformator("ortho", 4, 4, random_init=True, seed=3).log_mat_half)
    assert not torch.equal(first.log_mat_half, make_deformator("ortho", 4, 4, random_init=True).log_mat_half)


def test_errors_name_the_way_out():
    with pytest.raises(UserError, match="choose one of fc, linear"):
        make_deformator("affine", 4, 4)
    with pytest.raises(UserError, match="directions=4 or fewer"):
        make_deformator("ortho", 5, 4)
    with pytest.raises(UserError, match="directions=4 or fewer"):
        make_deformator("id", 5, 4)
