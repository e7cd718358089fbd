import functools
import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import GOLDEN
from golden_fill import fill_value, noise_input
from golden_fill_generators import layout
from rounding import close, close_layers

from generators.catalogue import open_generator
from generators.protocol import Generator, Latents, render_twins
from generators.published.biggan.generator import BigBiGAN
from generators.published.biggan.network import (
    BIGBIGAN,
    BIGGAN_128,
    BigGANNetwork,
    BigGANShape,
    infer_shape,
    published_shapes,
    spectral_sigma,
)
from toolkit.errors import UserError
from toolkit.streams import Stream

TINY = BigGANShape(
    resolution=32,
    ch=4,
    dim_z=12,
    shared_dim=6,
    num_classes=5,
    bn_eps=1e-4,
    sn_eps=1e-4,
    attention_resolution=16,
)


def depth(shape):
    """Return the sums of products from latent to image: first, class, three a block (differences are two), last."""
    return 3 + 3 * shape.num_blocks + 3 * (shape.attention_block is not None)  # and query, weights, values


def filled(shape):
    return {name: torch.from_numpy(fill_value(0, name, size)) for name, size in published_shapes(shape).items()}


@pytest.fixture(scope="module")
def value():
    """The fill rule; most numbers of the large networks lie in entries that all of them have, and are drawn once."""
    return functools.cache(lambda name, size: torch.from_numpy(fill_value(0, name, size)))


@pytest.fixture(scope="module")
def state(value):
    return {name: value(name, size) for name, size in published_shapes(BIGBIGAN).items()}


@pytest.fixture(scope="module")
def bigbigan(state):
    return BigBiGAN(BigGANNetwork(BIGBIGAN, state))


@pytest.fixture
def tiny_state():
    return filled(TINY)


def as_tensors(arrays, *names):
    return [torch.from_numpy(arrays[name]) for name in names]


def test_published_layout_is_that_of_the_original():
    with (GOLDEN / "bigbigan_x1_state_dict.json").open() as handle:
        original = {name: tuple(size) for name, size in json.load(handle).items()}
    ours = published_shapes(BIGBIGAN)
    assert ours == original
    assert len(ours) == 166
    assert sum(int(np.prod(size)) for size in ours.values()) == 70_497_632
    assert published_shapes(BIGGAN_128) == ours


def test_fill_has_its_fingerprints(state, golden):
    weight = state["linear.weight"].numpy()
    np.testing.assert_allclose(weight.flat[:3], [0.11404735, 0.16927737, 0.15947874], atol=1e-8)
    assert hashlib.sha256(weight.tobytes()).hexdigest()[:16] == "d5a44adc6b76211e"
    z = noise_input(0, "biggan_z", (2, 120))
    assert hashlib.sha256(z.tobytes()).hexdigest()[:16] == "21dd67ac459db647"
    np.testing.assert_array_equal(z, golden("biggan")["z"])


def test_sigmas_are_the_originals(state, golden):
    arrays = golden("biggan")
    ours = [
        float(spectral_sigma(state[f"{name}.weight"], state[f"{name}.u0"], BIGBIGAN.sn_eps))
        for name in arrays["sn_names"]
    ]
    ratios = np.array(ours) / arrays["sn_sigma"]
    close(ratios, np.ones_like(ratios), depth=3)  # two products and a norm


def test_bigbigan_images_and_layers_are_the_originals(bigbigan, golden):
    arrays = golden("biggan")
    z, direction, out, out_shifted = as_tensors(arrays, "z", "direction", "out", "out_shifted")
    network = bigbigan.network
    layers = [*network.blocks[:4], network.after[3], network.blocks[4], network.to_rgb]
    seen = []
    hooks = [layer.register_forward_hook(lambda _layer, _given, h: seen.append(h[:2].clone())) for layer in layers]
    with torch.no_grad():
        before, after = render_twins(bigbigan, Latents(z), float(arrays["r"]) * direction)
    for hook in hooks:
        hook.remove()
    close(before, out, depth=depth(BIGBIGAN))
    close(after, out_shifted, depth=depth(BIGBIGAN))
    stats = [[float(h.mean()), float(h.std(correction=0)), *h.flatten()[:6].tolist()] for h in seen]
    close_layers(stats, arrays["layer_stats"][1:], depth=depth(BIGBIGAN))


def test_conditional_images_are_the_originals(state, golden, tmp_path):
    arrays = golden("biggan_conditional")
    z, classes, out = as_tensors(arrays, "z", "classes", "out")
    torch.save(state, tmp_path / "G_ema.pth")
    generator = open_generator(str(tmp_path / "G_ema.pth"))
    shape = generator.network.shape
    assert (shape.bn_eps, shape.sn_eps) == (float(arrays["bn_eps"]), float(arrays["sn_eps"]))
    assert (generator.name, generator.latent_dim, generator.image_size) == ("biggan128", 120, 128)
    with torch.no_grad():
        images = generator(Latents(z, classes))
    close(images, out, depth=depth(shape))


LARGE = {256: replace(BIGGAN_128, resolution=256, dim_z=140, attention_resolution=128)}
LARGE[512] = replace(BIGGAN_128, resolution=512, dim_z=128)


@pytest.mark.parametrize("side", LARGE)
def test_large_layouts_are_those_of_the_original(side):
    assert published_shapes(LARGE[side]) == layout(f"biggan{side}")


@pytest.mark.parametrize(("side", "every"), [(256, 4), (512, 8)])
def test_large_conditional_images_are_the_originals(side, every, value, golden, tmp_path):
    path = tmp_path / "G_ema.pth"
    torch.save({name: value(name, size) for name, size in layout(f"biggan{side}").items()}, path)
    generator = open_generator(f"{path}@classes=239")
    arrays = golden("biggan_256_512")
    z, expected, stats = as_tensors(arrays, f"z{side}", f"out{side}_every{every}", f"out{side}_channel_stats")
    assert (generator.name, generator.latent_dim, generator.image_size) == (f"biggan{side}", z.shape[1], side)
    classes = generator.sample(1, Stream(0, "z")).y
    with torch.no_grad():
        image = generator(Latents(z, classes))
    close(image[:, :, ::every, ::every], expected, depth=depth(LARGE[side]))
    values = image[0].flatten(1)
    found = torch.stack([values.mean(1), values.std(1, correction=0), values.amin(1), values.amax(1)], dim=1)
    close(found, stats, depth=depth(LARGE[side]))


def test_bigbigan_is_a_generator_of_truncated_normal_latents(bigbigan):
    assert isinstance(bigbigan, Generator)
    assert (bigbigan.name, bigbigan.latent_dim, bigbigan.image_size) == ("bigbigan", 120, 128)
    latents = bigbigan.sample(64, Stream(0, "z"), truncation=0.5)
    assert latents.y is None
    assert latents.z.shape == (64, 120)
    assert 0.49 < latents.z.abs().max() <= 0.5
    assert bigbigan.sample(64, Stream(0, "z")).z.std() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("resolution", [32, 64])
def test_other_resolutions_run_and_the_batch_does_not_matter(resolution):
    shape = replace(TINY, resolution=resolution, ch=8, attention_resolution=64)
    assert any(".1.gamma" in name for name in published_shapes(shape)) == (resolution == 64)
    generator = BigBiGAN(BigGANNetwork(shape, filled(shape)))
    z = generator.sample(5, Stream(0, "z")).z
    together = generator(Latents(z))
    assert together.shape == (5, 3, resolution, resolution)
    assert together.std() > 0.1
    assert together.abs().max() <= 1
    one_by_one = torch.cat([generator(Latents(row[None])) for row in z])
    close(one_by_one, together, depth=depth(shape))


def test_latent_is_rounded_down_to_equal_chunks():
    assert replace(TINY, dim_z=15).dim_z == 12
    assert replace(TINY, dim_z=15).chunk == 3
    assert replace(BIGBIGAN, resolution=64, dim_z=128).dim_z == 125


def test_gradient_reaches_every_part_of_z_and_is_right(tiny_state):
    network = BigGANNetwork(TINY, tiny_state).double()
    z = torch.randn(2, 12, dtype=torch.float64, requires_grad=True)
    y = torch.tensor([1, 4])
    weights = torch.randn(2, 3, 32, 32, dtype=torch.float64)

    def loss(latents):
        return (network(latents, y) * weights).sum()

    (gradient,) = torch.autograd.grad(loss(z), z)
    assert (gradient != 0).all()
    step = 1e-4 * torch.randn(2, 12, dtype=torch.float64)  # images are float32, hence no smaller step
    with torch.no_grad():
        difference = (loss(z + step) - loss(z - step)) / 2
    assert float((gradient * step).sum()) == pytest.approx(float(difference), rel=1e-2)  # the step may cross a kink
    assert not any(tensor.requires_grad for tensor in network.state_dict(keep_vars=True).values())


def test_bfloat16_stays_close(tiny_state):
    generator = BigBiGAN(BigGANNetwork(TINY, tiny_state))
    latents = generator.sample(4, Stream(0, "z"))
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        images = generator(latents)
    assert images.dtype == torch.float32
    assert (images - generator(latents)).abs().mean() < 0.02


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"resolution": 48}, "no BigGAN of 48 px is known; choose a resolution of 32, 64, 128"),
        ({"dim_z": 3}, "a number a latent chunk"),
        ({"ch": 1}, "attention needs 8 channels"),
    ],
)
def test_impossible_shapes_are_refused(change, text):
    with pytest.raises(UserError, match=text):
        replace(TINY, **change)


@pytest.mark.parametrize(
    "shape", [TINY, replace(TINY, resolution=64, attention_resolution=None), BIGBIGAN, *LARGE.values()]
)
def test_sizes_are_told_by_the_tensors(shape):
    state = {name: torch.empty(size, device="meta") for name, size in published_shapes(shape).items()}
    found = infer_shape(state, replace(BIGBIGAN, bn_eps=shape.bn_eps, sn_eps=shape.sn_eps))
    assert found == shape
    assert published_shapes(found) == published_shapes(shape)
