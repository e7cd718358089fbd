import json

import numpy as np
import pytest
import torch
from golden_fill_generators import filled, layer_statistics, layout, sngan_value
from rounding import close, close_layers

from generators.catalogue import open_generator
from generators.protocol import Latents, render_twins
from generators.published.sngan import SNGAN_32, SNGAN_64, SNGANShape, infer_shape, published_shapes
from toolkit.errors import UserError

TINY_32 = SNGANShape((8, 8, 4, 4), latent_dim=6, image_channels=1)
TINY_64 = SNGANShape((8, 6, 6, 4, 4), latent_dim=5)
PUBLISHED = {"sngan_mnist": SNGAN_32, "sngan_anime": SNGAN_64}
Z = torch.linspace(-2, 2, 12).view(2, 6)


def prefixed(state, prefix="model."):
    return {prefix + name: value for name, value in state.items()}


def tiny(shape=TINY_32):
    return filled(published_shapes(shape), sngan_value)


def opened(folder, state, card=None):
    torch.save(state, folder / "generator.pt")
    if card is not None:
        (folder / "args.json").write_text(json.dumps(card))
    return open_generator(str(folder))


@pytest.fixture(scope="module", params=PUBLISHED)
def published(request, tmp_path_factory):
    """The name of a published folder and the generator opened from one with its very keys and shapes."""
    shape = PUBLISHED[request.param]
    card = {"model": f"sn_resnet{shape.image_size}", "latent_dim": 128, "image_channels": shape.image_channels}
    state = filled(layout(request.param), sngan_value)
    return request.param, opened(tmp_path_factory.mktemp(request.param), state, {**card, "gen_sn": False})


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_layout_is_that_of_the_original(name):
    assert prefixed(published_shapes(PUBLISHED[name])) == layout(name)


@pytest.mark.parametrize("shape", [SNGAN_32, SNGAN_64, TINY_32, TINY_64])
def test_sizes_are_told_by_the_tensors(shape):
    state = {name: torch.empty(size, device="meta") for name, size in published_shapes(shape).items()}
    assert infer_shape(state, SNGAN_64 if shape.num_blocks == 4 else SNGAN_32) == shape


def test_fill_has_its_fingerprint():
    weight = sngan_value(0, "model.0.weight", (4096, 128))
    np.testing.assert_allclose(weight.flat[:3], [-0.0563782, -0.0887250, 0.0413443], atol=1e-7)


def test_images_and_layers_are_the_originals(published, golden):
    name, generator = published
    arrays = {key: torch.from_numpy(value) for key, value in golden(name).items() if value.dtype == np.float32}
    network = generator.network
    seen = []
    hooks = [
        layer.register_forward_hook(lambda _layer, _given, h: seen.append(layer_statistics(h[:2])))
        for layer in (network.linear, *network.blocks, network.norm, network.to_image)
    ]
    with torch.no_grad():
        before, after = render_twins(generator, Latents(arrays["z"]), arrays["r"] * arrays["direction"])
    for hook in hooks:
        hook.remove()
    channels = network.channels
    depth = 2 + 3 * len(network.blocks)  # first and last; in a block the doubling by differences sums twice
    close(before[:, :channels], arrays["out"], depth=depth)
    close(after[:, :channels], arrays["out_shifted"], depth=depth)
    stats = arrays["layer_stats"].numpy()
    last = len(stats) - 3  # behind the blocks: the norm alone, its ReLU, the convolution, tanh
    expected = stats[[0, *range(2, last - 1), last, last + 1]]
    close_layers(seen, expected, depth=depth)


def test_names_and_sizes_of_the_published_generators(published):
    name, generator = published
    side = PUBLISHED[name].image_size
    assert (generator.name, generator.latent_dim, generator.image_size) == (f"sngan{side}", 128, side)


def test_grey_images_come_three_times(tmp_path):
    generator = opened(tmp_path, prefixed(tiny()))
    images = generator(Latents(Z))
    assert images.shape == (2, 3, 32, 32)
    assert generator.network.channels == 1
    assert torch.equal(images, images[:, :1].expand(-1, 3, -1, -1))


def test_the_later_copy_of_a_convolution_counts(tmp_path):
    state = tiny()
    images = opened(tmp_path, state)(Latents(Z))
    first_copies = {name: value + 1 if ".conv" in name else value for name, value in state.items()}
    assert torch.equal(opened(tmp_path, first_copies)(Latents(Z)), images)
    for name in ("2.model.3.weight", "3.model.6.bias"):
        assert not torch.equal(opened(tmp_path, {**state, name: state[name] + 1})(Latents(Z)), images)


def test_names_without_prefix_first_copies_and_counters_open_too(tmp_path):
    state = tiny()
    fewer = {name: t for name, t in state.items() if ".conv" not in name and not name.endswith("num_batches_tracked")}
    assert len(state) - len(fewer) == 3 * 4 + 3 * 2 + 1
    images = opened(tmp_path, prefixed(state))(Latents(Z))
    for other in (state, fewer, prefixed(fewer)):
        assert torch.equal(opened(tmp_path, other)(Latents(Z)), images)


def test_blocks_that_keep_their_channels_have_no_convolution_beside(tmp_path):
    generator = opened(tmp_path, prefixed(tiny(TINY_64)))
    assert [block.bypass is None for block in generator.network.blocks] == [False, True, False, True]
    assert generator(Latents(torch.ones(1, 5))).shape == (1, 3, 64, 64)


@pytest.mark.parametrize(
    ("card", "text"),
    [
        ({"model": "sn_resnet64"}, r"args\.json says model sn_resnet64, but the weights beside it have sn_resnet32"),
        ({"latent_dim": 128}, r"args\.json says latent_dim 128, but the weights beside it have 6"),
        ({"image_channels": 3}, r"args\.json says image_channels 3, but the weights beside it have 1"),
        ([128], r"args\.json is no table of settings"),
    ],
)
def test_a_card_of_other_sizes_is_refused(card, text, tmp_path):
    with pytest.raises(UserError, match=text) as caught:
        opened(tmp_path, prefixed(tiny()), card)
    assert "\n" not in str(caught.value)


def test_a_card_of_other_programs_and_files_of_other_names_are_not_asked(tmp_path):
    opened(tmp_path, prefixed(tiny()), {"gan_type": "SN_MNIST", "seed": 2})
    (tmp_path / "args.json").write_text('{"latent_dim": 999}')
    (tmp_path / "generator.pt").rename(tmp_path / "mine.pt")
    assert open_generator(str(tmp_path / "mine.pt")).latent_dim == 6


def test_wrong_names_give_no_generator(tmp_path):
    for state in (prefixed(tiny(), "gen."), {}, {k: v for k, v in tiny().items() if k != "0.weight"}):
        with pytest.raises(UserError):
            opened(tmp_path, state)


def test_images_of_two_channels_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"makes images of 2 channels; grey \(1\) or RGB \(3\) are needed"):
        opened(tmp_path, filled(published_shapes(SNGANShape((4, 4, 4, 4), 3, image_channels=2))))


@pytest.mark.parametrize("prefix", ["", "model.", "module."])
def test_prefixes_that_training_puts_before_all_names_are_taken_off(tmp_path, prefix):
    assert opened(tmp_path, prefixed(tiny(), prefix)).latent_dim == 6
