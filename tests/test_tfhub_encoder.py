import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from rounding import close
from tf_writing import write_encoder_module

from generators.tensorflow import encoder as tfhub_encoder
from generators.tensorflow.encoder import load_tfhub_encoder
from toolkit.errors import UserError
from toolkit.streams import Stream

ROOT = Path(__file__).parent.parent
ALL = ("z_sample", "z_mean", "z_stdev")
WEIGHTS = np.random.default_rng(0).standard_normal((3, 120)).astype(np.float32)


@pytest.fixture
def images():
    return torch.rand(3, 3, 256, 256) * 2 - 1


def test_folder_without_a_module_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"is no TF-Hub module: saved_model\.pb is missing; name the unpacked module's"):
        load_tfhub_encoder(tmp_path)


def test_missing_tensorflow_is_told(tmp_path, monkeypatch):
    (tmp_path / "saved_model.pb").touch()
    monkeypatch.setattr(tfhub_encoder, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'latent-segmentation-toolkit\[tensorflow\]'; or embed with an"):
        load_tfhub_encoder(tmp_path)


def test_draws_of_another_spread_are_refused():
    found = {"z_mean": torch.zeros(1, 120), "z_sample": torch.randn(1, 120), "z_stdev": torch.full((1, 120), 9.0)}
    with pytest.raises(UserError, match="does not scatter around z_mean by z_stdev"):
        tfhub_encoder._require_gaussian(found, "module")


@pytest.mark.filterwarnings("ignore")
class TestWithTensorFlow:
    """What needs the extra."""

    @pytest.fixture(autouse=True, scope="class")
    def _tensorflow(self):
        tfhub_encoder._load_torch_compilers()  # first, or later tests that make an optimiser end the process
        pytest.importorskip("tensorflow")

    @pytest.fixture(scope="class", params=[False, True], ids=["ref", "resource"])
    def encoder(self, tmp_path_factory, request, _tensorflow):
        folder = tmp_path_factory.mktemp("hub") / "module"
        write_encoder_module(folder, WEIGHTS, ALL, use_resource=request.param)
        return load_tfhub_encoder(folder)

    def test_sizes(self, encoder):
        assert (encoder.image_size, encoder.latent_dim) == (256, 120)

    def test_mean_is_the_modules(self, encoder, images):
        rng = Stream(0, "embed")
        found = encoder.embed(images, sample=False, rng=rng)
        expected = images.mean(dim=(2, 3)) @ torch.from_numpy(WEIGHTS)
        close(found, expected, depth=2, scale=1.0)  # a mean of numbers up to 1, and a product
        assert found.dtype == torch.float32
        assert rng.position == 0

    def test_draws_spread_as_the_module_says_and_do_not_depend_on_the_batch(self, encoder, images):
        mean = encoder.embed(images, sample=False, rng=Stream(0, "embed"))
        drawn = encoder.embed(images, sample=True, rng=Stream(0, "embed"))
        noise = Stream(0, "embed").normal(3, 120)
        close(drawn, mean + 0.5 * mean.exp() * noise, depth=2, scale=float(noise.abs().max()))
        rng = Stream(0, "embed")
        parts = torch.cat([encoder.embed(part, sample=True, rng=rng) for part in images.split(2)])
        close(parts, drawn, depth=2, scale=float(drawn.abs().max()))

    def test_refining_beside_tensorflow_does_not_end_the_process(self, tmp_path):
        write_encoder_module(tmp_path / "m", WEIGHTS, ALL)
        code = (
            "import sys, torch; from pathlib import Path; "
            "from generators.tensorflow.encoder import load_tfhub_encoder; "
            "load_tfhub_encoder(Path(sys.argv[1])); z = torch.zeros(1, requires_grad=True); "
            "optimiser = torch.optim.Adam([z]); z.sum().backward(); optimiser.step(); print(z.item() < 0)"
        )
        words = [sys.executable, "-c", code, str(tmp_path / "m")]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout.strip()) == (0, "True"), done.stderr

    def test_module_without_encode_is_refused(self, tmp_path):
        write_encoder_module(tmp_path / "m", WEIGHTS, ALL, signature="default")
        with pytest.raises(UserError, match="has the signatures default, but encode is needed"):
            load_tfhub_encoder(tmp_path / "m")

    def test_module_without_a_spread_is_refused(self, tmp_path):
        write_encoder_module(tmp_path / "m", WEIGHTS, ("z_sample", "z_mean"))
        with pytest.raises(UserError, match="gives no z_stdev; name a BigBiGAN module"):
            load_tfhub_encoder(tmp_path / "m")

    @pytest.mark.parametrize("name", ["saved_model.pb", "variables/variables.index"])
    def test_damaged_module_is_refused(self, name, tmp_path):
        write_encoder_module(tmp_path / "m", WEIGHTS, ALL)
        (tmp_path / "m" / name).write_bytes(b"<!DOCTYPE html>")
        with pytest.raises(UserError, match=r"TensorFlow cannot load the module .* \(.+\); download it again"):
            load_tfhub_encoder(tmp_path / "m")
