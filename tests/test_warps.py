"""Curved walks against numpy, and where the answer is known by symmetry."""

import numpy as np
import pytest
import torch

from toolkit.errors import UserError
from toolkit.warps import STEP, Warp, Warps


def by_numpy(centres, weights, gamma, z, eps, steps):
    """The authors' walk as their paper describes it: `steps` steps of `eps` along the normalised gradient."""
    path = [np.asarray(z, np.float64)]
    for _ in range(steps):
        away = path[-1] - centres
        pulls = weights * gamma * np.exp(-gamma * (away**2).sum(axis=1))
        gradient = -2 * (pulls[:, None] * away).sum(axis=0)
        path.append(path[-1] + eps * gradient / np.linalg.norm(gradient))
    return np.stack(path)


def a_warp(rng, count=6, size=5, gamma=0.2):
    centres = rng.normal(size=(count, size))
    return centres, np.where(np.arange(count) % 2, -1.0, 1.0), gamma


@pytest.mark.parametrize("sign", [1, -1])
def test_walks_are_those_of_numpy(sign):
    rng = np.random.default_rng(0)
    centres, weights, gamma = a_warp(rng)
    warp = Warp(torch.tensor(centres), torch.tensor(weights), gamma)
    starts = rng.normal(size=(4, 5))
    walked = warp.walked(torch.tensor(starts), sign * 12 * STEP)
    expected = np.stack([by_numpy(centres, weights, gamma, z, sign * STEP, 12)[-1] for z in starts])
    np.testing.assert_allclose(walked.numpy(), expected, atol=1e-9)
    straight = starts + sign * 12 * STEP * warp.way(torch.tensor(starts)).numpy()
    assert np.abs(walked.numpy() - straight).max() > 0.1


def test_a_shorter_walk_ends_on_the_longer_one():
    centres, weights, gamma = a_warp(np.random.default_rng(1))
    warp = Warp(torch.tensor(centres), torch.tensor(weights), gamma)
    path = by_numpy(centres, weights, gamma, np.zeros(5), STEP, 4)
    z = torch.zeros(1, 5, dtype=torch.float64)
    halfway = (path[2] + path[3]) / 2
    np.testing.assert_allclose(warp.walked(z, 2.5 * STEP).numpy()[0], halfway, atol=1e-9)
    np.testing.assert_allclose(warp.walked(z, 3 * STEP).numpy()[0], path[3], atol=1e-9)
    assert torch.equal(warp.walked(z, 0.0), z)


def test_between_two_opposite_poles_the_walk_is_straight_from_one_to_the_other():
    poles = torch.tensor([[3.0, 0.0], [-3.0, 0.0]])
    warp = Warp(poles, torch.tensor([1.0, -1.0]), 0.1)
    torch.testing.assert_close(warp.walked(torch.zeros(2), 1.3), torch.tensor([1.3, 0.0]))
    torch.testing.assert_close(warp.walked(torch.zeros(2), -1.3), torch.tensor([-1.3, 0.0]))
    above = warp.walked(torch.tensor([[-1.0, 0.5]]), 3.0)[0]
    assert above[0] > 0.5
    assert abs(above[1] - 0.5) > 0.05


def test_latents_by_layer_walk_layer_by_layer():
    centres, weights, gamma = (torch.tensor(np.asarray(part)) for part in a_warp(np.random.default_rng(2)))
    warp, z = Warp(centres, weights, float(gamma)), torch.randn(3, 4, 5, dtype=torch.float64)
    torch.testing.assert_close(warp.walked(z, 0.7)[1, 2], warp.walked(z[1, 2], 0.7))


def test_far_from_every_centre_there_still_is_a_way():
    warp = Warp(torch.tensor([[1.0, 0.0]]), torch.tensor([1.0]), 50.0)  # exp(-50 * 99^2) is 0 in any precision
    torch.testing.assert_close(warp.way(torch.tensor([100.0, 0.0])), torch.tensor([-1.0, 0.0]))
    flat = Warp(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([1.0, -1.0]), 1.0)
    assert torch.equal(flat.walked(torch.ones(1, 2), 1.0), torch.ones(1, 2))


def test_warps_come_back_from_their_tensors():
    warps = Warps(torch.randn(3, 4, 2), torch.ones(3, 4), torch.rand(3) + 0.1)
    again = Warps.of({"vectors": torch.ones(3, 2), **warps.tensors()})
    assert torch.equal(again[1].walked(torch.ones(2), 2.0), warps[1].walked(torch.ones(2), 2.0))
    torch.testing.assert_close(warps.ways(torch.ones(2))[2], warps[2].way(torch.ones(2)))
    assert Warps.of({"vectors": torch.ones(3, 2)}) is None


@pytest.mark.parametrize(
    ("centres", "weights", "gammas", "text"),
    [
        (torch.ones(2, 3, 4), torch.ones(2, 4), torch.ones(2), r"weights \[2, 4\] .* \(K, N\) and \(K,\) are needed"),
        (torch.ones(2, 3, 4), torch.ones(2, 3), torch.full((2,), torch.nan), "finite ones"),
        (torch.ones(2, 3, 4), torch.ones(2, 3), torch.tensor([1.0, 0.0]), "gamma that is not above 0"),
    ],
)
def test_warps_that_do_not_fit_are_refused(centres, weights, gammas, text):
    with pytest.raises(UserError, match=text):
        Warps(centres, weights, gammas)
