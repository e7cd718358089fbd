import json
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from bundle_writing import write_bundle
from golden_fill import tf_fill

from generators.protocol import Latents
from generators.published.biggan.generator import load_bigbigan
from generators.published.biggan.network import BIGBIGAN, BigGANNetwork, published_shapes
from generators.tensorflow.hub import convert_tf_variables, module_variables
from toolkit.errors import UserError

# The widths of the real module (ch 96) and the same ones at ch 8.
NARROW = {24576: 2048, 1536: 128, 768: 64, 384: 32, 192: 16, 96: 8, 24: 2}


class FilledVariables(Mapping):
    """TF variables that are filled when read, since moving averages double the module's 70 million numbers."""

    def __init__(self, spec):
        self.spec = spec

    def __getitem__(self, name):
        return tf_fill(0, name, self.spec[name])

    def __iter__(self):
        return iter(self.spec)

    def __len__(self):
        return len(self.spec)

    def __contains__(self, name):
        return name in self.spec


@pytest.fixture
def narrow(golden):
    spec = json.loads(str(golden("tf_conversion")["tf_spec_json"]))
    return FilledVariables({name: [NARROW.get(n, n) for n in size] for name, size in spec.items()})


def eight_values(tensor):
    flat = tensor.numpy().astype(np.float64).flatten()
    return [flat.sum(), np.abs(flat).sum(), *flat[np.linspace(0, flat.size - 1, 8).astype(int)]]


def assert_is_the_originals(state, arrays):
    """Compare a converted state with the original converter's result, key by key."""
    names = [name for name in arrays["torch_keys"].tolist() if name not in set(arrays["missing"].tolist())]
    assert sorted(state) == sorted(names)
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == {
        name: size for name, size in published_shapes(BIGBIGAN).items() if not name.endswith(".sv0")
    }
    expected = dict(zip(arrays["torch_keys"].tolist(), arrays["checksums"], strict=True))
    for name, tensor in state.items():
        ours = eight_values(tensor)
        np.testing.assert_array_equal(ours[2:], expected[name][2:], err_msg=name)
        np.testing.assert_allclose(ours[:2], expected[name][:2], rtol=1e-9, atol=1e-6, err_msg=name)


def test_conversion_through_a_checkpoint_file_is_the_originals(golden, tmp_path):
    arrays = golden("tf_conversion")
    spec = json.loads(str(arrays["tf_spec_json"]))
    read = FilledVariables({name: size for name, size in spec.items() if f"{name}/ema_0.9999" not in spec})
    write_bundle(tmp_path / "variables" / "variables", read, shards=2)
    with module_variables(tmp_path) as variables:
        state = convert_tf_variables(variables)
    assert_is_the_originals(state, arrays)
    with torch.no_grad():
        image = BigGANNetwork(BIGBIGAN, state)(torch.from_numpy(arrays["z"][:1]), torch.tensor([0]))[0]
    # The stored image is float16, whose step is 2**-11 close to 1.
    np.testing.assert_allclose(image.numpy(), arrays["out_first_sample"].astype(np.float32), atol=5e-4)


def test_converted_state_loads_as_a_published_file(narrow, tmp_path):
    state = convert_tf_variables(narrow)
    assert torch.equal(state["shared.weight"], state["shared.weight"][:1].expand(1000, 128))
    assert all(tensor.dtype == torch.float32 and tensor.is_contiguous() for tensor in state.values())
    torch.save(state, tmp_path / "converted.pth")
    generator = load_bigbigan(tmp_path / "converted.pth")
    assert (generator.network.shape.ch, generator.latent_dim, generator.image_size) == (8, 120, 128)
    with torch.no_grad():
        assert generator(Latents(torch.randn(1, 120))).std() > 0.1


@pytest.mark.parametrize(
    "name",
    [
        "GenZ/G_linear/w/ema_0.9999",
        "linear/w/ema_0.9999",
        "GBlock_4/BatchNorm_1/offset/w/ema_0.9999",
        "GBlock_2/BatchNorm/accumulated_var",
        "attention/o_conv/u0",
        "conv_2d/b/ema_0.9999",
    ],
)
def test_missing_variable_is_named(name, narrow):
    full = f"GenEncWrapper/Generator/{name}"
    del narrow.spec[full]
    with pytest.raises(UserError, match=rf"the TF variable {full} is missing; give the variables of the hub module"):
        convert_tf_variables(narrow)


@pytest.mark.parametrize("scope", ["module/", "module_1/"])
def test_scope_around_the_module_makes_no_difference(scope, narrow):
    state = convert_tf_variables(narrow)
    scoped = convert_tf_variables({scope + name: narrow[name] for name in narrow})
    assert all(torch.equal(scoped[name], tensor) for name, tensor in state.items())


def test_two_modules_in_one_checkpoint_are_refused(narrow):
    both = {scope + name: np.zeros(1) for scope in ("module/", "module_1/") for name in narrow}
    with pytest.raises(UserError, match=r"generators under 'module/' and 'module_1/'; give one module's variables"):
        convert_tf_variables(both)
