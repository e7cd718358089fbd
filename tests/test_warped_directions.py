"""The support sets of WarpedGANSpace open as directions whose walks are curved."""

import json

import numpy as np
import pytest
import torch
from cli_runs import ran
from test_warps import by_numpy

from discovery.opening import open_directions
from toolkit.directions import DirectionSet
from toolkit.errors import UserError
from toolkit.warps import STEP


def support_sets(count=3, dipoles=2, size=4, seed=0):
    """A state as its SupportSets module has it: pairs of opposite vectors, side by side in a row."""
    rng = np.random.default_rng(seed)
    pairs = rng.normal(size=(count, dipoles, size))
    sets = np.stack([pairs, -pairs], axis=2).reshape(count, -1)
    alphas = np.tile([1.0, -1.0], (count, dipoles))
    parts = {"SUPPORT_SETS": sets, "ALPHAS": alphas, "LOGGAMMA": np.log(rng.uniform(0.1, 0.3, (count, 1)))}
    return {name: torch.tensor(values, dtype=torch.float32) for name, values in parts.items()}


def written(folder, state, args=None, name="support_sets.pt"):
    (folder / "models").mkdir(parents=True, exist_ok=True)
    torch.save(state, folder / "models" / name)
    if args is not None:
        (folder / "args.json").write_text(json.dumps(args))
    return folder


def test_a_walk_is_the_authors(tmp_path):
    state = support_sets()
    found = open_directions(written(tmp_path / "x", state))
    sets, gammas = state["SUPPORT_SETS"].numpy().reshape(3, 4, 4), state["LOGGAMMA"].exp().numpy()
    z = np.array([0.3, -0.2, 0.5, 0.1])
    expected = by_numpy(sets[1], state["ALPHAS"][1].numpy(), gammas[1, 0], z, STEP, 10)[-1]
    walked = found.warps[1].walked(torch.tensor(z)[None], 10 * STEP)[0]
    np.testing.assert_allclose(walked, expected, atol=1e-6)


def test_its_vectors_are_the_ways_from_the_origin(tmp_path):
    state = support_sets()
    found = open_directions(written(tmp_path / "x", state))
    sets = state["SUPPORT_SETS"].reshape(3, 4, 4).double()
    for index, vector in enumerate(found.vectors):
        z = torch.zeros(4, dtype=torch.float64, requires_grad=True)
        gamma = state["LOGGAMMA"][index].double().exp()
        f = (state["ALPHAS"][index] * (-gamma * (z - sets[index]).square().sum(dim=1)).exp()).sum()
        (gradient,) = torch.autograd.grad(f, z)
        torch.testing.assert_close(vector.double(), gradient / gradient.norm(), atol=1e-6, rtol=0)


def test_a_set_of_them_is_saved_and_read_whole(tmp_path):
    found = open_directions(written(tmp_path / "x", support_sets()))
    found.save(tmp_path / "d.safetensors")
    again = DirectionSet.load(tmp_path / "d.safetensors")
    assert torch.equal(again.vectors, found.vectors)
    assert torch.equal(again.warps[2].walked(torch.ones(1, 4), 1.0), found.warps[2].walked(torch.ones(1, 4), 1.0))


@pytest.mark.parametrize("name", ["support_sets.pt", "support_sets-4000.pt"])
def test_file_and_folder_open_alike_and_the_last_file_is_meant(tmp_path, name):
    folder = written(tmp_path / "x", support_sets(seed=1), name="support_sets-300.pt")
    last = support_sets(seed=2)
    written(folder, last, name=name)
    expected = last["SUPPORT_SETS"].reshape(3, 4, 4)
    assert torch.equal(open_directions(folder).warps.centres, expected)
    assert torch.equal(open_directions(folder / "models" / name).warps.centres, expected)


@pytest.mark.parametrize(
    ("args", "generator", "missing"),
    [
        ({"gan": "stylegan2_ffhq1024", "stylegan_space": "W"}, "stylegan2_ffhq1024", "FILE@space=w"),
        ({"gan": "stylegan2_ffhq1024", "stylegan_space": "Z"}, "stylegan2_ffhq1024-z", "FILE@space=z"),
        ({"gan_type": "StyleGAN2", "shift_in_w_space": True}, "StyleGAN2", "FILE@space=w"),
        ({"gan_type": "BigGAN", "biggan_target_classes": [239, 14]}, "BigGAN", "FILE@classes=239,14"),
        (None, "unknown", "FILE"),
    ],
)
def test_the_arguments_say_the_generator(tmp_path, args, generator, missing):
    found = open_directions(written(tmp_path / "x", support_sets(), args))
    assert (found.generator, found.source.missing) == (generator, missing)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"ALPHAS": None}, "does not fit the support sets of a WarpedGANSpace: missing: ALPHAS"),
        ({"ALPHAS": torch.ones(3, 5)}, r"SUPPORT_SETS is \[3, 16\], expected \[3, 15\]"),
        ({"LOGGAMMA": torch.ones(3)}, r"LOGGAMMA is \[3\], expected \[3, 1\]"),
        ({"LOGGAMMA": torch.full((3, 1), 1000.0)}, "finite ones"),
        ({"SUPPORT_SETS": torch.ones(2, 16)}, r"SUPPORT_SETS is \[2, 16\], expected \[3, 16\]"),
    ],
)
def test_files_that_hold_something_else_are_refused(tmp_path, change, text):
    state = {name: tensor for name, tensor in (support_sets() | change).items() if tensor is not None}
    with pytest.raises(UserError, match=text):
        open_directions(written(tmp_path / "x", state))


def test_paths_in_w_plus_are_refused_in_one_line(tmp_path):
    folder = written(tmp_path / "x", support_sets(), {"gan": "stylegan2_ffhq1024", "stylegan_space": "W+"})
    with pytest.raises(
        UserError, match=r"holds paths in W\+, each of another vector a layer; those in Z and in W open"
    ):
        open_directions(folder)


def test_convert_makes_a_direction_set_of_them(tmp_path):
    folder = written(tmp_path / "x", support_sets())
    ran("convert", folder, "--out", tmp_path / "d.safetensors")
    made = DirectionSet.load(tmp_path / "d.safetensors")
    assert len(made.warps) == 3
    assert list(made.card["sha256"]) == ["support_sets.pt"]
