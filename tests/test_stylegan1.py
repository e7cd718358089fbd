"""StyleGAN in genforce's layout against the original's golden numbers."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from golden_modern import channel_statistics, every, filled_state, golden_arrays, table

from generators.layouts import Weights, open_published
from generators.protocol import Inspectable, Latents, Layered
from generators.published.stylegan1 import network
from generators.published.stylegan1.layout import infer_shape, published_shapes
from generators.published.stylegan1.network import BLUR
from generators.spec import Options
from toolkit.errors import UserError
from toolkit.streams import Stream

FILES = {"genforce_stylegan_64": 1, "genforce_stylegan_128": 2}  # the second doubles inside a convolution
TOLERANCE = 5e-5
PSI: list[dict[str, float]] = [{}, {"psi": 0.5}, {"psi": 0.5, "cutoff": 4}]
every_file = pytest.mark.parametrize("name", FILES)


def state_of(name):
    shapes = table(name)
    kernels = {key: BLUR.expand(size) for key, size in shapes.items() if key.endswith("blur.kernel")}
    return filled_state("genforce", {key: size for key, size in shapes.items() if key not in kernels}) | kernels


def opened(name, **options):
    given = {key: str(value) for key, value in options.items()}
    return open_published(Weights(state_of(name), Path("stylegan.pth")), Options(given, "stylegan.pth"))


def away(ours, theirs):
    return float((ours - torch.from_numpy(theirs)).abs().max())


@every_file
@torch.inference_mode()
def test_images_are_the_originals(name):
    golden, generator = golden_arrays(name), opened(name, space="z")
    z = torch.from_numpy(golden["z"])
    images = generator(Latents(z))
    out = "out" if FILES[name] == 1 else "out_every2"
    assert away(every(images, FILES[name]), golden[out]) < TOLERANCE
    assert away(channel_statistics(images), golden["out_channel_stats"]) < TOLERANCE
    assert away(generator.mapped(z), golden["w"]) < 2e-5


@every_file
@torch.inference_mode()
def test_truncation_moves_the_first_layers_alone(name):
    golden, generator = golden_arrays(name), opened(name, space="z", psi=0.5, cutoff=4)
    images = generator(Latents(torch.from_numpy(golden["z"])))
    assert away(every(images, 2), golden["out_trunc_every2"]) < TOLERANCE


@every_file
@torch.inference_mode()
def test_a_shift_of_w_moves_all_layers(name):
    golden, generator = golden_arrays(name), opened(name)
    moved = Latents(torch.from_numpy(golden["w"])).shifted(4 * torch.from_numpy(golden["direction"]))
    assert away(every(generator(moved), 2), golden["out_wshift_every2"]) < TOLERANCE


@every_file
@torch.inference_mode()
def test_layers_are_the_originals(name):
    golden, generator, ours = golden_arrays(name), opened(name), {}
    for i, layer in enumerate(generator.network.layers):
        layer.register_forward_hook(lambda _layer, _given, h, i=i: ours.update({f"synthesis.layer{i}[0]": h}))
    generator(Latents(torch.from_numpy(golden["w"])))
    rows = dict(zip(map(str, golden["layer_names"]), golden["layer_stats"], strict=True))
    assert len(ours) == generator.num_layers
    for key, h in ours.items():
        stats = torch.tensor([float(h.mean()), float(h.std(correction=0)), *h.contiguous().flatten()[:6].tolist()])
        torch.testing.assert_close(stats, torch.from_numpy(rows[key]).float(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("side", [256, 1024])
def test_official_sizes_are_recognised(side):
    shapes = table(f"genforce_stylegan_{side}")
    shape = infer_shape({key: torch.empty(size, device="meta") for key, size in shapes.items()})
    assert shape.image_size == side
    assert published_shapes(shape) == shapes


def test_is_layered_and_inspectable():
    generator = opened("genforce_stylegan_64")
    assert isinstance(generator, Layered)
    assert isinstance(generator, Inspectable)
    assert [tuple(weight.shape) for weight in generator.first_weights()][:2] == [(512, 512), (512, 512)]
    assert len(generator.first_weights()) == generator.num_layers == 10


def test_noise_is_stored_fresh_or_none():
    w = opened("genforce_stylegan_64").sample(1, Stream(0, "x")).z
    stored, none = (opened("genforce_stylegan_64", noise=kind)(Latents(w)) for kind in ("stored", "none"))
    fresh = opened("genforce_stylegan_64", noise="fresh")
    first, second = (fresh(Latents(w, torch.tensor([number]))) for number in (1, 2))
    images = [stored, none, first, second]
    assert all(float((a - b).abs().mean()) > 0.01 for i, a in enumerate(images) for b in images[:i])


def test_gradients_reach_the_latents_and_bf16_stays_near():
    generator = opened("genforce_stylegan_64")
    w = generator.sample(1, Stream(0, "x")).z.requires_grad_()
    exact = generator(Latents(w))
    exact.sum().backward()
    assert bool(w.grad.isfinite().all())
    assert bool(w.grad.any())
    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
        near = generator(Latents(w.detach()))
    assert float((near - exact.detach()).abs().mean()) < 0.05


@pytest.mark.parametrize(
    ("entry", "value", "text"),
    [
        ("synthesis.layer4.blur.kernel", 1.0, "another filter than 1, 2, 1"),
        ("synthesis.lod", 1.5, r"while the network grew \(synthesis\.lod is 1\.5"),
    ],
)
def test_files_of_other_trainings_are_refused(entry, value, text):
    state = state_of("genforce_stylegan_64")
    state[entry] = torch.full_like(state[entry].contiguous(), value)
    with pytest.raises(UserError, match=text):
        open_published(Weights(state, Path("other.pth")), Options({}, "other.pth"))


@torch.inference_mode()
def test_from_128_pixels_on_kernels_double_inside_the_convolution(monkeypatch):
    """Both ways give pictures, which differ."""
    golden = golden_arrays("genforce_stylegan_128")
    monkeypatch.setattr(network, "_FUSED_FROM", 256)
    images = opened("genforce_stylegan_128")(Latents(torch.from_numpy(golden["w"])))
    assert away(every(images, 2), golden["out_every2"]) > 0.01


@torch.inference_mode()
def test_nothing_is_truncated_unless_it_is_asked_for_and_then_in_the_layers_named():
    """genforce truncates nothing without trunc_layers; here psi alone means all layers, as it does elsewhere."""
    golden = golden_arrays("genforce_stylegan_64")
    drawn = [opened("genforce_stylegan_64", **options).sample(2, Stream(0, "x")).z for options in PSI]
    plain, all_layers, first_layers = drawn
    assert plain.shape == all_layers.shape == (2, 512)
    assert torch.equal(first_layers[:, 4:], plain[:, None].expand(-1, 6, -1))
    torch.testing.assert_close(first_layers[:, :4], all_layers[:, None].expand(-1, 4, -1))
    z = Latents(torch.from_numpy(golden["z"]))
    assert away(every(opened("genforce_stylegan_64", space="z", psi=0.5)(z), 2), golden["out_trunc_every2"]) > 0.01


def conditional(classes=5):
    state = state_of("genforce_stylegan_64")
    state["mapping.label_weight"] = torch.randn(classes, 512, generator=torch.Generator().manual_seed(0))
    weight = state["mapping.dense0.weight"]
    state["mapping.dense0.weight"] = torch.cat([weight, weight.flip(0)], dim=1)
    return state


@torch.inference_mode()
def test_classes_join_z_before_both_are_brought_to_their_length():
    state, z, y = conditional(), torch.randn(3, 512), torch.tensor([4, 0, 2])
    generator = open_published(Weights(state, Path("c.pth")), Options({"classes": "4,2"}, "c.pth"))
    assert generator.sample(40, Stream(0, "x")).z.shape == (40, 512)
    assert generator.classes == (4, 2)
    x = torch.cat([z, state["mapping.label_weight"][y]], dim=1)
    x = x / (x.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()
    for i in range(8):
        weight, bias = (state[f"mapping.dense{i}.{part}"] for part in ("weight", "bias"))
        x = F.leaky_relu(x @ weight.T * (0.01 * 2**0.5 / weight.shape[1] ** 0.5) + 0.01 * bias, 0.2)
    torch.testing.assert_close(generator.mapped(z, y), x, atol=2e-5, rtol=1e-5)
