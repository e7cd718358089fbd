"""SeFa at layers of style-based generators, against its authors' arithmetic in numpy."""

import numpy as np
import pytest
import torch
from torch import nn

from discovery.face import discover
from discovery.methods.closed_form import SefaSearch
from discovery.methods.settings import SefaSettings
from generators.layered import seen_at
from generators.styled import StyledGenerator, StyledNetwork, Styling
from toolkit.compute.engine import Engine

CPU = Engine(torch.device("cpu"), bf16=False)
ROWS = (4, 7, 9, 5, 6)  # of the modulations of the layers, the first of which places the image


class Placed(StyledNetwork):
    """A network of which only the modulations matter."""

    def __init__(self, weights, drawing_layers=None):
        super().__init__()
        self.weights = weights
        self.latent_dim = self.style_dim = weights[0].shape[1]
        self.num_layers, self.image_size = len(weights), 8
        self.drawing_layers = drawing_layers
        self.mapping = nn.Identity()

    def forward(self, w, noises=None):
        return w.mean(dim=1)[:, :3, None, None].expand(-1, -1, 8, 8)

    def modulations(self):
        return self.weights


def random_weights():
    rng = np.random.default_rng(0)
    return [torch.tensor(rng.normal(size=(rows, 6)), dtype=torch.float32) for rows in ROWS]


def authors(weights):
    """Their factorisation: the layers side by side, columns of unit length, eigenvectors of W W^T, here sorted."""
    joined = np.concatenate([weight.numpy().T for weight in weights], axis=1).astype(np.float64)
    joined /= np.linalg.norm(joined, axis=0, keepdims=True)
    values, vectors = np.linalg.eig(joined @ joined.T)
    order = np.argsort(-values)
    return values[order], vectors.T[order]


def found(generator, layers=None, **changes):
    return SefaSearch(seen_at(generator, layers), SefaSettings(**changes), CPU).result().directions


@pytest.mark.parametrize(
    ("layers", "chosen"), [(None, range(5)), ("all", range(5)), ("1-2", (1, 2)), ("0,3-4", (0, 3, 4))]
)
def test_directions_of_layers_are_the_authors(layers, chosen):
    weights = random_weights()
    made = found(StyledGenerator(Placed(weights), "placed"), layers)
    values, vectors = authors([weights[layer] for layer in chosen])
    np.testing.assert_allclose(made.scores["eigenvalue"], values, rtol=1e-5)
    np.testing.assert_allclose(np.abs((made.vectors.numpy() * vectors).sum(axis=1)), 1, atol=1e-5)


def test_a_range_of_layers_changes_the_answer():
    """Layer 0 reads the first number alone, layer 1 the second, more often; layer 2 reads the third most of all."""
    eye = torch.eye(4)
    generator = StyledGenerator(Placed([eye[[0, 0]], eye[[1] * 3], eye[[2] * 9]]), "axes")
    assert found(generator).vectors[0].tolist() == [0, 0, 1, 0]
    assert found(generator, "0-1").vectors[0].tolist() == [0, 1, 0, 0]
    assert found(generator, "0").vectors[0].tolist() == [1, 0, 0, 0]
    assert found(generator, "0-1").scores["eigenvalue"] == [3, 2, 0, 0]


def test_layers_that_only_place_or_colour_are_left_out_unless_they_are_named():
    weights = random_weights()
    generator = StyledGenerator(Placed(weights, range(1, 4)), "placed")
    made = found(generator)
    np.testing.assert_allclose(made.scores["eigenvalue"], authors(weights[1:4])[0], rtol=1e-5)
    assert made.layers.tolist() == [[False, True, True, True, False]] * 6
    named = found(generator, "0,4")
    np.testing.assert_allclose(named.scores["eigenvalue"], authors([weights[0], weights[4]])[0], rtol=1e-5, atol=1e-6)


def test_discovering_saves_which_layers_the_directions_move(tmp_path):
    generator = StyledGenerator(Placed(random_weights(), range(1, 4)), "placed")
    made = discover(generator, "sefa", out=tmp_path / "all", directions=2)
    assert made.layers.tolist() == [[False, True, True, True, False]] * 2
    assert (tmp_path / "all" / "report.html").is_file()
    narrow = discover(generator, "sefa", out=tmp_path / "narrow", directions=2, layers="1-2")
    assert narrow.layers.tolist() == [[False, True, True, False, False]] * 2
    np.testing.assert_allclose(narrow.scores["eigenvalue"], authors(random_weights()[1:3])[0][:2], rtol=1e-5)


def test_in_z_there_is_one_layer():
    network = Placed(random_weights(), range(1, 4))
    network.mapping.register_buffer("weight", torch.eye(6)[:2])
    made = found(StyledGenerator(network, "placed", Styling(space="z")))
    assert made.layers is None
    assert made.scores["eigenvalue"] == [1, 1, 0, 0, 0, 0]
