"""StyleGAN3-T and -R against the numbers of the original, and details that a good guess gets wrong."""

import dataclasses
from pathlib import Path

import pytest
import torch
from cli_runs import ran, refused
from golden_stylegan3 import TINY, filled, filled_shape, golden_arrays, table
from rounding import close
from safetensors.torch import save_file

from benchmarks.plain.stylegan3 import plain
from generators.layouts import FAMILIES, Weights, open_published
from generators.protocol import Generator, Inspectable, Latents
from generators.published.stylegan3 import filters, resampling
from generators.published.stylegan3.geometry import Constants
from generators.published.stylegan3.layout import infer_shape
from generators.published.stylegan3.network import StyleGAN3Network
from generators.published.stylegan3.pose import source_points
from generators.published.stylegan3.resampling import Phases
from generators.spec import Options
from toolkit.directions import DirectionSet
from toolkit.errors import UserError
from toolkit.streams import Stream

TOLERANCES = {
    "stylegan3t_64": 3e-5,
    "stylegan3r_64": 3e-5,
    "stylegan3t_cond_32": 1e-5,
    "stylegan3t_256": 1e-5,
    "stylegan3r_256": 1e-5,
    "stylegan3t_256_full": 2e-5,
    "stylegan3r_256_full": 2e-5,
}
every_file = pytest.mark.parametrize("name", TOLERANCES)
with_variants = pytest.mark.parametrize("name", [name for name in TOLERANCES if "256" not in name])
OFFICIAL = [f"stylegan3{kind}_{size}" for kind in "tr" for size in ("256_cbase16384", "512", "1024")]
TINY_DEPTH = 3 + 3 * 5  # sums of products: of the style, and of five layers' convolutions and filters
TINY_R = dataclasses.replace(TINY, kernel=1, round_layers=3)


def opened(state, config=None, **options):
    """The generator of a state, and of its constructor's arguments if the file states them."""
    held = {} if config is None else {"class_name": "Generator", "version": 6, "init_kwargs": config}
    return open_published(Weights(state, Path("G.pkl"), held), Options(options, "G.pkl"))


@pytest.fixture(scope="module")
def states():
    """Golden states by the name of their file, made once."""
    made = {}

    def state(name):
        if name not in made:
            made.clear()
            made[name] = filled(table(f"golden_{name}_shapes"))
        return made[name]

    return state


def classes(arrays):
    return arrays["c"].argmax(dim=1) if "c" in arrays else None


def within(ours, theirs, tolerance):
    torch.testing.assert_close(ours, theirs, atol=tolerance, rtol=0)


@every_file
def test_images_and_layers_are_those_of_the_original(name, states):
    arrays, config, names = golden_arrays(name)
    generator, seen = opened(states(name), config), {}
    modules = dict(generator.network.named_modules())
    for layer in names:
        modules[layer].register_forward_hook(lambda _, __, output, layer=layer: seen.update({layer: stats(output)}))
    w = generator.mapped(arrays["z"], classes(arrays))
    within(w, arrays["w"], 2e-5)
    with torch.no_grad():
        images = generator(Latents(w))
    assert list(seen) == names
    for layer, expected in zip(names, arrays["layer_stats"], strict=True):
        torch.testing.assert_close(seen[layer], expected, atol=1e-4, rtol=1e-4, msg=lambda m, at=layer: f"{at}: {m}")
    step = {"out_every4": 4}.get(next(key for key in arrays if key in ("out", "out_every4")), 1)
    within(images[:, :, ::step, ::step], arrays["out" if step == 1 else "out_every4"], TOLERANCES[name])
    if step == 4:
        within(images[:, :, 112:144, 112:144], arrays["out_patch"], TOLERANCES[name])
    flat = images.transpose(0, 1).flatten(1)
    bounds = [flat.mean(dim=1), flat.std(dim=1, correction=0), flat.amin(dim=1), flat.amax(dim=1)]
    within(torch.stack(bounds, dim=1), arrays["out_channel_stats"], TOLERANCES[name])


def stats(output):
    flat = output.flatten()
    return torch.cat([torch.stack([flat.mean(), flat.std(correction=0)]), flat[:6]])


@with_variants
def test_truncation_shifts_and_mixing_are_those_of_the_original(name, states):
    arrays, config, _ = golden_arrays(name)
    generator, tolerance = opened(states(name), config), TOLERANCES[name]
    w, z, y = arrays["w"], arrays["z"], classes(arrays)
    with torch.no_grad():
        halved = opened(states(name), config, space="z", psi="0.5")(Latents(z, y))
        within(halved[:, :, ::2, ::2], arrays["out_trunc_every2"], tolerance)
        shifted = generator(Latents(w).shifted(4 * arrays["direction"]))
        within(shifted[:, :, ::2, ::2], arrays["out_wshift_every2"], tolerance)
        by_layer = Latents(w).layered(generator.num_layers).z.clone()
        by_layer[:, 6:] = generator.mapped(arrays["z2"], y)[:, None]
        within(generator(Latents(by_layer))[:, :, ::2, ::2], arrays["out_mix_every2"], tolerance)
    within(generator.restyled(0.5)._truncated(w), arrays["w_trunc"], 2e-5)


@with_variants
def test_the_transform_in_the_file_moves_the_image(name, states):
    arrays, config, _ = golden_arrays(name)
    state = states(name) | {"synthesis.input.transform": arrays["transform"]}
    with torch.no_grad():
        images = opened(state, config)(Latents(arrays["w"]))
    within(images[:, :, ::2, ::2], arrays["out_transform_every2"], TOLERANCES[name])


@every_file
def test_filters_and_geometry_are_designed_as_in_the_original(name):
    arrays, config, _ = golden_arrays(name)
    shape = infer_shape(meta(f"golden_{name}_shapes"), rounded="3r" in name)
    layers = shape.geometry(Constants.of(config))
    for layer in layers:
        for kind, design in (("up_filter", filters.up_filter), ("down_filter", filters.down_filter)):
            taps = design(layer)
            assert (taps is not None) == (f"{kind}.{layer.name}" in arrays)
            if taps is not None:
                within(torch.from_numpy(taps), arrays[f"{kind}.{layer.name}"], 1e-7)
    rows = torch.tensor([[float(number) for number in row(layer)] for layer in layers], dtype=torch.float64)
    expected = arrays["layer_table"]
    whole = [*range(7), *range(11, 21)]
    assert torch.equal(rows[:, whole], expected[:, whole])
    torch.testing.assert_close(rows, expected, rtol=1e-9, atol=0)


def row(layer):
    sizes = (layer.channels_in, layer.channels_out, layer.size_in, layer.size_out)
    frequencies = (layer.cutoff_in, layer.cutoff_out, layer.half_width_in, layer.half_width_out)
    factors = (layer.up, layer.down, layer.up_taps, layer.down_taps, layer.radial, layer.critical)
    return (*sizes, layer.rate_in, layer.rate_out, layer.rate, *frequencies, *factors, *layer.padding, *layer.padding)


def meta(name):
    """The entries of a published file, without any numbers."""
    return {key: torch.empty(size, device="meta") for key, size in table(name).items()}


@pytest.mark.parametrize("name", OFFICIAL)
def test_official_files_are_recognised_as_themselves_alone(name):
    state, fitting = meta(f"{name}_state_dict"), []
    for family in FAMILIES.own:
        for layout in FAMILIES[family].layouts:
            try:
                shapes = layout.shapes(state)
            except UserError:
                continue
            if shapes == {key: tuple(value.shape) for key, value in state.items()}:
                fitting.append(layout.what)
    assert fitting == [f"a StyleGAN3-{name[9].upper()}"]


def told(state):
    with pytest.raises(UserError) as caught:
        opened(state)
    return str(caught.value)


@pytest.mark.parametrize("name", OFFICIAL)
def test_a_file_says_which_entry_is_missing_surplus_or_misshapen(name):
    state, what = meta(f"{name}_state_dict"), f"a StyleGAN3-{name[9].upper()}"
    for entry in list(state)[::7]:
        rest = {key: value for key, value in state.items() if key != entry}
        assert f"resembles {what} most, 99% of the entries: missing: {entry}; check" in told(rest)
        assert f"{entry} is [3, 3, 3], expected [" in told(rest | {entry: torch.empty(3, 3, 3, device="meta")})
    assert "unknown: synthesis.L0.noise; check" in told(state | {"synthesis.L0.noise": torch.empty(3, device="meta")})


def test_another_class_name_changes_nothing():
    weights = Weights(filled_shape(TINY), Path("G.pkl"), {"class_name": "Discriminator", "init_kwargs": {}})
    assert open_published(weights, Options({}, "G.pkl")).name == "stylegan3-t"


def test_what_the_file_does_not_state_is_noted():
    silent, stating = opened(filled_shape(TINY)), opened(filled_shape(TINY), {})
    assert silent.notes == (
        "G.pkl does not say where features are clamped (conv_clamp) and how images are scaled; 256 and 0.25 are taken, "
        "with which NVIDIA's programs train",
    )
    assert stating.notes == ()
    w = Latents(torch.randn(1, 8))
    assert torch.equal(silent(w), stating(w))


def test_the_mapping_learns_at_the_rate_of_its_arguments():
    state, z = filled_shape(TINY), torch.randn(3, 7)
    faster = opened(state, {"mapping_kwargs": {"lr_multiplier": 0.02}})
    by_two = {name: 2 * value if name.startswith("mapping.fc") else value for name, value in state.items()}
    close(faster.mapped(z), opened(by_two).mapped(z), depth=3)


@pytest.mark.parametrize("shape", [TINY, TINY_R])
def test_what_the_file_holds_is_used(shape):
    """Filters that nobody designed, a transform and constants, all as in the file; the plain path reads the same."""
    state = filled_shape(shape)
    for name in state:
        if name.endswith("_filter"):
            state[name] = state[name] + 0.05 * torch.randn(state[name].shape)
    state["synthesis.input.transform"] = torch.eye(3) + 0.2 * torch.randn(3, 3)
    config = {"img_resolution": 32, "num_layers": 5, "conv_clamp": 0.7, "output_scale": 0.5}
    ws = torch.randn(2, shape.num_slots, 8)
    with torch.no_grad():
        close(opened(state, config)(Latents(ws)), plain(state, config)(ws), depth=TINY_DEPTH)


def test_filters_are_designed_where_the_file_has_none():
    state = filled_shape(TINY)
    bare = {name: value for name, value in state.items() if not name.endswith("_filter")}
    w = Latents(torch.randn(1, 8))
    with torch.no_grad():
        assert torch.equal(opened(bare)(w), opened(state)(w))
    assert "missing: synthesis.L2_52_5.up_filter; check" in told(
        {name: value for name, value in state.items() if name != "synthesis.L2_52_5.up_filter"}
    )


@pytest.mark.parametrize("shape", [TINY, TINY_R])
def test_an_image_does_not_depend_on_its_batch(shape):
    """The original divides by the mean over the batch, so that one large style would leave nothing of the others."""
    state = filled_shape(shape)
    state |= {name: torch.zeros_like(value) for name, value in state.items() if name.endswith("affine.bias")}
    generator = opened(state)
    w = torch.randn(3, 8) * torch.tensor([[1.0], [1e4], [0.1]])
    with torch.no_grad():
        together = generator(Latents(w))
        for i in range(3):
            close(generator(Latents(w[i : i + 1])), together[i : i + 1], depth=TINY_DEPTH)


@pytest.mark.parametrize("shape", [TINY, TINY_R])
@pytest.mark.parametrize("clamp", [0.5, 256.0, None])
def test_strips_and_blocks_change_nothing(shape, clamp, monkeypatch):
    generator = opened(filled_shape(shape), {"conv_clamp": clamp})
    w = Latents(torch.randn(3, 8))
    with torch.no_grad():
        large = generator(w)
        monkeypatch.setattr(resampling, "_STRIP", 1)
        monkeypatch.setattr(resampling, "_BLOCK", 1)
        close(generator(w), large, depth=TINY_DEPTH)
    close(generator(Latents(w.z.requires_grad_())), large, depth=TINY_DEPTH)


def test_phases_filter_as_zeros_between_the_samples_would():
    for up, before, count in ((2, 11, 30), (4, -2, 30), (2, -9, 12), (3, 5, 20), (1, 2, 9)):
        samples, taps = torch.randn(9, dtype=torch.float64), torch.randn(6 * up, dtype=torch.float64)
        spread = torch.zeros(9, up, dtype=torch.float64)
        spread[:, 0] = samples
        padded = torch.nn.functional.pad(spread.flatten(), (before, count + len(taps) - 1 - 9 * up - before))
        expected = torch.nn.functional.conv1d(padded[None, None], taps.flip(0)[None, None])[0, 0]
        phases = Phases.of(taps, up, before, count)
        for i in range(count):
            step, phase = divmod(i, up)
            terms = [
                tap * samples[step + phases.offsets[phase] + j]
                for j, tap in enumerate(phases.kernels[phase])
                if 0 <= step + phases.offsets[phase] + j < 9
            ]
            assert float(sum(terms)) == pytest.approx(float(expected[i]), abs=1e-12)


def test_gradients_reach_the_latents():
    network = StyleGAN3Network(TINY, filled_shape(TINY), Constants()).double()
    w = torch.randn(2, TINY.num_slots, 8, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(2, 3, 32, 32, dtype=torch.float64)

    def loss(w):
        return (network(w) * weights).sum()

    (gradient,) = torch.autograd.grad(loss(w), w)
    assert bool((gradient != 0).all())
    step = 1e-7 * torch.randn_like(w)
    with torch.no_grad():
        difference = (loss(w + step) - loss(w - step)) / 2
    assert float((gradient * step).sum()) == pytest.approx(float(difference), rel=1e-4)
    assert not any(tensor.requires_grad for tensor in network.state_dict(keep_vars=True).values())


@pytest.mark.parametrize("shape", [TINY, TINY_R])
def test_bfloat16_stays_close(shape):
    generator = opened(filled_shape(shape), space="z")
    latents = generator.sample(4, Stream(0, "z"))
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        images = generator(latents)
    assert images.dtype == torch.float32
    exact = generator(latents)
    assert float((images - exact).abs().mean() / exact.std()) < 0.03  # 0.006 to 0.024 with four seeds


def test_it_is_what_the_toolkit_needs():
    generator = opened(filled_shape(dataclasses.replace(TINY, num_classes=4)), classes="1,3")
    assert isinstance(generator, Generator)
    assert isinstance(generator, Inspectable)
    assert (generator.name, generator.latent_dim, generator.image_size, generator.num_layers) == (
        "stylegan3-t",
        8,
        32,
        7,
    )
    assert generator.sample(5, Stream(0, "z")).z.shape == (5, 8)
    assert [tuple(weight.shape) for weight in generator.first_weights()] == [(n, 8) for n in (4, 6, 6, 6, 5, 5, 4)]
    assert generator.drawing_layers.tolist() == [False, True, True, True, True, True, False]
    by_z = opened(filled_shape(dataclasses.replace(TINY, num_classes=4)), space="z")
    assert [tuple(weight.shape) for weight in by_z.first_weights()] == [(8, 7)]
    grey = dataclasses.replace(TINY, layers=(*TINY.layers[:-1], (32, 1)))
    assert opened(filled_shape(grey))(Latents(torch.randn(2, 8))).shape == (2, 3, 32, 32)
    with pytest.raises(UserError, match=r"images of G\.pkl have 4 channels; colour has 3, grey 1"):
        opened(filled_shape(dataclasses.replace(TINY, layers=(*TINY.layers[:-1], (32, 4)))))


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"conv_clamp": "x"}, "conv_clamp of this StyleGAN3 is 'x', but has to be a number above 0"),
        ({"output_scale": 0}, "output_scale of this StyleGAN3 is 0, but has to be a number above 0"),
        ({"lrelu_upsampling": 1.5}, "lrelu_upsampling of this StyleGAN3 is 1.5, but has to be a whole number"),
        ({"num_critical": 9}, "no StyleGAN3 has layers of the sides 36, 36, 52, 52, 32, 32"),
    ],
)
def test_arguments_that_no_network_has_are_told(config, text):
    with pytest.raises(UserError) as caught:
        opened(filled_shape(TINY), config)
    assert str(caught.value) == text


# Where the image lies


def test_w_turns_the_image_and_moves_it_then():
    """Of the waves alone, which a turn by a quarter and a shift by whole samples carry from pixel to pixel."""
    network = StyleGAN3Network(TINY, filled_shape(TINY), Constants())
    waves, side = network.synthesis.input, 36
    waves.affine.weight.zero_()
    waves.affine.bias.copy_(torch.tensor([1.0, 0, 0, 0]))
    w = torch.zeros(1, 8)
    straight = waves(w)[0]
    waves.affine.bias.copy_(torch.tensor([0.0, 1, 3 / 16, 0]))
    moved = torch.roll(torch.rot90(straight, 1, (1, 2)), 3, 2)  # counter-clockwise: rows go down
    inside = slice(3, side - 3)
    close(waves(w)[0][:, inside, inside], moved[:, inside, inside], depth=3)


@pytest.mark.parametrize("turned", [0.0, 90.0])
@pytest.mark.parametrize(("right", "down"), [(3, 0), (0, 2)])
def test_the_input_turns_about_the_centre_and_is_shifted(turned, right, down):
    """After whatever the transform in the file has done."""
    before = {"synthesis.input.transform": source_points(torch.tensor([[20.0, 0.15, -0.1]]))[0]}
    waves = StyleGAN3Network(TINY, filled_shape(TINY) | before, Constants()).synthesis.input
    w = torch.randn(1, 8)
    moved = waves(w, source_points(torch.tensor([[turned, right / 16, down / 16]])))[0]
    expected = torch.rot90(waves(w)[0], -round(turned / 90), (1, 2))  # clockwise: rows go down
    close(moved[:, down:, right:], expected[:, : 36 - down, : 36 - right], depth=3)


def test_a_pose_is_three_further_latent_numbers():
    state = filled_shape(TINY)
    still, walking = opened(state), opened(state, pose="walk")
    assert (walking.name, walking.latent_dim) == ("stylegan3-t-pose", 11)
    latents = walking.sample(2, Stream(0, "z"))
    assert torch.equal(latents.z[:, 8:], torch.zeros(2, 3))
    assert torch.equal(latents.z[:, :8], still.sample(2, Stream(0, "z")).z)
    close(walking(latents), still(Latents(latents.z[:, :8])), depth=TINY_DEPTH)
    assert [tuple(weight.shape) for weight in walking.first_weights()] == [(n, 11) for n in (4, 6, 6, 6, 5, 5, 4)]
    assert all(bool((weight[:, 8:] == 0).all()) for weight in walking.first_weights())
    axes = walking.own_directions()
    assert list(axes) == ["rotate", "right", "down"]
    shift = 2 * axes["rotate"] + 4 * axes["right"] - 2 * axes["down"]  # of 15 degrees, of 0.05 of the side
    fixed = opened(state, rotate="30", shift="0.2,-0.1")
    close(walking(latents.shifted(shift)), fixed(Latents(latents.z[:, :8])), depth=TINY_DEPTH)


def test_a_pose_moves_what_the_transform_in_the_file_has_moved():
    state = filled_shape(TINY)
    twice = state | {"synthesis.input.transform": source_points(torch.tensor([[50.0, 0, 0]]))[0]}
    w = Latents(torch.randn(1, 8))
    close(opened(twice, rotate="-50")(w), opened(state)(w), depth=TINY_DEPTH)
    walking = opened(twice, pose="walk")
    z = torch.zeros(1, walking.num_layers, 11)
    z[:, :, :8] = w.z
    z[:, 0, 8] = -50 / 15  # the first layer's latent alone says where the image lies
    close(walking(Latents(z)), opened(state)(w), depth=TINY_DEPTH)


def test_gradients_reach_the_pose():
    walking = opened(filled_shape(TINY), pose="walk")
    z = torch.cat([torch.randn(2, 8), torch.zeros(2, 3)], dim=1).requires_grad_()
    (gradient,) = torch.autograd.grad(walking(Latents(z)).square().sum(), z)
    assert bool((gradient != 0).all())


@pytest.fixture
def tiny_file(tmp_path):
    path = tmp_path / "G.safetensors"
    save_file(filled_shape(TINY), path)
    return path


def test_the_pose_is_discovered_by_the_command(tiny_file, tmp_path):
    output = ran("discover", "--generator", f"{tiny_file}@pose=walk", "--method", "pose", "--out", tmp_path / "run")
    assert "3 directions by pose" in output
    found = DirectionSet.load(tmp_path / "run")
    assert found.names == ("rotate", "right", "down")
    assert torch.equal(found.vectors, torch.eye(11)[8:])


@pytest.mark.parametrize("name", ["{}", "scene"])
def test_other_generators_have_no_pose_to_walk(name, tiny_file, tmp_path):
    spec, out = name.format(tiny_file), tmp_path / "run"
    error = refused("discover", "--generator", spec, "--method", "pose", "--out", out)
    assert error.startswith("--method pose needs a generator that turns and shifts its images, which ")
    assert error.endswith(" does not; open a StyleGAN3 as FILE@pose=walk, or use another method")
    assert not out.exists()


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("pose=run", "pose of {} is 'run', but has to be one of fixed, walk"),
        ("rotate=400", "rotate of {} is '400', but has to be a number from -360 to 360"),
        ("shift=0.1", "shift of {} is '0.1', but has to be 2 numbers from -1 to 1 with commas between"),
        ("shift=0.1,nan", "shift of {} is '0.1,nan', but has to be 2 numbers from -1 to 1 with commas between"),
        ("noise=none", "noise of stylegan3-t is 'none', but it takes none; omit the option"),
        (
            "pose=walk@space=z",
            "pose=walk of stylegan3-t needs latents in w, where a pose is known; omit space",
        ),
        ("truncate=1", "{} has no option 'truncate'; it has space, noise, psi, cutoff, classes, pose, rotate, shift"),
    ],
)
def test_bad_options_are_told_in_one_line(option, text, tiny_file, tmp_path):
    error = refused("sample", "--generator", f"{tiny_file}@{option}", "--out", tmp_path / "images.png")
    assert error == text.format(tiny_file)
