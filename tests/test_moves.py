"""Shifts that depend on the latents: they stand wherever a shift of fixed numbers does."""

import pytest
import torch

from generators.protocol import Latents, render_twins
from toolkit.moves import Centred, Curve
from toolkit.warps import Warp

LAYERS = torch.tensor([True, False, True])


def a_curve(layers=None):
    rng = torch.Generator().manual_seed(0)
    return Curve(2.0, layers, Warp(torch.randn(4, 5, generator=rng), torch.tensor([1.0, -1, 1, -1]), 0.2))


def a_centred(layers=None, alpha=2.0):
    return Centred(alpha, layers, torch.tensor([0.6, 0.8, 0, 0, 0]), 0.5)


@pytest.mark.parametrize("move", [a_curve(), a_centred()])
def test_a_move_scales_turns_round_and_adds_to_latents(move):
    latents = Latents(torch.randn(6, 5), torch.arange(6))
    half = latents.shifted(0.5 * move)
    torch.testing.assert_close(half.z - latents.z, (move * 0.5).displacement(latents.z))
    assert torch.equal(half.y, latents.y)
    back = latents.shifted(-move)
    assert not torch.allclose(back.z, latents.shifted(move).z)
    torch.testing.assert_close((-move).to(torch.device("cpu")).displacement(latents.z), back.z - latents.z)
    before, after = render_twins(lambda given: given.z, latents, move)
    torch.testing.assert_close(after, before + move.displacement(latents.z))


def test_a_curve_is_followed_from_where_the_latents_are():
    move, latents = a_curve(), Latents(torch.randn(3, 5))
    torch.testing.assert_close(latents.shifted(move).z, move.warp.walked(latents.z, 2.0))
    assert torch.equal(latents.shifted(0.0 * move).z, latents.z)
    assert (latents.shifted(move).z - latents.z).std(dim=0).max() > 0.1  # each has a way of its own


def test_centred_moves_bring_all_latents_to_one_place_along_the_direction():
    move, latents = a_centred(), Latents(torch.randn(4, 5))
    moved = latents.shifted(move).z
    torch.testing.assert_close(moved @ move.unit, torch.full((4,), 2.5))
    across = torch.tensor([0.8, -0.6, 0, 0, 0])
    torch.testing.assert_close(moved @ across, latents.z @ across)
    torch.testing.assert_close(latents.shifted(0.0 * move).z @ move.unit, torch.full((4,), 0.5))
    torch.testing.assert_close(latents.shifted(-move).z @ move.unit, torch.full((4,), -1.5))


@pytest.mark.parametrize("made", [a_curve, a_centred])
def test_at_some_layers_the_others_keep_their_latents(made):
    z = torch.randn(2, 5)
    shared, own = Latents(z).shifted(made(LAYERS)).z, Latents(torch.randn(2, 3, 5))
    assert shared.shape == (2, 3, 5)
    assert torch.equal(shared[:, 1], z)
    torch.testing.assert_close(shared[:, 2], Latents(z).shifted(made()).z)
    by_layer = own.shifted(made(LAYERS)).z
    assert torch.equal(by_layer[:, 1], own.z[:, 1])
    torch.testing.assert_close(by_layer[:, 0], Latents(own.z[:, 0]).shifted(made()).z)


def test_the_numbers_of_a_move_tell_it_from_others():
    def numbers(move):
        return [tensor.tolist() for tensor in move.tensors()]

    assert numbers(a_centred(alpha=1.0)) != numbers(a_centred())
    assert numbers(a_curve() * 0.5) != numbers(a_curve())
    assert numbers(a_curve(LAYERS)) != numbers(a_curve())
