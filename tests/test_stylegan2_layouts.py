"""StyleGAN2 in NVIDIA's and genforce's layouts: the originals' numbers, and what a good guess gets wrong."""

from pathlib import Path

import numpy as np
import pytest
import torch
from cli_runs import DISCOVER, ran
from golden_modern import channel_statistics, every, filled_state, golden_arrays, table
from rounding import close

from benchmarks.plain.stylegan2ada import mapped, plain
from generators.catalogue import open_generator
from generators.layouts import Weights, open_published, recognised
from generators.protocol import Generator, Inspectable, Latents, image_shape
from generators.published.stylegan2 import genforce, layers, network, nvlabs, rosinality
from generators.published.stylegan2.layers import FILTER
from generators.published.stylegan2.network import StyleGAN2Network
from generators.published.stylegan2.shape import StyleGAN2Shape, infer_shape
from generators.spec import Options
from generators.styled import StyledGenerator
from generators.weights_file import read_weights
from toolkit.errors import UserError
from toolkit.streams import Stream

TOLERANCES = {
    "stylegan2ada_64": 2e-5,
    "stylegan2ada_cond_32": 1e-5,
    "stylegan2ada_resnet_32": 1e-5,
    "stylegan2ada_orig_32": 1e-5,
    "stylegan2ada_256": 3e-5,
    "genforce_stylegan2_64": 2e-5,
}
MAPPED = 2e-5  # of w
OPTIONS = {  # of the generator, for each output; z goes in
    "out": {},
    "out_trunc": {"psi": "0.5"},
    "out_trunccut": {"psi": "0.5", "cutoff": "4"},
    "out_nonoise": {"noise": "none"},
}
LAYOUTS = {
    "stylegan2ada_paper256": ("a StyleGAN2-ADA", 144),
    "stylegan2ada_stylegan2_256": ("a StyleGAN2-ADA", 144),
    "stylegan2ada_auto256": ("a StyleGAN2-ADA", 132),
    "stylegan2ada_paper512": ("a StyleGAN2-ADA", 163),
    "stylegan2ada_paper1024": ("a StyleGAN2-ADA", 182),
    "stylegan2ada_cifar10_cond": ("a StyleGAN2-ADA", 77),
    "genforce_stylegan2_256": ("a StyleGAN2 (genforce layout)", 131),
    "genforce_stylegan2_1024": ("a StyleGAN2 (genforce layout)", 165),
}
golden_files = pytest.mark.parametrize("name", TOLERANCES)
full_sizes = pytest.mark.parametrize("name", LAYOUTS)
CONFIG = {"synthesis_kwargs": {"conv_clamp": None}}
TINY = StyleGAN2Shape((8, 10, 6, 4), style_dim=12, mapping_layers=3, latent_dim=7)
TINY_DEPTH = 3 + 8


def state_of(name):
    """The entries of a golden file's network by the fill; genforce's filters are constant."""
    kernels = {key: size for key, size in table(name).items() if key.endswith("kernel")}
    state = filled_state(name.split("_")[0], {k: s for k, s in table(name).items() if k not in kernels})
    return state | {key: FILTER.reshape(size) for key, size in kernels.items()}


def filled(shape):
    """A state of these sizes in the layout of StyleGAN2-ADA, by the fill."""
    return filled_state("stylegan2ada", nvlabs.NAMING.table(shape))


def opened(state, kwargs=CONFIG, **options):
    config = {} if kwargs is None else {"class_name": "Generator", "version": 6, "init_kwargs": kwargs}
    return open_published(Weights(state, Path("g.pkl"), config), Options(options, "g.pkl"))


@pytest.fixture(scope="module")
def held():
    """Golden arrays as tensors, and a function from options to the generator, by file."""
    kept = {}

    def load(name):
        if name not in kept:
            arrays, state = golden_arrays(name), state_of(name)
            tensors = {key: torch.from_numpy(value) for key, value in arrays.items() if value_is_tensor(value)}
            tensors["y"] = tensors["c"].argmax(dim=1) if "c" in tensors else None
            kept[name] = arrays, tensors, lambda **options: opened(state, arrays["config"], **options)
        return kept[name]

    return load


def value_is_tensor(value):
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def near(images, tensors, output, tolerance):
    """Fail unless images are those of an output, which its file may hold every so many pixels."""
    key = next(key for key in tensors if key in (output, *(f"{output}_every{step}" for step in (2, 4, 8))))
    step = int(key[-1]) if "_every" in key else 1
    seen = every(images, step)[:, : tensors[key].shape[1]]
    torch.testing.assert_close(seen, tensors[key], atol=tolerance, rtol=0)


@golden_files
@torch.inference_mode()
def test_w_is_the_originals(name, held):
    _, tensors, make = held(name)
    w = make().mapped(tensors["z"], tensors["y"])
    torch.testing.assert_close(w, tensors["w"], atol=MAPPED, rtol=0)
    if "w_trunc" in tensors:
        truncated = make(psi="0.5")._truncated(tensors["w"])
        torch.testing.assert_close(truncated, tensors["w_trunc"], atol=MAPPED, rtol=0)


@golden_files
@pytest.mark.parametrize("output", OPTIONS)
@torch.inference_mode()
def test_images_are_the_originals(name, output, held):
    _, tensors, make = held(name)
    if not any(key.startswith(output) for key in tensors):
        assert output in ("out_trunccut", "out_nonoise")
        return
    options = dict(OPTIONS[output])
    if name.startswith("genforce") and options:
        options["cutoff"] = "4"  # trunc_layers of the golden file: without it, the original truncates nothing
    images = make(space="z", **options)(Latents(tensors["z"], tensors["y"]))
    near(images, tensors, output, TOLERANCES[name])
    if output == "out":
        statistics = channel_statistics(images)[: len(tensors["out_channel_stats"])]
        torch.testing.assert_close(statistics, tensors["out_channel_stats"], atol=TOLERANCES[name], rtol=0)
    if output == "out" and "out_patch" in tensors:
        torch.testing.assert_close(images[:, :, 112:144, 112:144], tensors["out_patch"], atol=TOLERANCES[name], rtol=0)


@golden_files
@torch.inference_mode()
def test_shifts_are_the_originals(name, held):
    _, tensors, make = held(name)
    generator, z = make(), tensors["z"]
    latents = Latents(generator.mapped(z, tensors["y"]))
    near(generator(latents.shifted(4 * tensors["direction"])), tensors, "out_wshift", TOLERANCES[name])
    if any(key.startswith("out_zshift") for key in tensors):
        images = make(space="z")(Latents(z).shifted(4 * tensors["direction"]))
        near(images, tensors, "out_zshift", TOLERANCES[name])


@pytest.mark.parametrize(
    "name", [name for name in TOLERANCES if name not in ("stylegan2ada_256", "genforce_stylegan2_64")]
)
@torch.inference_mode()
def test_mixed_styles_are_the_originals(name, held):
    """A step to colours shares its slot with the next convolution: with one w for all it makes no difference."""
    _, tensors, make = held(name)
    generator = make()
    first, second = (generator.mapped(tensors[z], tensors["y"])[:, None] for z in ("z", "z2"))
    ws = torch.cat([first.expand(-1, 4, -1), second.expand(-1, generator.num_layers - 4, -1)], dim=1)
    near(generator(Latents(ws)), tensors, "out_mix", TOLERANCES[name])


def corresponding(generator, name):
    """Our module whose output is that of one of the original's, or None."""
    net, slots = generator.network, dict(zip(range(99), generator.network.convs, strict=False))
    parts = name.removeprefix("synthesis.").removesuffix("[0]").split(".")
    if len(parts) == 1:  # genforce's
        number = parts[0].removeprefix("layer")
        return (net.conv1 if number == "0" else slots[int(number) - 1]) if number.isdigit() else None
    block = int(parts[0][1:]).bit_length() - 3
    if parts[1] == "torgb":  # ours adds the image so far
        return net.to_rgbs[-1] if net.to_rgb1 is None else net.to_rgb1 if block == 0 else None
    if parts[1] == "skip":
        return net.bypasses[block - 1]
    return net.conv1 if block == 0 else slots[2 * (block - 1) + int(parts[1][-1])]


@golden_files
@torch.inference_mode()
def test_layers_are_the_originals(name, held):
    arrays, tensors, make = held(name)
    generator, seen = make(space="z"), {}

    def noting(layer):
        def note(_module, _given, h):
            seen[layer] = [h.mean(), h.std(correction=0), *h.flatten()[:6]]

        return note

    names = [str(layer) for layer in arrays["layer_names"]]
    for layer in names:
        module = corresponding(generator, layer)
        if module is not None and not layer.endswith("[1]"):
            module.register_forward_hook(noting(layer))
    generator(Latents(tensors["z"], tensors["y"]))
    assert len(seen) >= len(names) * 0.3
    for layer, row in zip(names, torch.from_numpy(arrays["layer_stats"]), strict=True):
        if layer in seen:
            torch.testing.assert_close(torch.stack(seen[layer]), row, atol=1e-4, rtol=1e-4)


@full_sizes
def test_full_size_layouts_are_recognised_and_build(name):
    what, entries = LAYOUTS[name]
    state = {key: torch.empty(size, device="meta") for key, size in table(name).items()}
    zeros = {key: torch.zeros(()).expand(size) for key, size in table(name).items()}  # of one number's memory
    assert len(state) == entries
    assert recognised(Weights(zeros, Path("g.pkl")))[0] == what
    naming = genforce.NAMING if name.startswith("genforce") else nvlabs.NAMING
    assert naming.shapes(state) == table(name)
    shape = infer_shape(naming.ours(state))
    built = StyleGAN2Network(shape, naming.canonical(state))
    side = next(side for side in (256, 512, 1024, 10) if name.removesuffix("_cond").endswith(str(side)))
    assert (built.image_size, built.num_classes) == ((32, 10) if side == 10 else (side, 0))


@full_sizes
def test_one_wrong_entry_of_a_full_size_is_named(name):
    what = LAYOUTS[name][0]
    state = {key: torch.empty(size, device="meta") for key, size in table(name).items()}
    wrong = next(key for key in state if key.endswith(("b8.conv1.bias", "layer2.bias")))

    def told(changed):
        with pytest.raises(UserError) as caught:
            opened(changed)
        assert f"resembles {what} most" in str(caught.value)
        return str(caught.value)

    assert f"missing: {wrong}; check" in told({key: value for key, value in state.items() if key != wrong})
    assert "unknown: step; check" in told(state | {"step": torch.empty((), device="meta")})
    assert f"{wrong} is [3], expected [512]; check" in told(state | {wrong: torch.empty(3, device="meta")})


def renamed(naming, state, flipped=False):
    """A state of NVIDIA's layout in another one, by what the specification says of both."""
    converted = {}
    for key, value in state.items():
        entry = naming.entry(key)
        if entry is None:
            continue
        if key.endswith("resample_filter"):
            value = FILTER
        if flipped and key.endswith("conv0.weight"):
            value = value.flip(2, 3)
        if flipped and key.endswith("affine.bias"):
            value = value - 1
        converted[entry.name] = value.reshape(entry.shaped(tuple(value.shape)))
    return converted


@torch.inference_mode()
def test_the_same_network_in_three_layouts_gives_the_same_images():
    shape = StyleGAN2Shape((8, 10, 6, 4), style_dim=12, mapping_layers=3, latent_dim=12)
    state = filled(shape)
    latents = Latents(torch.randn(2, 12))
    images = opened(state, space="z")(latents)
    for naming, flipped in ((rosinality.NAMING, False), (genforce.NAMING, True)):
        other = renamed(naming, state, flipped)
        assert other.keys() == naming.table(shape).keys()
        close(opened(other, None, space="z")(latents), images, depth=TINY_DEPTH)
        mean = opened(other, None).mean
        assert torch.equal(mean, state["mapping.w_avg"])


@torch.inference_mode()
def test_genforce_up_sampling_is_flipped_and_its_styles_lack_1():
    state = renamed(genforce.NAMING, filled(TINY), flipped=True)
    images = opened(state, None)(Latents(torch.ones(1, 12)))
    for wrong in ("layer1.weight", "layer1.style.bias"):
        change = {
            name: value.flip(-1) if "weight" in wrong else value + 1 for name, value in state.items() if wrong in name
        }
        assert float((opened(state | change, None)(Latents(torch.ones(1, 12))) - images).abs().max()) > 0.01


@pytest.mark.parametrize(
    ("kwargs", "clamp"),
    [
        ({"synthesis_kwargs": {"channel_base": 16384}}, None),
        ({"synthesis_kwargs": {"conv_clamp": 256}}, 256),
        ({"channel_base": 16384, "mapping_kwargs": {"num_layers": 3}}, 256),
        ({"channel_base": 16384, "conv_clamp": None}, None),
        ({"conv_clamp": 3.5}, 3.5),
    ],
)
def test_both_dialects_say_where_features_are_clamped(kwargs, clamp):
    generator = opened(filled(TINY), kwargs)
    assert generator.network.conv1.clamp == generator.network.to_rgb1.clamp == clamp
    assert generator.notes == ()


def test_a_file_without_arguments_is_clamped_at_256_and_says_so():
    generator = opened(filled(TINY), None)
    assert generator.network.convs[0].clamp == 256
    assert generator.notes == (
        "g.pkl does not say where features are clamped (conv_clamp); 256 is taken, with which NVIDIA's programs train",
    )
    assert opened(renamed(rosinality.NAMING, filled(TINY)), None).notes == ()


@torch.inference_mode()
def test_residual_blocks_scale_the_clamp_with_the_gain_and_colours_are_clamped():
    state, peaks = filled(StyleGAN2Shape(TINY.channels, 12, 3, 7, architecture="resnet")), {}
    state["synthesis.b32.torgb.weight"] *= 10
    generator = opened(state, {"synthesis_kwargs": {"conv_clamp": 0.25}})
    for name in ("conv1", "convs.0", "convs.1"):
        generator.network.get_submodule(name).register_forward_hook(
            lambda _module, _given, h, name=name: peaks.__setitem__(name, float(h.abs().max()))
        )
    images = generator(Latents(torch.randn(4, 12)))
    assert peaks == pytest.approx({"conv1": 0.25, "convs.0": 0.25, "convs.1": 0.25 / 2**0.5})
    assert float(images.abs().max()) == 0.25


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
@pytest.mark.parametrize(("colours", "classes"), [(1, 0), (3, 5)])
def test_architecture_colours_and_classes_are_told_by_the_entries(architecture, colours, classes):
    shape = StyleGAN2Shape(TINY.channels, 12, 3, 7, classes, colours, architecture)
    state = filled(shape)
    assert infer_shape(state) == shape
    generator = opened(state, noise="fresh")
    assert isinstance(generator, Generator)
    assert isinstance(generator, Inspectable)
    images = generator(generator.sample(3, Stream(0, "z")))
    assert images.shape == (3, 3, 32, 32)
    assert bool((images == images[:, :1]).all()) == (colours == 1)
    assert len(generator.first_weights()) == generator.num_layers == 8


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
def test_every_slot_is_read_and_the_last_by_the_last_step_to_colours(architecture):
    generator = opened(filled(StyleGAN2Shape(TINY.channels, 12, 3, 7, architecture=architecture)))
    ws = torch.randn(1, 8, 12, requires_grad=True)
    features = []
    generator.network.convs[-1].register_forward_hook(lambda _module, _given, h: features.append(h))
    image = generator(Latents(ws)).sum()
    (of_image,) = torch.autograd.grad(image, ws, retain_graph=True)
    (of_features,) = torch.autograd.grad(features[0].sum(), ws)
    assert bool((of_image != 0).any(dim=2).all())
    read = (of_features[0] != 0).any(dim=1).tolist()
    assert read == [True] * 7 + [False]


@pytest.mark.parametrize("side", [(4, 4), (4, 8), (3, 5)])
@torch.inference_mode()
def test_images_of_any_aspect_are_those_of_the_plain_path(side):
    shape = StyleGAN2Shape(TINY.channels, 12, 3, 7, first=side)
    state = filled(shape)
    assert infer_shape(state) == shape
    generator = opened(state, {"synthesis_kwargs": {"conv_clamp": 2.0}})
    assert image_shape(generator) == (8 * side[0], 8 * side[1])
    assert generator.image_size == 8 * max(side)
    z = torch.randn(2, 7)
    w = mapped(state, z)
    close(generator.mapped(z), w, depth=3)
    ws = torch.randn(2, 8, 12)  # of every slot another: mixing two of them shows no step to colours a slot too early
    images = plain(state, {"synthesis_kwargs": {"conv_clamp": 2.0}})(ws)
    close(generator(Latents(ws)), images, depth=TINY_DEPTH)
    assert generator(Latents(w)).shape == (2, 3, *image_shape(generator))
    fresh = opened(state, noise="fresh")
    assert [noise.shape[2:] for noise in fresh.noises(fresh.sample(1, Stream(0, "z")))] == shape.noise_shapes


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
@pytest.mark.parametrize("options", [{}, {"noise": "fresh"}, {"noise": "none"}])
def test_samples_alone_and_in_strips_are_those_of_the_whole_batch(architecture, options, monkeypatch):
    state = filled(StyleGAN2Shape((8, 10, 6, 4), 12, 3, 7, architecture=architecture))
    kwargs = {"synthesis_kwargs": {"conv_clamp": 1.0}}
    generator = opened(state, kwargs, **options)
    latents = generator.sample(3, Stream(0, "z"))
    latents.z.requires_grad_()
    whole = generator(latents).detach()
    monkeypatch.setattr(network, "_ALONE_FROM", 10 * 8 * 8)
    monkeypatch.setattr(layers, "_STRIP", 300)
    alone = opened(state, kwargs, **options)
    with torch.inference_mode():
        close(alone(latents), whole, depth=TINY_DEPTH)
        close(alone(latents[1:2]), whole[1:2], depth=TINY_DEPTH)


def test_own_weights_are_taken_for_one_sample_alone(monkeypatch):
    generator = opened(filled(TINY))
    calls = []
    for kind in (layers.StyledConv, layers.UpsampledStyledConv):
        own = kind._own
        monkeypatch.setattr(kind, "_own", lambda *args, own=own: (calls.append(1), own(*args))[1])
    w = torch.randn(2, 12)
    with torch.inference_mode():
        generator(Latents(w))
    generator(Latents(w[:1].requires_grad_()))
    assert not calls
    with torch.inference_mode():
        generator(Latents(w[:1]))
    assert len(calls) == 4  # of 7: where there are more features than weights


def test_gradients_reach_latents_and_given_noise_through_the_clamp():
    net = opened(filled(TINY), {"synthesis_kwargs": {"conv_clamp": 2.0}}).network.double()
    w = torch.randn(2, 12, dtype=torch.float64, requires_grad=True)
    noises = [torch.randn(1, 1, *shape, dtype=torch.float64, requires_grad=True) for shape in TINY.noise_shapes]
    weights = torch.randn(2, 3, 32, 32, dtype=torch.float64)

    def loss(w, noises):
        return (net(w, noises) * weights).sum()

    gradients = torch.autograd.grad(loss(w, noises), [w, *noises])
    steps = [1e-4 * torch.randn_like(one) for one in (w, *noises)]
    with torch.no_grad():
        ends = [
            loss(w + sign * steps[0], [n + sign * s for n, s in zip(noises, steps[1:], strict=True)])
            for sign in (1, -1)
        ]
    expected = sum(float((g * s).sum()) for g, s in zip(gradients, steps, strict=True))
    assert expected == pytest.approx(float(ends[0] - ends[1]) / 2, rel=1e-2)
    assert all(bool((gradient != 0).any()) for gradient in gradients)


def test_no_noise_is_added_where_its_strength_is_0():
    state = filled(TINY)
    state = {name: value * 0 if name.endswith("noise_strength") else value for name, value in state.items()}
    assert opened(state).network.conv1.noise is None
    latents = Latents(torch.randn(2, 12))
    assert torch.equal(opened(state)(latents), opened(state, noise="none")(latents))


@torch.inference_mode()
def test_bfloat16_stays_close(monkeypatch):
    monkeypatch.setattr(network, "_ALONE_FROM", 10 * 8 * 8)
    generator = opened(filled(TINY), {"conv_clamp": 256})
    latents = generator.sample(3, Stream(0, "z"))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        images = generator(latents)
    exact = generator(latents)
    assert images.dtype == torch.float32
    assert 0 < float((images - exact).abs().mean() / exact.std()) < 0.01


@pytest.mark.parametrize(
    ("change", "kwargs", "text"),
    [
        (
            {"synthesis.b8.conv0.resample_filter": FILTER},
            CONFIG,
            r"b8\.conv0\.resample_filter in g\.pkl is another filter",
        ),
        ({}, {"synthesis_kwargs": {"activation": "relu"}}, "synthesis of g.pkl has the activation 'relu', but"),
        ({}, {"mapping_kwargs": {"activation": "linear"}}, "mapping of g.pkl has the activation 'linear', but"),
        ({}, {"conv_clamp": -1}, "conv_clamp in g.pkl is -1, but has to be a number above 0; check the file"),
        ({}, {"conv_clamp": "256"}, "conv_clamp in g.pkl is '256', but has to be"),
        ({}, {"mapping_kwargs": {"lr_multiplier": None}}, "lr_multiplier in g.pkl is None, but has to be"),
    ],
)
def test_what_cannot_be_rendered_is_refused(change, kwargs, text):
    with pytest.raises(UserError, match=text):
        opened(filled(TINY) | change, kwargs)


def test_images_of_four_channels_are_refused():
    with pytest.raises(UserError, match=r"images of g\.pkl have 4 channels; colour has 3, grey 1"):
        opened(filled(StyleGAN2Shape(TINY.channels, 12, 3, 7, colours=4)))


def test_genforce_filters_may_hold_their_gain_or_not():
    state = renamed(genforce.NAMING, filled(TINY), flipped=True)
    kernels = {name: value / 4 for name, value in state.items() if name.endswith("kernel")}
    assert isinstance(opened(state | kernels, None), StyledGenerator)
    with pytest.raises(UserError, match=r"layer1\.filter\.kernel in g\.pkl is another filter.*sum 4 or 1"):
        opened(state | {"synthesis.layer1.filter.kernel": kernels["synthesis.layer1.filter.kernel"] / 2}, None)


def test_the_learning_rate_of_the_mapping_is_that_of_the_arguments():
    state, z = filled(TINY), torch.randn(1, 7)
    faster = {name: value / 2 if name.startswith("mapping.fc") else value for name, value in state.items()}
    w = opened(state).mapped(z)
    close(opened(faster, {**CONFIG, "mapping_kwargs": {"lr_multiplier": 0.02}}).mapped(z), w, depth=3)


def test_the_average_of_a_genforce_file_is_opened(tmp_path):
    state = renamed(genforce.NAMING, filled(TINY), flipped=True)
    raw = {name: torch.zeros_like(value) for name, value in state.items()}
    torch.save({"generator": raw, "discriminator": {}, "generator_smooth": state}, tmp_path / "g.pth")
    generator = open_generator(f"{tmp_path / 'g.pth'}@psi=0")
    assert torch.equal(generator.sample(1, Stream(0, "z")).z[0], state["truncation.w_avg"])
    torch.save({"generator": state}, tmp_path / "g.pth")
    assert open_generator(str(tmp_path / "g.pth")).image_size == 32


@pytest.mark.parametrize("name", ["genforce_pggan_64", "genforce_stylegan_64"])
def test_the_average_is_taken_of_genforces_other_families_too(name, tmp_path):
    average = {key: torch.ones(size) for key, size in table(name).items()}
    other = {key: torch.zeros(size) for key, size in table(name).items()}
    torch.save({"generator": other, "generator_smooth": average}, tmp_path / "g.pth")
    read = read_weights(tmp_path / "g.pth").tensors
    assert read.keys() == average.keys()
    assert all(bool(tensor.all()) for tensor in read.values())


def test_directions_are_discovered_by_the_command_which_says_what_it_takes(tmp_path):
    torch.save(filled(StyleGAN2Shape((8, 10, 6, 4), 12, 3, 7, 5)), tmp_path / "g.pt")
    output = ran("discover", "--generator", f"{tmp_path / 'g.pt'}@classes=1,3", "--out", tmp_path / "run", *DISCOVER)
    assert "note: " in output
    assert "(conv_clamp); 256 is taken" in output
    assert (tmp_path / "run" / "directions.safetensors").exists()
