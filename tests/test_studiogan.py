from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from golden_fill_generators import layer_statistics
from golden_modern import channel_statistics, filled_state, golden_arrays, table

from generators.catalogue import open_generator
from generators.layers.conditional import ConditionalGenerator
from generators.layouts import Weights, fits, open_published
from generators.protocol import Generator, Inspectable, Latents
from generators.published.studiogan.layout import StudioGANShape, infer_shape, published_shapes
from generators.published.studiogan.network import StudioGANNetwork
from generators.spec import Options
from toolkit.errors import UserError
from toolkit.streams import Stream

TOLERANCE = {"studiogan_sngan_32": 2e-5, "studiogan_biggan_32": 1e-5}
TABLES = ("studiogan_sngan_32", "studiogan_biggan_cifar10_32", "studiogan_biggan_128")
SNGAN = StudioGANShape((12, 8, 8), chunk=5)
BIGGAN = StudioGANShape(
    (16, 16, 8, 8), attention=frozenset({2}), chunk=3, num_classes=4, class_dim=6, embedded=True, spectral=True
)


def opened(folder, state):
    path = folder / "model=G_ema-best-weights-step=80.pth"
    torch.save({"state_dict": state, "epoch": 9, "best_fid": 7.5}, path)
    return open_generator(str(path))


def state_of(shape):
    return filled_state("studiogan", published_shapes(shape))


def refused(state, path, text):
    with pytest.raises(UserError, match=text) as caught:
        open_published(Weights(state, path), Options({}, "file"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", TOLERANCE)
def test_images_and_layers_are_the_originals(name, tmp_path):
    arrays = golden_arrays(name)
    generator = opened(tmp_path, filled_state("studiogan", table(name)))
    network, seen = generator.network, []
    scale, offset = network.scale[:, :, None, None], network.offset[:, :, None, None]
    for module in (network.linear, *network.blocks):
        module.register_forward_hook(lambda _module, _inputs, h: seen.append(layer_statistics(h)))
    network.blocks[-1].register_forward_hook(lambda _m, _i, h: seen.append(layer_statistics(h * scale + offset)))
    with torch.no_grad():
        images = generator(Latents(torch.from_numpy(arrays["z"]), torch.from_numpy(arrays["classes"])))
    assert len(seen) == len(arrays["layer_names"])
    torch.testing.assert_close(torch.tensor(seen), torch.from_numpy(arrays["layer_stats"]), atol=1e-4, rtol=1e-4)
    for ours, theirs in ((images, "out"), (channel_statistics(images), "out_channel_stats")):
        torch.testing.assert_close(ours, torch.from_numpy(arrays[theirs]), atol=TOLERANCE[name], rtol=0)


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_recognised_and_missing_entries_named(name, tmp_path):
    shapes = table(name)
    state = {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}
    assert fits(state)
    shape = infer_shape(state)
    assert published_shapes(shape) == shapes
    assert shape.image_size == int(name.rpartition("_")[2])
    del state["bn4.running_var"]
    refused(state, tmp_path, r"a BigGAN or SNGAN \(StudioGAN layout\) most, .*missing: bn4.running_var; check")


def test_the_sizes_of_the_large_one_are_seen_in_its_entries():
    state = {key: torch.empty(shape, device="meta") for key, shape in table("studiogan_biggan_128").items()}
    expected = StudioGANShape((1536, 1536, 768, 384, 192, 96), frozenset({4}), 20, 1000, 128, True, True)
    assert infer_shape(state) == expected
    assert (expected.latent_dim, expected.image_size) == (120, 128)


@pytest.mark.parametrize(
    "shape",
    [
        SNGAN,
        replace(SNGAN, spectral=True),
        replace(SNGAN, attention=frozenset({1})),
        BIGGAN,
        replace(BIGGAN, spectral=False),
        replace(BIGGAN, attention=frozenset()),
        replace(BIGGAN, attention=frozenset({1, 4})),
    ],
)
def test_all_that_a_yaml_file_states_is_seen_in_the_entries(shape, tmp_path):
    state = state_of(shape)
    assert infer_shape(state) == shape
    generator = opened(tmp_path, state)
    assert isinstance(generator, Generator)
    assert isinstance(generator, Inspectable)
    assert isinstance(generator, ConditionalGenerator) == bool(shape.num_classes)
    latents = generator.sample(2, Stream(0, "z"))
    images = generator(latents)
    assert images.shape == (2, 3, shape.image_size, shape.image_size)
    assert images.std() > 0.01
    weights = torch.cat(generator.first_weights())
    assert ((weights != 0).any(0)).all()


def test_blocks_are_those_of_the_specification_in_doubles(tmp_path):
    """One block, step by step: eps 1e-4, 1 + gain, doubled to the nearest, the shortcut behind its doubling."""
    state = state_of(BIGGAN)
    network = opened(tmp_path, state).network
    x, y, chunk = torch.randn(2, 16, 4, 4), torch.tensor([1, 3]), torch.randn(2, 3)
    name, condition = "blocks.0.0", torch.cat([state["shared.weight"][y], chunk], dim=1).double()

    def weight(layer):
        w, u, v = (state[f"{name}.{layer}.weight_{part}"].double() for part in ("orig", "u", "v"))
        return w / (u @ w.flatten(1) @ v)

    def conv(layer, h):
        return F.conv2d(h, weight(layer), state[f"{name}.{layer}.bias"].double(), padding="same")

    h = x.double()
    for k in (1, 2):
        mean, var = (state[f"{name}.bn{k}.bn.running_{part}"].double()[:, None, None] for part in ("mean", "var"))
        gain, bias = (F.linear(condition, weight(f"bn{k}.{part}"))[:, :, None, None] for part in ("gain", "bias"))
        h = F.relu((h - mean) / (var + 1e-4).sqrt() * (1 + gain) + bias)
        h = conv(f"conv2d{k}", F.interpolate(h, scale_factor=2) if k == 1 else h)
    expected = h + conv("conv2d0", F.interpolate(x.double(), scale_factor=2))
    torch.testing.assert_close(network.blocks[0](x, y, chunk).double(), expected, atol=1e-5, rtol=1e-5)


def test_classes_are_chosen_and_unknown_ones_refused(tmp_path):
    generator = opened(tmp_path, state_of(BIGGAN))
    path = tmp_path / "model=G_ema-best-weights-step=80.pth"
    assert generator.classes == (0, 1, 2, 3)
    assert open_generator(f"{path}@classes=2").classes == (2,)
    with pytest.raises(UserError, match="class 4 is unknown; this generator has classes 0 to 3"):
        open_generator(f"{path}@classes=4")
    opened(tmp_path, state_of(SNGAN))
    with pytest.raises(UserError, match="has no option 'classes'; it has none"):
        open_generator(f"{path}@classes=1")


def test_classes_without_embeddings_are_recognised_and_refused(tmp_path):
    one_hot = StudioGANShape((12, 8, 8), chunk=5, num_classes=7, class_dim=7)
    state = state_of(one_hot)
    assert infer_shape(state) == one_hot
    refused(state, tmp_path, "a conditional generator of StudioGAN without embeddings of its 7 classes")


def test_counters_and_right_vectors_may_be_missing(tmp_path):
    state = state_of(BIGGAN)
    fewer = {name: t for name, t in state.items() if not name.endswith(("num_batches_tracked", "weight_v"))}
    assert infer_shape(fewer) == BIGGAN
    assert opened(tmp_path, fewer).image_size == 32


def test_attention_needs_channels():
    with pytest.raises(UserError, match="attention needs 8 channels"):
        replace(SNGAN, channels=(12, 4, 4), attention=frozenset({1}))
    with pytest.raises(UserError, match="has blocks"):
        infer_shape({"blocks.0.0.sigma": torch.zeros(1)})


def test_an_unconditional_network_takes_no_classes():
    images = StudioGANNetwork(SNGAN, state_of(SNGAN))(torch.ones(1, 5))
    assert images.abs().max() <= 1
