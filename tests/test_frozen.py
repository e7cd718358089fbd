import pickle

import pytest
import torch
import torch.nn.functional as F
from golden_fill_generators import filled, proggan_value, sngan_value
from golden_modern import filled_state
from rounding import close
from test_biggan import TINY as BIGGAN
from test_biggan_deep import TINY as DEEP
from test_proggan import TINY as PROGGAN
from test_sngan import TINY_64 as SNGAN
from test_studiogan import BIGGAN as STUDIOGAN

from generators.frozen import (
    ColourConv,
    DifferencedUpsampledConv,
    FixedConv,
    FrozenGenerator,
    MergedUpsampledConv,
    add_doubled,
    likeliest_size,
    modulated,
    upsampled_conv,
)
from generators.layers.attention import PooledAttention
from generators.layers.conditional import ConditionalGenerator
from generators.layers.winograd import WinogradConv, wide_conv
from generators.protocol import Generator, Inspectable, Latents
from generators.published import proggan, sngan
from generators.published.biggan import network as biggan
from generators.published.biggan.generator import BigBiGAN, ConditionalBigGAN
from generators.published.biggan_deep import layout as biggan_deep
from generators.published.biggan_deep.generator import BigGANDeep
from generators.published.biggan_deep.network import BigGANDeepNetwork
from generators.published.studiogan import layout as studiogan
from generators.published.studiogan.network import StudioGANNetwork
from toolkit.streams import Stream


def sngan_generator():
    state = filled(sngan.published_shapes(SNGAN), sngan_value)
    return FrozenGenerator(sngan.SNGANNetwork(SNGAN, state), "sngan64")


def proggan_generator():
    state = filled(proggan.published_shapes(PROGGAN), proggan_value)
    return FrozenGenerator(proggan.ProgGANNetwork(PROGGAN, state), "proggan16")


def biggan_network():
    return biggan.BigGANNetwork(BIGGAN, filled(biggan.published_shapes(BIGGAN)))


def deep_generator():
    return BigGANDeep(BigGANDeepNetwork(DEEP, filled_state("biggan_deep", biggan_deep.published_shapes(DEEP))))


def studiogan_generator():
    network = StudioGANNetwork(STUDIOGAN, filled_state("studiogan", studiogan.published_shapes(STUDIOGAN)))
    return ConditionalGenerator(network, "studiogan", STUDIOGAN.num_classes)


@pytest.fixture(
    params=[
        sngan_generator,
        proggan_generator,
        lambda: BigBiGAN(biggan_network()),
        lambda: ConditionalBigGAN(biggan_network(), classes=(1, 3)),
        deep_generator,
        studiogan_generator,
    ],
    ids=["sngan", "proggan", "bigbigan", "biggan", "biggan_deep", "studiogan"],
)
def generator(request):
    return request.param()


def test_published_generators_are_generators_whose_inside_is_known(generator):
    assert isinstance(generator, Generator)
    assert isinstance(generator, Inspectable)
    assert generator.feature_layer in dict(generator.network.named_modules())
    assert all(weights.shape[1] == generator.latent_dim for weights in generator.first_weights())


def test_latents_are_normal_truncated_and_independent_of_the_batch(generator):
    whole = generator.sample(50, Stream(0, "z"), truncation=0.7)
    assert 0.5 < whole.z.abs().max() <= 0.7
    rng = Stream(0, "z")
    parts = Latents.cat([generator.sample(count, rng, truncation=0.7) for count in (20, 30)])
    assert torch.equal(parts.z, whole.z)


def test_an_image_does_not_depend_on_the_batch(generator):
    latents = generator.sample(3, Stream(0, "z"))
    one_by_one = torch.cat([generator(latents[i : i + 1]) for i in range(3)])
    close(one_by_one, generator(latents), depth=20)  # of the deepest, the BigGAN of three blocks


def test_gradients_reach_the_latents_alone(generator):
    latents = generator.sample(2, Stream(0, "z"))
    generator.network.double()
    z = latents.z.double().requires_grad_()
    side = generator.image_size
    weights = torch.linspace(-1, 1, 3 * side * side, dtype=torch.float64).view(3, side, side)

    def loss(moved):
        return (generator(Latents(moved, latents.y)) * weights).sum()

    (gradient,) = torch.autograd.grad(loss(z), z)
    assert (gradient != 0).all()
    step = 1e-4 * torch.sign(gradient)  # uphill in every number, so that images of 32 bits tell the slope
    with torch.no_grad():
        difference = (loss(z + step) - loss(z - step)) / 2
    assert float((gradient * step).sum()) == pytest.approx(float(difference), rel=1e-2)  # the step may cross a kink
    assert not any(tensor.requires_grad for tensor in generator.network.state_dict(keep_vars=True).values())


def test_bfloat16_gives_close_images_of_32_bits(generator):
    latents = generator.sample(4, Stream(0, "z"))
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        images = generator(latents)
    assert images.dtype == torch.float32
    assert (images - generator(latents)).abs().mean() < 0.03


def test_the_first_weights_of_a_linear_start_are_its_slopes():
    for generator, layer in ((sngan_generator(), "linear"), (proggan_generator(), "features.0.layer")):
        (weights,) = generator.first_weights()
        first = generator.network.get_submodule(layer)
        z, step = torch.randn(2, 1, generator.latent_dim)
        change = (first(z + step) - first(z)).flatten()
        close(change, weights @ step[0], depth=2)


def test_the_first_weights_of_biggan_read_their_chunk_of_the_latent():
    state = filled(biggan.published_shapes(BIGGAN))
    maps = BigBiGAN(biggan.BigGANNetwork(BIGGAN, state)).first_weights()
    assert len(maps) == 1 + BIGGAN.num_blocks
    for i, weights in enumerate(maps):
        read = weights.abs().sum(dim=0) > 0
        assert read.nonzero().flatten().tolist() == list(range(3 * i, 3 * i + 3))
    # The first rows of a block's map: slopes of bn1's scale, y first in its condition, over its deviation.
    gain = state["blocks.1.0.bn1.gain.weight"]
    gain = gain / biggan.spectral_sigma(gain, state["blocks.1.0.bn1.gain.u0"], BIGGAN.sn_eps)
    deviation = (state["blocks.1.0.bn1.stored_var"] + BIGGAN.bn_eps).sqrt()[:, None]
    torch.testing.assert_close(maps[2][: len(gain), 6:9], gain[:, BIGGAN.shared_dim :] / deviation)


@pytest.mark.parametrize("kind", [MergedUpsampledConv, DifferencedUpsampledConv])
def test_doubling_and_convolution_at_once_is_the_two_in_turn(kind):
    weight, bias = torch.randn(4, 3, 3, 3), torch.randn(4)
    features = torch.randn(2, 3, 5, 7, requires_grad=True)
    expected = F.conv2d(F.interpolate(features, scale_factor=2.0), weight, bias, padding=1)
    found = kind(weight, bias)(features)
    close(found, expected, depth=2)
    gradients = [torch.autograd.grad(images.square().sum(), features)[0] for images in (found, expected)]
    close(*gradients, depth=4)


def test_weights_are_cast_once_for_autocast_and_follow_the_layer():
    layer = FixedConv(torch.randn(4, 3, 3, 3))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with torch.inference_mode():
            copy = layer.cast("weight")
        assert layer.cast("weight") is copy
        assert layer(torch.randn(1, 3, 4, 4, requires_grad=True)).requires_grad
        assert layer.double().cast("weight") is layer.weight
        assert layer.float().cast("weight") is not copy
        assert torch.equal(layer.cast("weight"), copy)
        layer.load_state_dict({"weight": torch.ones(4, 3, 3, 3)})
        assert (layer.cast("weight") == 1).all()
        layer.weight = torch.zeros(4, 3, 3, 3)
        assert (layer.cast("weight") == 0).all()
        assert not copy_of(layer)._copies
    assert layer.cast("weight") is layer.weight


def copy_of(layer):
    return pickle.loads(pickle.dumps(layer))


# Without oneDNN's kernel for bfloat16 (ONEDNN_MAX_CPU_ISA=AVX2), torch rounds the sum of four taps at each: 1.4.
@pytest.mark.parametrize(("kind", "factor"), [(MergedUpsampledConv, 2.0), (DifferencedUpsampledConv, 2.5)])
def test_doubling_and_convolution_at_once_is_nearly_as_exact_in_bfloat16(kind, factor):
    weight, bias, features = torch.randn(64, 64, 3, 3) / 24, torch.randn(64), torch.randn(4, 64, 8, 8)
    exact = F.conv2d(F.interpolate(features.double(), scale_factor=2.0), weight.double(), bias.double(), padding=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        plain = F.conv2d(F.interpolate(features, scale_factor=2.0), weight, bias, padding=1)
        found = kind(weight, bias)(features)
    assert (found - exact).abs().mean() < factor * (plain - exact).abs().mean()


@pytest.mark.parametrize(
    ("channels", "side", "kind"),
    [(1536, 4, DifferencedUpsampledConv), (512, 4, MergedUpsampledConv), (1536, 16, MergedUpsampledConv)],
)
def test_differences_serve_few_pixels_of_many_channels(channels, side, kind):
    assert isinstance(upsampled_conv(torch.zeros(1, channels, 3, 3), torch.zeros(1), side), kind)


def test_doubled_features_are_added_in_place():
    features, coarse = torch.randn(2, 3, 8, 8), torch.randn(2, 3, 4, 4)
    expected = features + F.interpolate(coarse, scale_factor=2.0, mode="nearest")
    assert add_doubled(features, coarse) is features
    assert torch.equal(features, expected)


def test_one_wrong_entry_does_not_tell_a_size():
    state = {"a": torch.zeros(7), "b": torch.zeros(2, 4), "c": torch.zeros(4), "d": torch.zeros(())}
    assert likeliest_size(state, [("a", 0), ("b", 1), ("c", 0), ("d", 0), ("e", 0)], 1) == 4
    assert likeliest_size(state, [("d", 0), ("e", 0)], 1) == 1


@pytest.mark.parametrize("taps", [1, 3])
def test_three_colours_are_those_of_a_convolution(taps):
    weight, bias = torch.randn(3, 5, taps, taps), torch.randn(3)
    features = torch.randn(2, 5, 6, 7).contiguous(memory_format=torch.channels_last).requires_grad_()
    expected = F.conv2d(features, weight, bias, padding=taps // 2)
    found = ColourConv(weight, bias)(features)
    close(found, expected, depth=2)
    close(*(torch.autograd.grad(images.square().sum(), features)[0] for images in (found, expected)), depth=4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (ColourConv(weight, bias)(features) - expected).abs().max() < 0.1


def test_features_are_overwritten_only_where_no_gradient_is_asked_for():
    features, (scale, offset) = torch.randn(2, 3, 4, 4), torch.randn(2, 2, 3)
    before = features.clone()
    expected = torch.relu(before * scale[:, :, None, None] + offset[:, :, None, None])
    torch.testing.assert_close(modulated(features, scale, offset, overwrite=True), expected)
    with torch.no_grad():
        torch.testing.assert_close(modulated(features, scale, offset), expected)
        assert torch.equal(features, before)
        assert modulated(features, scale, offset, overwrite=True) is features
    torch.testing.assert_close(features, expected)


def test_attention_is_that_of_the_specification_with_gradients_and_without():
    theta, phi, g, output = (torch.randn(*ends, 1, 1) / 4 for ends in ((2, 16), (2, 16), (8, 16), (16, 8)))
    x = torch.randn(2, 16, 48, 48, requires_grad=True)  # more queries than are taken at a time
    queries = F.conv2d(x, theta).flatten(2)
    keys, values = (F.max_pool2d(F.conv2d(x, weight), 2).flatten(2) for weight in (phi, g))
    shares = torch.softmax(queries.mT @ keys, dim=2)
    expected = x + F.conv2d((values @ shares.mT).unflatten(2, (48, 48)), output)
    attention = PooledAttention(theta, phi, g, output)
    found = attention(x)
    close(found, expected, depth=8)
    close(*(torch.autograd.grad(images.square().sum(), x)[0] for images in (found, expected)), depth=16)
    with torch.no_grad():
        close(attention(x), expected, depth=8)


def test_wide_convolutions_are_transformed_anew_when_the_weights_change():
    first, second = torch.randn(2, 192, 192, 3, 3)
    features, bias = torch.randn(1, 192, 8, 8), torch.randn(192)
    layer = wide_conv(first, bias, 8)
    assert isinstance(layer, WinogradConv)
    assert type(wide_conv(first, bias, 4)) is type(wide_conv(first[:128], bias[:128], 8)) is FixedConv
    with torch.no_grad():
        for weight in (first, second):
            layer.load_state_dict({"weight": weight, "bias": bias})
            close(layer(features), F.conv2d(features.double(), weight.double(), bias.double(), padding=1), depth=6)
    assert set(layer.state_dict()) == {"weight", "bias"}


@pytest.mark.filterwarnings("ignore:.torch.jit.trace:FutureWarning")
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("side", [2, 6, 40])
def test_a_convolution_by_winograd_is_the_plain_one(count, side):
    weight, features = torch.randn(5, 7, 3, 3), torch.randn(count, 7, side, side + 2)
    expected = F.conv2d(features.double(), weight.double(), padding=1)
    layer = WinogradConv(weight)
    with torch.no_grad():
        close(layer(features.contiguous(memory_format=torch.channels_last)), expected, depth=3)
        close(layer(features[:, :, :-1]), F.conv2d(features[:, :, :-1], weight, padding=1), depth=1)  # an odd side
        program = torch.jit.trace(layer, features[:1], check_trace=False)
        close(program(features.repeat(2, 1, 1, 1)), expected.repeat(2, 1, 1, 1), depth=3)  # of another batch
    features.requires_grad_()
    gradients = [torch.autograd.grad(f(features).square().sum(), features)[0] for f in (layer, FixedConv(weight))]
    assert torch.equal(*gradients)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(features).dtype == torch.bfloat16
