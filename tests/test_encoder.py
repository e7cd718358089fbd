"""An encoder: its sizes, its file, and what it tells of images of any side."""

import pytest
import torch
from rounding import close

from generators.encoder.network import KIND, Encoder, EncoderNetwork, EncoderShape, load_encoder
from toolkit.errors import UserError
from toolkit.files.artefacts import load_artefact, save_artefact
from toolkit.streams import Stream

SHAPE = EncoderShape(image_size=16, latent_dim=5, width=8)
DEPTH = 6  # the first convolution and norm, three in the block, the head
IMAGES = Stream(0, "encoder-tests").uniform(6, 3 * 16 * 16).float().view(6, 3, 16, 16) * 2 - 1


@pytest.fixture
def encoder() -> Encoder:
    return Encoder(EncoderNetwork(SHAPE), {"generator": "scene", "steps": 3})


@pytest.fixture
def saved(encoder, tmp_path):
    encoder.save(tmp_path / "encoder.safetensors")
    return tmp_path / "encoder.safetensors"


@pytest.mark.parametrize(("size", "channels"), [(8, [8]), (16, [8, 16]), (64, [8, 16, 32, 32])])
def test_channels_double_up_to_four_times_the_first(size, channels):
    shape = EncoderShape(size, 5, 8)
    assert shape.channels() == channels
    mean, log_spread = EncoderNetwork(shape).eval()(torch.zeros(2, 3, size, size))
    assert mean.shape == log_spread.shape == (2, 5)
    assert mean.dtype == torch.float32


@pytest.mark.parametrize("sizes", [{"image_size": 48}, {"image_size": 4}, {"latent_dim": 0}, {"width": "64"}])
def test_sizes_that_cannot_be_built(sizes):
    with pytest.raises(UserError, match="cannot be built; its side has to be 8, 16, 32, 64"):
        EncoderShape(**sizes)


def test_the_spread_stays_between_its_bounds(encoder):
    with torch.no_grad():
        encoder.network.head.bias[5:] = torch.tensor([-1e6, -1.0, 0.0, 1.0, 1e6])
        encoder.network.head.weight.zero_()
    spread = encoder(IMAGES)[1]
    expected = torch.tensor([-4.0, -0.5, 0.0, 0.5, 2.0]).exp()
    torch.testing.assert_close(spread, expected.expand(6, 5))


def test_a_saved_encoder_tells_the_same(encoder, saved):
    loaded = load_encoder(saved)
    assert (loaded.generator, loaded.latent_dim, loaded.image_size) == ("scene", 5, 16)
    assert loaded.card["steps"] == 3
    for ours, theirs in zip(loaded(IMAGES), encoder(IMAGES), strict=True):
        assert torch.equal(ours, theirs)


def test_half_precision_files_load_into_full_precision(encoder, saved):
    tensors, card = load_artefact(saved, KIND)
    save_artefact(saved, KIND, {n: t.half() if t.is_floating_point() else t for n, t in tensors.items()}, card)
    mean, _ = load_encoder(saved)(IMAGES)
    assert mean.dtype == torch.float32
    torch.testing.assert_close(mean, encoder(IMAGES)[0], atol=0.01, rtol=0.01)


def test_images_of_another_side_are_resized(encoder):
    larger = IMAGES.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    mean, spread = encoder(larger)
    assert mean.shape == spread.shape == (6, 5)
    smooth = torch.linspace(-1, 1, 16).expand(1, 3, 16, 16)
    finer = torch.nn.functional.interpolate(smooth, size=(64, 64), mode="bilinear")
    torch.testing.assert_close(encoder(finer)[0], encoder(smooth)[0], atol=0.02, rtol=0.02)


def test_means_ignore_the_stream_and_draws_scatter_around_them(encoder):
    rng = Stream(3, "draws")
    mean, spread = encoder(IMAGES)
    assert torch.equal(encoder.embed(IMAGES, sample=False, rng=rng), mean)
    assert rng.position == 0
    drawn = encoder.embed(IMAGES, sample=True, rng=rng)
    largest = float(((drawn.abs() + mean.abs()) / spread).max())
    close((drawn - mean) / spread, Stream(3, "draws").normal(6, 5), depth=1, scale=largest)


def test_a_draw_does_not_depend_on_the_batch(encoder):
    together, parted = Stream(3, "draws"), Stream(3, "draws")
    whole = encoder.embed(IMAGES, sample=True, rng=together)
    parts = torch.cat([encoder.embed(part, sample=True, rng=parted) for part in IMAGES.split([1, 3, 2])])
    close(whole, parts, depth=DEPTH)


@pytest.mark.parametrize(
    ("card", "text"),
    [
        ({"shape": None}, "names no network sizes"),
        ({"shape": {"image_size": 16, "depth": 3}}, "names no network sizes"),
        ({"shape": {"image_size": 24, "latent_dim": 5, "width": 8}}, "cannot be built"),
        ({"shape": {"image_size": 16, "latent_dim": 6, "width": 8}}, "does not fit its own card"),
        ({"generator": None}, "names no generator"),
    ],
)
def test_files_that_hold_no_encoder(saved, card, text):
    tensors, before = load_artefact(saved, KIND)
    save_artefact(saved, KIND, tensors, {**before, **card})
    with pytest.raises(UserError, match=text) as caught:
        load_encoder(saved)
    assert "\n" not in str(caught.value)


def test_a_file_of_another_kind(tmp_path):
    save_artefact(tmp_path / "g.safetensors", "compact generator", {}, {})
    with pytest.raises(UserError, match="is a compact generator artefact, but an encoder is needed"):
        load_encoder(tmp_path / "g.safetensors")


def test_half_precision_files_are_half_as_large_and_nearly_equal(encoder, saved, tmp_path):
    encoder.save(tmp_path / "half.safetensors", half=True)
    assert (tmp_path / "half.safetensors").stat().st_size < 0.6 * saved.stat().st_size
    torch.testing.assert_close(load_encoder(tmp_path / "half.safetensors")(IMAGES), encoder(IMAGES), atol=2e-3, rtol=0)
