"""GANSpace, SeFa, contrast and the controls, on generators whose directions are known."""

import dataclasses

import pytest
import torch
from torch import nn

from discovery.methods.closed_form import CoordinateSearch, RandomSearch, SefaSearch
from discovery.methods.contrast import ContrastSearch, edges, radial_map
from discovery.methods.ganspace.features import Features
from discovery.methods.ganspace.method import GanspaceSearch
from discovery.methods.ganspace.principal_components import IncrementalPCA, Regression
from discovery.methods.settings import (
    ContrastSettings,
    CoordinateSettings,
    GanspaceSettings,
    RandomSettings,
    SefaSettings,
)
from generators.protocol import Inspectable, Latents
from generators.scene import SceneGenerator
from toolkit.compute.engine import Engine
from toolkit.errors import UserError
from toolkit.streams import Stream

CPU = Engine(torch.device("cpu"), bf16=False)


class Mixed:
    """A linear layer A = sum of s_k u_k v_k^T with known singular vectors v_k, then tanh, then an image."""

    name = "mixed"
    latent_dim = 6
    image_size = 8
    feature_layer = "layers.first"

    def __init__(self, mapped: bool = False):
        self.left = torch.linalg.qr(torch.randn(40, 6))[0]
        self.right = torch.linalg.qr(torch.randn(6, 6))[0]
        self.strengths = torch.tensor([5.0, 4.0, 3.0, 2.0, 1.0, 0.5])
        first = nn.Linear(6, 40, bias=True)
        first.weight.data = (self.left * self.strengths) @ self.right.T
        self.network = nn.ModuleDict(
            {"layers": nn.ModuleDict({"first": first, "image": nn.Linear(40, 3 * 64), "idle": nn.Identity()})}
        ).requires_grad_(False)
        self.finished = 0
        if mapped:
            self.feature_layer = "latents"

    def sample(self, count, rng, truncation=None):
        z = rng.normal(count, 6, truncation)
        return Latents(z * self.strengths @ self.right.T + 1 if self.feature_layer == "latents" else z)

    def first_weights(self):
        return [self.network["layers"]["first"].weight]

    def __call__(self, latents):
        layers = self.network["layers"]
        images = layers["image"](torch.tanh(layers["first"](latents.z))).tanh().unflatten(1, (3, 8, 8))
        self.finished += 1
        return images

    def to(self, device):
        return self


def agreement(vectors, truth):
    """Return |cosine| of each direction with its true one (columns of `truth`)."""
    return (vectors @ truth[:, : len(vectors)]).diagonal().abs()


def by_ganspace(generator, **changes):
    settings = dataclasses.replace(GanspaceSettings(samples=400, batch=50, directions=4), **changes)
    search = GanspaceSearch(generator, settings, CPU)
    steps = list(search.steps())
    assert len(steps) == search.total
    return search.result().directions, steps


def found_by(search_class, generator, settings):
    """The directions of a method in closed form."""
    search = search_class(generator, settings, CPU)
    assert list(search.steps()) == []
    assert search.state is None
    return search.result().directions


def resumed(search_class, generator, settings, count):
    """A search that was begun anew from the state of another after `count` steps, and taken to its end."""
    broken, again = (search_class(generator, settings, CPU) for _ in range(2))
    steps = broken.steps()
    for _ in range(count):
        next(steps)
    again.state.load_state_dict(broken.state.state_dict())
    list(again.steps())
    return again


def test_incremental_components_are_those_of_all_rows_at_once():
    rows = torch.randn(300, 4).double() @ torch.randn(4, 30).double() + torch.randn(30)
    pca = IncrementalPCA(rank=4)
    for batch in rows.split(47):
        pca.update(batch)
    centred = rows - rows.mean(dim=0)
    _, singular, components = torch.linalg.svd(centred, full_matrices=False)
    torch.testing.assert_close(pca.mean, rows.mean(dim=0))
    torch.testing.assert_close(agreement(pca.components(), components[:4].T), torch.ones(4).double())
    torch.testing.assert_close(pca.deviations(), singular[:4] / 299**0.5)
    assert float(pca.shares().sum()) == pytest.approx(1)


def test_components_that_are_not_kept_lower_the_explained_share():
    rows = torch.randn(500, 6) * torch.tensor([8.0, 4.0, 1.0, 1.0, 1.0, 1.0])
    pca = IncrementalPCA(rank=2)
    for batch in rows.split(50):
        pca.update(batch)
    assert float(pca.shares().sum()) == pytest.approx(80 / 84, abs=0.02)


def test_regression_finds_slopes_beside_an_intercept():
    inputs, slopes = torch.randn(200, 3), torch.randn(3, 5)
    regression = Regression()
    for rows in inputs.split(64):
        regression.update(rows, rows @ slopes + 7)
    torch.testing.assert_close(regression.slopes().float(), slopes, atol=1e-4, rtol=0)


def test_deviations_and_mean_of_the_targets_come_with_the_regression():
    targets = torch.randn(300, 4).double() @ torch.randn(4, 4).double() + 9
    regression, units = Regression(), torch.linalg.qr(torch.randn(4, 4).double())[0]
    for rows in targets.split(64):
        regression.update(torch.randn(len(rows), 2), rows)
    torch.testing.assert_close(regression.mean(), targets.mean(dim=0))
    torch.testing.assert_close(regression.deviations(units), (targets @ units.T).std(dim=0))


def test_ganspace_carries_components_of_a_linear_layer_back_to_its_singular_vectors():
    generator = Mixed()
    found, steps = by_ganspace(generator, samples=4000, batch=500)
    assert (agreement(found.vectors, generator.right) > 0.98).all()
    assert [step.step for step in steps] == list(range(1, 17))
    variances = generator.strengths**2 / (generator.strengths**2).sum()
    torch.testing.assert_close(torch.tensor(found.scores["variance"]), variances[:4], atol=0.08, rtol=0)
    # One deviation of a component of this layer is a latent step of length 1, as is one of the latents themselves.
    torch.testing.assert_close(torch.tensor(found.scores["length"]), torch.ones(4), atol=0.15, rtol=0)
    torch.testing.assert_close(torch.tensor(found.scores["sigma"]), torch.ones(4), atol=0.05, rtol=0)
    torch.testing.assert_close(torch.tensor(found.scores["centre"]), torch.zeros(4), atol=0.05, rtol=0)


def test_ganspace_stops_the_forward_pass_at_the_layer():
    generator = Mixed()
    by_ganspace(generator)
    assert generator.finished == 0


def test_ganspace_on_mapped_latents_needs_no_regression():
    generator = Mixed(mapped=True)
    found, steps = by_ganspace(generator)
    assert len(steps) == 8
    assert (agreement(found.vectors, generator.right) > 0.97).all()
    torch.testing.assert_close(torch.tensor(found.scores["length"]), generator.strengths[:4], atol=0.5, rtol=0)
    assert found.scores["sigma"] == pytest.approx(found.scores["length"])
    # The latents lie about the point (1, ..., 1).
    torch.testing.assert_close(torch.tensor(found.scores["centre"]), found.vectors.sum(dim=1), atol=1, rtol=0)


def test_ganspace_of_a_generator_that_shows_no_inside_takes_the_images():
    scene = SceneGenerator(image_size=32, mixing_seed=3)
    assert not isinstance(scene, Inspectable)
    found, _ = by_ganspace(scene, directions=6, samples=600)
    assert found.card["layer"] == "images"
    ground = (found.vectors @ scene.direction("background_brightness")).abs()
    assert ground[0] > 0.8


def test_ganspace_resumes_where_it_stopped():
    generator, settings = Mixed(), GanspaceSettings(samples=100, batch=30, directions=3)
    whole, again = resumed(GanspaceSearch, generator, settings, 0), resumed(GanspaceSearch, generator, settings, 5)
    assert torch.equal(whole.result().directions.vectors, again.result().directions.vectors)


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        ("layers.last", r"mixed has no layer 'layers\.last'; choose one of layers, layers\.first, .*images"),
        ("latents", "come from a fixed distribution"),
    ],
)
def test_layers_that_cannot_be_analysed_are_refused(layer, text):
    with pytest.raises(UserError, match=text):
        Features(Mixed(), layer)


def test_a_layer_that_no_image_needs_is_refused():
    generator = Mixed()
    with pytest.raises(UserError, match=r"'layers\.idle' of mixed is not used"):
        Features(generator, "layers.idle")(generator.sample(2, Stream(0, "z")))


def test_too_few_samples_and_features_are_refused():
    with pytest.raises(UserError, match="8 directions need more than 8 samples; give more samples"):
        GanspaceSearch(Mixed(), GanspaceSettings(samples=8, batch=2, directions=8), CPU)
    generator = Mixed()
    generator.network["layers"]["first"].weight.data[:] = generator.left[:, :1] @ generator.right[:, :1].T
    with pytest.raises(UserError, match="vary along 1 directions only; give directions=1"):
        by_ganspace(generator)


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_sefa_finds_the_singular_vectors_whatever_the_scale(scale):
    generator = Mixed()
    generator.network["layers"]["first"].weight.data *= scale
    found = found_by(SefaSearch, generator, SefaSettings(unit_rows=False))
    torch.testing.assert_close(agreement(found.vectors, generator.right), torch.ones(6), atol=1e-4, rtol=0)
    expected = (scale * generator.strengths) ** 2
    torch.testing.assert_close(torch.tensor(found.scores["eigenvalue"]), expected, rtol=1e-3, atol=0)


def test_sefa_with_unit_rows_gives_every_row_the_same_say():
    generator = Mixed()
    weight = generator.network["layers"]["first"].weight.data
    weight[:] = 0.001 * torch.eye(6)[0]
    weight[0] = 100 * torch.eye(6)[1]
    assert found_by(SefaSearch, generator, SefaSettings()).vectors[0].abs().argmax() == 0
    assert found_by(SefaSearch, generator, SefaSettings(unit_rows=False)).vectors[0].abs().argmax() == 1


def assert_largest_entries_are_positive(vectors):
    assert (vectors.gather(1, vectors.abs().argmax(dim=1, keepdim=True)) > 0).all()


def test_sefa_gives_the_same_directions_whichever_signs_the_eigenvectors_have(monkeypatch):
    generator, eigh = Mixed(), torch.linalg.eigh
    found = found_by(SefaSearch, generator, SefaSettings()).vectors
    signs = torch.tensor([1.0, -1, -1, 1, -1, 1], dtype=torch.float64)
    monkeypatch.setattr(torch.linalg, "eigh", lambda matrix: (eigh(matrix)[0], eigh(matrix)[1] * signs))
    assert torch.equal(found_by(SefaSearch, generator, SefaSettings()).vectors, found)
    assert_largest_entries_are_positive(found)


@pytest.mark.parametrize("mapped", [False, True])
def test_ganspace_gives_the_same_directions_whichever_signs_the_components_have(mapped, monkeypatch):
    generator = Mixed(mapped=mapped)
    found = by_ganspace(generator)[0].vectors
    components, signs = IncrementalPCA.components, torch.tensor([-1.0, 1, -1, -1, 1, -1, 1, -1], dtype=torch.float64)
    turned = lambda pca: components(pca) * signs[: len(components(pca)), None]  # noqa: E731
    monkeypatch.setattr(IncrementalPCA, "components", turned)
    torch.testing.assert_close(by_ganspace(generator)[0].vectors, found, rtol=0, atol=1e-6)
    assert_largest_entries_are_positive(found)


def test_sefa_says_what_it_needs():
    with pytest.raises(UserError, match="which scene does not show; use method=ganspace"):
        found_by(SefaSearch, SceneGenerator(), SefaSettings())


def test_controls_are_orthonormal_and_named_by_the_seed():
    generator = Mixed()
    assert torch.equal(
        found_by(CoordinateSearch, generator, CoordinateSettings(directions=4)).vectors, torch.eye(6)[:4]
    )
    found = found_by(RandomSearch, generator, RandomSettings()).vectors
    torch.testing.assert_close(found @ found.T, torch.eye(6), atol=1e-5, rtol=0)
    assert torch.equal(found[:4], found_by(RandomSearch, generator, RandomSettings(directions=4)).vectors)
    assert not torch.allclose(found, found_by(RandomSearch, generator, RandomSettings(seed=1)).vectors)
    with pytest.raises(UserError, match="7 directions are more than the 6 latent numbers of mixed"):
        found_by(RandomSearch, generator, RandomSettings(directions=7))


def test_edges_are_sobel_magnitudes_of_the_grey_image():
    ramp = torch.arange(8.0).expand(1, 3, 8, 8)
    magnitudes = edges(ramp)
    torch.testing.assert_close(magnitudes[0, :, 1:-1], torch.full((8, 6), 0.9999), atol=1e-3, rtol=0)
    torch.testing.assert_close(edges(ramp.mT)[0, 1:-1], torch.full((6, 8), 0.9999), atol=1e-3, rtol=0)
    assert edges(torch.zeros(1, 3, 8, 8)).max() < 2e-3


def test_radial_map_rises_outward_and_has_no_mean():
    outward = radial_map(33, 33, torch.device("cpu"))
    assert abs(float(outward.mean())) < 1e-5
    assert outward.argmin() == 16 * 33 + 16
    assert float(outward[0, 0] - outward[16, 16]) == pytest.approx(4 * 2**0.5, abs=1e-4)


@pytest.fixture(scope="module")
def optimised():
    scene = SceneGenerator(image_size=32, mixing_seed=5)
    search = ContrastSearch(scene, ContrastSettings(steps=60, batch=8, alpha=4.0, rate=2e-2), CPU)
    return search, list(search.steps())


def test_contrast_finds_the_direction_of_light_things_on_dark_grounds(optimised):
    search, steps = optimised
    found = search.result().directions
    truth = search.generator.contrast_direction()
    light, dark = (found.vectors @ truth).tolist()
    assert light > 0.6
    assert dark < -0.6
    assert steps[-1].loss < steps[0].loss
    assert (found.choice.index, found.choice.opposite, found.choice.alpha) == (0, 1, 4.0)
    assert torch.equal(found.opposite_shift(0, 4.0), 4 * found.vectors[1])
    assert torch.equal(found.opposite_shift(0, -4.0), 4 * found.vectors[0])


def test_contrast_resumes_where_it_stopped(optimised):
    search, _ = optimised
    again = resumed(ContrastSearch, search.generator, search.settings, 7)
    assert torch.equal(again.result().directions.vectors, search.result().directions.vectors)
