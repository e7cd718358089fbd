import hashlib
import json
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
from cli_runs import DISCOVER, ran, refused
from conftest import GOLDEN
from golden_fill_stylegan2 import fill_stylegan2
from rounding import close, close_layers
from safetensors.torch import save_file

from generators.catalogue import open_generator
from generators.layouts import Weights, open_published
from generators.protocol import Generator, Inspectable, Latents, render_twins
from generators.published.stylegan2.layers import FILTER
from generators.published.stylegan2.network import StyleGAN2Network
from generators.published.stylegan2.rosinality import MEAN as MEAN_LATENT
from generators.published.stylegan2.rosinality import NAMING
from generators.published.stylegan2.shape import StyleGAN2Shape, filter_names
from generators.published.stylegan2.shape import infer_shape as infer_canonical
from generators.spec import Options
from generators.styled import StyledGenerator, Styling
from toolkit.errors import UserError
from toolkit.streams import Stream

TINY = StyleGAN2Shape((8, 10, 6, 4), style_dim=8, mapping_layers=3, latent_dim=8)
TINY_DEPTH = 3 + 8
MAPPING, PAINTING = 8, 14  # sums of products of the 256 px network: of the style, and of 13 convolutions and colours


def styled(network, space="w", fresh_noise=False, psi=1.0, mean=None):
    """The generator around a network."""
    return StyledGenerator(network, "stylegan2", Styling(space, "fresh" if fresh_noise else "stored", psi), mean)


def infer_shape(state):
    return infer_canonical(NAMING.ours(state))


def built(shape, state):
    """The network of a state in this layout."""
    return StyleGAN2Network(shape, NAMING.canonical(state))


def filled(shape):
    return {name: torch.from_numpy(fill_stylegan2(0, name, size)) for name, size in NAMING.table(shape).items()}


def original_shapes(size):
    with (GOLDEN / f"stylegan2_{size}_state_dict.json").open() as handle:
        return {name: tuple(shape) for name, shape in json.load(handle).items()}


def without_mean(table):
    return {name: value for name, value in table.items() if name != MEAN_LATENT}


@pytest.fixture(scope="module")
def state():
    return {name: torch.from_numpy(fill_stylegan2(0, name, size)) for name, size in original_shapes(256).items()}


@pytest.fixture(scope="module")
def network(state):
    return built(infer_shape(state), state)


@pytest.fixture
def original(golden):
    return {
        name: torch.from_numpy(array)
        for name, array in golden("stylegan2_256").items()
        if array.dtype.kind != "U" and array.ndim
    } | {"r": 8.0, "inject_index": 5, "truncation": 0.7}


@pytest.fixture
def tiny_state():
    return filled(TINY)


@pytest.fixture
def tiny(tiny_state):
    return built(TINY, tiny_state)


@pytest.fixture
def tiny_file(tiny_state, tmp_path):
    path = tmp_path / "tiny.pt"
    torch.save({"g_ema": without_mean(tiny_state), "latent_avg": tiny_state[MEAN_LATENT]}, path)
    return path


def every4(images):
    return images[:, :, ::4, ::4]


def channel_stats(images):
    rows = images[0].flatten(1)
    return torch.stack([rows.mean(dim=1), rows.std(dim=1, correction=0), rows.amin(dim=1), rows.amax(dim=1)], dim=1)


@pytest.mark.parametrize(("size", "entries", "numbers"), [(256, 135, 30_209_266), (1024, 171, 33_166_492)])
def test_published_layout_is_that_of_the_original(size, entries, numbers):
    original = original_shapes(size)
    shape = infer_shape({name: torch.empty(sizes, device="meta") for name, sizes in original.items()})
    ours = without_mean(NAMING.table(shape))
    assert ours == original
    assert (shape.image_size, len(ours)) == (size, entries)
    assert sum(int(np.prod(sizes)) for sizes in ours.values()) == numbers


def test_fill_has_its_fingerprints(state):
    for name, digest in {"style.1.weight": "3f5a0fcaca93daf3", "noises.noise_12": "0ff502ca23ed49b5"}.items():
        assert hashlib.sha256(state[name].numpy().tobytes()).hexdigest()[:16] == digest


def test_mapping_is_the_originals(network, original):
    for w in (network.mapping(original["z"]), styled(network).mapped(original["z"])):
        close(w, original["w"], depth=MAPPING)


@torch.inference_mode()
def test_images_and_shifts_in_z_are_the_originals(network, original):
    shift = original["r"] * original["direction"]
    images, shifted = render_twins(styled(network, space="z"), Latents(original["z"]), shift)
    close(every4(images), original["out_every4"], depth=MAPPING + PAINTING)
    close(images[:, :, 112:144, 112:144], original["out_patch"], depth=MAPPING + PAINTING)
    close(channel_stats(images), original["out_channel_stats"], depth=MAPPING + PAINTING)
    close(every4(shifted), original["out_zshift_every4"], depth=MAPPING + PAINTING)
    close(channel_stats(shifted), original["out_zshift_channel_stats"], depth=MAPPING + PAINTING)


@torch.inference_mode()
def test_shifts_in_w_are_the_originals(network, original):
    latents = Latents(original["w"]).shifted(original["r"] * original["direction"])
    images = styled(network)(latents)
    close(every4(images), original["out_wshift_every4"], depth=MAPPING + PAINTING)
    close(channel_stats(images), original["out_wshift_channel_stats"], depth=MAPPING + PAINTING)


@torch.inference_mode()
def test_truncation_is_the_originals(network, original):
    mean = original["truncation_latent"][0]
    generator = styled(network, space="z", psi=original["truncation"], mean=mean)
    close(every4(generator(Latents(original["z"]))), original["out_trunc_every4"], depth=MAPPING + PAINTING)


@torch.inference_mode()
def test_mixed_styles_are_the_originals(network, original):
    first, second = network.mapping(torch.cat([original["z"], original["z2"]]))
    counts = torch.tensor([original["inject_index"], 14 - original["inject_index"]])
    slots = torch.stack([first, second]).repeat_interleave(counts, dim=0)[None]
    close(every4(network(slots)), original["out_mix_every4"], depth=MAPPING + PAINTING)


@torch.inference_mode()
def test_layers_are_the_originals(network, golden, original):
    names, stats = (golden("stylegan2_256")[f"layer_{part}"] for part in ("names", "stats"))
    layers = dict(network.named_modules()) | {"style": network.mapping}
    ours = []
    expected = [row for name, row in zip(names, stats, strict=True) if name in layers and not name.endswith("conv")]

    def note(_layer, _given, h):
        ours.append([float(h.mean()), float(h.std(correction=0)), *h.flatten()[:6].tolist()])

    hooks = [layers[name].register_forward_hook(note) for name in names if name in layers and not name.endswith("conv")]
    styled(network, space="z")(Latents(original["z"]))
    for hook in hooks:
        hook.remove()
    assert len(ours) == 21
    close_layers(ours, expected, depth=MAPPING + PAINTING)


def test_whole_256_layout_opens(state, original):
    generator = open_published(Weights(state, Path("car.pt")), Options({}, "car.pt"))
    assert (generator.image_size, generator.latent_dim, generator.space) == (256, 512, "w")
    close(generator.mapped(original["z"]), original["w"], depth=MAPPING)


@torch.inference_mode()
def test_the_same_network_in_the_layout_of_stylegan2_ada_gives_the_originals_images(state, original):
    """Their convolutions lack the factor of the fan-in, which demodulation cancels, and their filters the gain."""
    renamed = NAMING.canonical(state) | {"mapping.w_avg": torch.zeros(512)}
    renamed |= dict.fromkeys(filter_names(infer_canonical(renamed)), FILTER / 4)
    config = {"init_kwargs": {"synthesis_kwargs": {"conv_clamp": None}}}
    generator = open_published(Weights(renamed, Path("car.pkl"), config), Options({"space": "z"}, "car.pkl"))
    close(every4(generator(Latents(original["z"]))), original["out_every4"], depth=MAPPING + PAINTING)


def test_whole_1024_layout_makes_a_network():
    state = {name: torch.empty(size, device="meta") for name, size in original_shapes(1024).items()}
    network = built(infer_shape(state), state)
    assert (network.shape.num_slots, len(network.convs), len(network.to_rgbs)) == (18, 16, 8)
    assert network.convs[15].noise.shape == (1024, 1024)


@pytest.mark.parametrize(
    "shape",
    [TINY, StyleGAN2Shape((2, 2), 4, 1, 4), StyleGAN2Shape((3, 5, 4, 4, 4, 3, 2, 2, 2), 6, 10, 6)],
    ids=lambda shape: f"{shape.image_size} px",
)
def test_any_size_is_told_by_the_tensors_and_renders(shape):
    state = filled(shape)
    assert infer_shape(state) == shape
    images = built(shape, state)(torch.randn(3, shape.style_dim))
    assert images.shape == (3, 3, shape.image_size, shape.image_size)
    assert bool(images.isfinite().all())


@pytest.mark.parametrize(("channels", "dim", "layers"), [((8,), 8, 8), ((8, 0), 8, 8), ((8, 8), 8, 0)])
def test_impossible_sizes_are_refused(channels, dim, layers):
    with pytest.raises(UserError, match="images of at least 8 px and sizes of at least 1"):
        StyleGAN2Shape(channels, dim, layers)


@pytest.mark.parametrize("space", ["w", "z"])
def test_is_an_inspectable_generator(tiny, space):
    generator = styled(tiny, space)
    assert isinstance(generator, Generator)
    assert isinstance(generator, Inspectable)
    assert (generator.latent_dim, generator.image_size) == (8, 32)
    assert generator.name == {"w": "stylegan2", "z": "stylegan2-z"}[space]


def test_sample_draws_normal_latents_and_maps_them_in_w(tiny):
    z = styled(tiny, "z").sample(6, Stream(1, "z"), truncation=0.5)
    assert z.y is None
    assert float(z.z.abs().max()) <= 0.5
    assert torch.equal(z.z, Stream(1, "z").normal(6, 8, 0.5))
    w = styled(tiny).sample(6, Stream(1, "z"), truncation=0.5)
    close(w.z, tiny.mapping(z.z), depth=3)
    close(styled(tiny)(w), styled(tiny, "z")(z), depth=TINY_DEPTH)


@pytest.mark.parametrize("fresh", [False, True])
def test_samples_do_not_depend_on_the_batch(tiny, fresh):
    generator = styled(tiny, fresh_noise=fresh)
    whole = generator.sample(20, Stream(3, "z"))
    rng = Stream(3, "z")
    parts = Latents.cat([generator.sample(count, rng) for count in (1, 12, 7)])
    assert torch.equal(whole.z, parts.z)
    assert (whole.y is None and parts.y is None) if not fresh else torch.equal(whole.y, parts.y)
    images = torch.cat([generator(whole[i : i + 1]) for i in range(20)])
    close(images, generator(whole), depth=TINY_DEPTH)


def test_fresh_noise_is_shared_by_twins_and_differs_between_samples(tiny):
    generator = styled(tiny, fresh_noise=True)
    latents = generator.sample(2, Stream(0, "z"))
    before, after = render_twins(generator, latents, torch.zeros(8))
    close(before, after, depth=TINY_DEPTH)
    same_place = generator(Latents(latents.z[:1].expand(2, -1), latents.y))
    assert float((same_place[0] - same_place[1]).abs().mean()) > 0.01
    assert float((before - styled(tiny)(latents)).abs().mean()) > 0.01


def test_fresh_noise_is_standard_normal_of_every_size(tiny):
    generator = styled(tiny, fresh_noise=True)
    maps = generator.noises(generator.sample(16, Stream(0, "z")))
    assert [tuple(noise.shape) for noise in maps] == [(16, 1, *shape) for shape in TINY.noise_shapes]
    assert maps[-1].mean() == pytest.approx(0, abs=0.05)
    assert maps[-1].std() == pytest.approx(1, abs=0.05)


def test_fresh_noise_refuses_latents_that_name_none(tiny):
    with pytest.raises(UserError, match="name no noise, but noise=fresh needs a number a latent; draw them"):
        styled(tiny, fresh_noise=True)(Latents(torch.zeros(1, 8)))


@pytest.mark.parametrize("space", ["w", "z"])
def test_psi_draws_the_styles_towards_the_mean(tiny, tiny_state, space):
    mean = tiny_state[MEAN_LATENT]
    z = Stream(0, "z").normal(4, 8)
    half, none = (styled(tiny, space, psi=psi, mean=mean) for psi in (0.5, 0.0))
    expected = tiny((tiny.mapping(z) + mean) / 2)
    close(half(half.sample(4, Stream(0, "z"))), expected, depth=TINY_DEPTH)
    images = none(none.sample(2, Stream(0, "z")))
    close(images, tiny(mean.expand(2, -1)), depth=TINY_DEPTH)


def test_a_file_without_mean_latent_has_it_estimated(tiny):
    mean = styled(tiny, psi=0.0).sample(1, Stream(5, "z")).z[0]
    spread = tiny.mapping(torch.randn(4096, 8))
    assert bool(((mean - spread.mean(dim=0)).abs() < 6 * spread.std(dim=0) / 4096**0.5).all())


def test_directions_in_w_are_read_by_every_modulation(tiny, tiny_state):
    weights = styled(tiny).first_weights()
    assert [tuple(weight.shape) for weight in weights] == [
        (rows, 8) for rows in (8, 8, 10, 10, 6, 6, 4, 4)
    ]  # seven convolutions, the last step to colours
    torch.testing.assert_close(weights[0], tiny_state["conv1.conv.modulation.weight"] / 8**0.5)
    assert styled(tiny).feature_layer == "latents"


def test_directions_in_z_are_read_by_the_first_mapping_layer(tiny, tiny_state):
    generator = styled(tiny, "z")
    (weight,) = generator.first_weights()
    torch.testing.assert_close(weight, tiny_state["style.1.weight"] * 0.01 * 2**0.5 / 8**0.5)
    assert generator.network.get_submodule(generator.feature_layer) is tiny.mapping


@pytest.mark.parametrize("space", ["w", "z"])
def test_gradient_reaches_every_number_of_the_latent_and_is_right(tiny_state, space):
    network = built(TINY, tiny_state).double()
    generator = styled(network, space)
    z = torch.randn(2, 8, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(2, 3, 32, 32, dtype=torch.float64)

    def loss(latents):
        return (generator(Latents(latents)) * weights).sum()

    (gradient,) = torch.autograd.grad(loss(z), z)
    assert bool((gradient != 0).all())
    step = 1e-4 * torch.randn(2, 8, dtype=torch.float64)  # images are float32, hence no smaller step
    with torch.no_grad():
        difference = (loss(z + step) - loss(z - step)) / 2
    assert float((gradient * step).sum()) == pytest.approx(float(difference), rel=1e-2)  # the step may cross a kink
    assert not any(tensor.requires_grad for tensor in network.state_dict(keep_vars=True).values())


def test_bfloat16_stays_close(tiny):
    generator = styled(tiny, "z")
    latents = generator.sample(4, Stream(0, "z"))
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        images = generator(latents)
    assert images.dtype == torch.float32
    exact = generator(latents)
    assert float((images - exact).abs().mean() / exact.std()) < 0.01


def test_mixed_latents_need_one_a_slot(tiny):
    with pytest.raises(ValueError, match=r"latents are \[2, 7, 8\], not \(B, 8, 8\)"):
        tiny(torch.zeros(2, 7, 8))


def written(table, path):
    if path.suffix == ".safetensors":
        save_file(table, path)
    else:
        torch.save(table, path)
    return str(path)


@pytest.mark.parametrize(
    ("wrap", "file"),
    [
        (lambda table: {"g_ema": without_mean(table), "latent_avg": table[MEAN_LATENT]}, "whole.pt"),
        (lambda table: {"g_ema": without_mean(table)}, "average.pt"),
        (lambda table: {"g": {}, "g_ema": without_mean(table), "args": Namespace(size=32)}, "training.pt"),
        (without_mean, "bare.pt"),
        (dict, "bare.safetensors"),
        (lambda table: {f"style_gan2.{name}": t for name, t in without_mean(table).items()}, "adapter.pt"),
    ],
)
def test_every_kind_of_file_opens(wrap, file, tiny, tiny_state, tmp_path):
    opened = open_generator(written(wrap(tiny_state), tmp_path / file))
    w = torch.randn(2, 8)
    close(opened(Latents(w)), tiny(w), depth=TINY_DEPTH)


def test_the_mean_latent_of_a_file_is_the_centre_of_truncation(tiny_state, tiny_file):
    drawn = open_generator(f"{tiny_file}@psi=0").sample(2, Stream(0, "z")).z
    assert torch.equal(drawn, tiny_state[MEAN_LATENT].expand(2, -1))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"noises.noise_3": None}, r"StyleGAN2 \(rosinality layout\) most, 9\d%.*: missing: noises\.noise_3; check"),
        ({"convs.0.activate.bias": None}, r"missing: convs\.0\.activate\.bias; check"),
        ({"to_rgbs.1.upsample.kernel": None}, r"missing: to_rgbs\.1\.upsample\.kernel; check"),
        ({"encoder.weight": torch.zeros(2)}, r"unknown: encoder\.weight; check"),
        ({"to_rgb1.bias": torch.zeros(3)}, r"entries: to_rgb1\.bias is \[3\], expected \[1, 3, 1, 1\]; check"),
        ({"latent_avg": torch.zeros(1, 8)}, r"latent_avg is \[1, 8\], expected \[8\]; check"),
        ({"input.input": torch.full((1, 8, 4, 4), torch.nan)}, r"NaN .* input\.input"),
        ({"convs.2.conv.blur.kernel": torch.ones(4, 4)}, r"convs\.2\.conv\.blur\.kernel in .*\.pt is another filter"),
    ],
)
def test_near_misses_are_named(change, text, tiny_state, tmp_path):
    table = {name: value for name, value in (tiny_state | change).items() if value is not None}
    with pytest.raises(UserError, match=text):
        open_generator(written(table, tmp_path / "tiny.pt"))


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("space=s", "space of {} is 's', but has to be one of w, z"),
        ("noise=new", "noise of {} is 'new', but has to be one of stored, fresh, none"),
        ("psi=2.5", "psi of {} is '2.5', but has to be a number from -2 to 2"),
        ("classes=3", "classes of stylegan2 are chosen, but it has none; omit them"),
        ("cutoff=20", "cutoff of stylegan2 is 20, but it has 8 layers; give fewer"),
        ("layers=3", "{} has no option 'layers'; it has space, noise, psi, cutoff, classes"),
    ],
)
def test_bad_options_are_told_in_one_line(option, text, tiny_file, tmp_path):
    error = refused("sample", "--generator", f"{tiny_file}@{option}", "--out", tmp_path / "images.png")
    assert error == text.format(tiny_file)
    assert not (tmp_path / "images.png").exists()


@pytest.mark.parametrize("options", ["", "@space=z@psi=0.7", "@noise=fresh"])
def test_directions_are_discovered_by_the_command(options, tiny_file, tmp_path):
    spec = f"{tiny_file}{options}"
    output = ran("discover", "--generator", spec, "--out", tmp_path / "run", *DISCOVER)
    assert "6 directions" in output
    assert (tmp_path / "run" / "directions.safetensors").exists()


def test_sample_command_draws_the_same_images_from_their_latents(tiny_file, tmp_path):
    spec = f"{tiny_file}@noise=fresh"
    ran("sample", "--generator", spec, "--samples", 5, "--batch", 2, "--device", "cpu", "--out", tmp_path / "drawn.npy")
    latents = open_generator(spec).sample(5, Stream(0, "sample"))
    np.save(tmp_path / "w.npy", latents.z.numpy())
    given = ("--latents", tmp_path / "w.npy", "--device", "cpu", "--out", tmp_path / "again.npy")
    ran("sample", "--generator", spec, *given)
    drawn, again = (np.load(tmp_path / name) for name in ("drawn.npy", "again.npy"))
    close(drawn, again, depth=TINY_DEPTH)
