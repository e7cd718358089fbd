"""GANSpace's edits: sliders in deviations, truncated latents, layers, centred strips, against its authors' formulas."""

import numpy as np
import pytest
import torch
from cli_runs import ran, refused
from torch import nn

from discovery.face import edit, render
from discovery.methods.ganspace.method import GanspaceSearch
from discovery.methods.settings import GanspaceSettings
from discovery.walks import walk_along
from generators.layered import seen_at
from generators.protocol import Latents, fitting
from generators.scene import SceneGenerator
from generators.styled import StyledGenerator, StyledNetwork, Styling
from toolkit.compute.engine import Engine
from toolkit.directions import Choice, DirectionSet
from toolkit.errors import UserError
from toolkit.streams import Stream
from toolkit.warps import Warps

CPU = Engine(torch.device("cpu"), bf16=False)
DEVIATIONS = torch.tensor([4.0, 3.0, 2.0, 1.0])
MEAN = torch.tensor([1.0, -2.0, 0.5, 3.0])


class Stretch(nn.Module):
    """z -> w, whose components are the axes, of known deviations about a known mean."""

    def forward(self, z, y=None):
        return z * DEVIATIONS.to(z) + MEAN.to(z)


class Axes(StyledNetwork):
    """A network of 3 layers that paints what it was given."""

    def __init__(self):
        super().__init__()
        self.latent_dim = self.style_dim = 4
        self.num_layers, self.image_size = 3, 8
        self.mapping = Stretch()
        self.first = nn.Identity()

    def forward(self, w, noises=None):
        seen = self.first(self.by_layer(w))
        return seen[..., :1, None].expand(-1, -1, 8, 8)

    def modulations(self):
        return [torch.eye(4)] * 3


def axes(**styling):
    return StyledGenerator(Axes(), "axes", Styling(**styling), mean=MEAN)


def by_ganspace(generator, **changes):
    search = GanspaceSearch(generator, GanspaceSettings(directions=3, **{"samples": 4000, "batch": 500} | changes), CPU)
    for _ in search.steps():
        pass
    return search.result().directions


def known(layers=None, **changes):
    """A set as GANSpace's file gives it: components, deviations and centres are those of the latents."""
    scores = {"sigma": DEVIATIONS.tolist(), "centre": MEAN.tolist()}
    return DirectionSet(torch.eye(4), "axes", "known", scores=scores, layers=layers, **changes)


def authors_strip(w, component, deviation, mean, sigma, start, end, psi, centre):
    """One frame of its strips in numpy: the layers [start, end) edited, then all truncated towards the mean."""
    layers = np.repeat(w[:, None], 3, axis=1)
    offset = ((w - mean) @ component)[:, None] * component if centre else 0.0
    for layer in range(start, end):
        layers[:, layer] = w - offset + component * sigma * deviation
    return mean + psi * (layers - mean)


@pytest.mark.parametrize("psi", [1.0, 0.7])
@pytest.mark.parametrize("centre", [False, True])
@pytest.mark.parametrize(("text", "start", "end"), [("all", 0, 3), ("1-2", 1, 3), ("0", 0, 1)])
def test_edits_are_the_authors(psi, centre, text, start, end):
    generator, whole = axes(psi=psi), axes()
    w = whole.sample(5, Stream(0, "w")).z
    truncated = generator.sample(5, Stream(0, "w"))
    directions = fitting(known(), generator, text)
    moved = truncated.shifted(walk_along(directions, generator, 1, sigma=-2.0, centred=centre).vector)
    expected = authors_strip(w.numpy(), np.eye(4)[1], 3.0, MEAN.numpy(), -2.0, start, end, psi, centre)
    np.testing.assert_allclose(moved.layered(3).z, expected, atol=1e-5)


def test_where_only_the_first_layers_are_truncated_a_deviation_is_that_of_the_layers_moved():
    generator = axes(psi=0.5, cutoff=2)
    assert walk_along(fitting(known(), generator, "0-1"), generator, 0, sigma=1.0).alpha == 2.0
    assert walk_along(fitting(known(), generator, "2"), generator, 0, sigma=1.0).alpha == 4.0
    assert walk_along(known(), generator, 0, sigma=1.0).alpha == 4.0
    assert walk_along(known(), axes(space="z", psi=0.5), 0, sigma=1.0).alpha == 4.0


@pytest.mark.parametrize("generator", [axes(), axes(psi=0.5), axes(psi=0.5, cutoff=1)])
def test_components_deviations_and_centres_of_w_are_found_untruncated(generator):
    found = by_ganspace(generator)
    np.testing.assert_allclose(found.vectors.abs(), np.eye(4)[:3], atol=0.1)
    np.testing.assert_allclose(found.scores["sigma"], DEVIATIONS[:3], rtol=0.05)
    np.testing.assert_allclose(found.scores["centre"], found.vectors @ MEAN, atol=0.2)


def test_components_of_a_layer_come_back_to_w_with_the_deviations_of_w():
    generator = axes(psi=0.5)
    found = by_ganspace(seen_at(generator, "1-2"), layer="first")
    np.testing.assert_allclose(found.vectors.abs(), np.eye(4)[:3], atol=0.1)
    np.testing.assert_allclose(found.scores["sigma"], DEVIATIONS[:3], rtol=0.05)
    np.testing.assert_allclose(found.scores["centre"], found.vectors @ MEAN, atol=0.2)


def test_the_chosen_direction_keeps_its_sign():
    shift = walk_along(known(choice=Choice(2, -1, 5.0)), None, sigma=1.5)
    assert (shift.index, shift.alpha) == (2, -3.0)


def test_edit_and_render_take_deviations():
    latents, generator = axes().sample(2, Stream(0, "w")), axes()
    torch.testing.assert_close(edit(latents, known(), 3, sigma=2.0).z, latents.z + 2 * torch.eye(4)[3])
    halved = edit(latents, known(), 3, sigma=2.0, generator=axes(psi=0.5))
    torch.testing.assert_close(halved.z, latents.z + torch.eye(4)[3])
    centred = edit(latents, known(), 3, sigma=1.0, centred=True)
    torch.testing.assert_close(centred.z[:, 3], torch.full((2,), 4.0))
    frames = render(latents, generator, known(), direction=0, sigma=0.1, frames=3)
    assert frames.shape == (3, 2, 8, 8, 3)
    assert np.array_equal(frames, render(latents, generator, known(), direction=0, reach=0.4, frames=3))


def curved():
    warps = Warps(torch.randn(2, 4, 4), torch.ones(2, 4), torch.ones(2))
    return DirectionSet(warps.ways(torch.zeros(4)), "axes", "known", warps=warps)


@pytest.mark.parametrize(
    ("directions", "asked", "text"),
    [
        (known(), {"alpha": 1.0, "sigma": 1.0}, "alpha and sigma both say how far; give one of them"),
        (known(), {"sigma": 0.0}, "sigma is 0, but has to be a finite number"),
        (
            DirectionSet(torch.eye(4), "axes", "sefa"),
            {"sigma": 1.0},
            "by sefa come without the deviations of the latents",
        ),
        (DirectionSet(torch.eye(4), "axes", "sefa"), {"alpha": 1.0, "centred": True}, "without the place of the mean"),
        (curved(), {"alpha": 1.0, "centred": True}, "is curved, and has no centre to begin at; omit centred"),
    ],
)
def test_what_cannot_be_walked_is_refused(directions, asked, text):
    with pytest.raises(UserError, match=text):
        walk_along(directions, None, 0, **asked)


def test_rendering_without_directions_takes_no_deviations():
    with pytest.raises(UserError, match="no directions are passed"):
        render(Latents(torch.ones(1, 4)), axes(), sigma=1.0)


def test_the_commands_take_deviations_and_centre(tmp_path):
    scene = SceneGenerator()
    scores = {"sigma": [0.5, 1.5], "centre": [1.0, -1.0]}
    directions = DirectionSet(torch.eye(2, scene.latent_dim), "scene", "known", scores=scores)
    directions.save(tmp_path / "d.safetensors")
    latents = scene.sample(3, Stream(0, "sample"))
    asked = ["sample", "--generator", "scene", "--directions", tmp_path / "d.safetensors", "--samples", 3]
    ran(*asked, "--direction", 1, "--sigma", 2, "--out", tmp_path / "moved.npy")
    torch.testing.assert_close(
        torch.from_numpy(np.load(tmp_path / "moved.npy")), scene(edit(latents, directions, 1, alpha=3.0))
    )
    ran(*asked, "--direction", 0, "--sigma", -1, "--centred", "--out", tmp_path / "centred.npy")
    moved = latents.z.clone()
    moved[:, 0] = 0.5
    torch.testing.assert_close(torch.from_numpy(np.load(tmp_path / "centred.npy")), scene(Latents(moved)))
    shown = ran(
        *("render-gif", tmp_path / "d.safetensors", "--direction", 1, "--sigma", 2, "--frames", 3, "--samples", 1),
        *("--out", tmp_path / "x.gif"),
    )
    assert "from -3.0 to +3.0" in shown
    assert refused(*asked, "--centred", "--out", tmp_path / "y.npy") == (
        "no direction of this set is chosen; run toolkit pick on it, or give --direction and --alpha"
    )
    assert refused("sample", "--centred", "--out", tmp_path / "y.npy") == (
        "--centred goes with --direction or --sigma; omit it"
    )
    assert "--alpha and --sigma both say how far" in refused(
        *("render-gif", tmp_path / "d.safetensors", "--direction", 1, "--sigma", 2, "--alpha", 3),
        *("--out", tmp_path / "x.gif"),
    )
