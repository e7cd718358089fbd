"""torch-mimicry's SNGAN, self-conditioned GANs and genforce's ProgGAN against the originals' golden numbers."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from golden_modern import channel_statistics, every, filled_state, golden_arrays, table
from safetensors.torch import save_file

from generators.catalogue import open_generator
from generators.frozen import FixedConv
from generators.layouts import Weights, open_published
from generators.protocol import Generator, Inspectable, Latents
from generators.published import mimicry, proggan, self_conditioned
from generators.spec import Options
from toolkit.errors import UserError
from toolkit.streams import Stream

MIMICRY = ("mimicry_sngan_32", "mimicry_sngan_48", "mimicry_sngan_64", "mimicry_sngan_128")
SELF = ("selfcond_resnet2_64_cond", "selfcond_resnet2_64_uncond")
TOLERANCES = {**dict.fromkeys(MIMICRY, 2e-5), **dict.fromkeys(SELF, 1e-5), "genforce_pggan_64": 2e-5}
FAMILIES = {**dict.fromkeys(MIMICRY, "mimicry"), **dict.fromkeys(SELF, "selfcond"), "genforce_pggan_64": "genforce"}


def state_of(name):
    return filled_state(FAMILIES[name], table(name))


def opened(name, state=None, **options):
    given = {key: str(value) for key, value in options.items()}
    return open_published(Weights(state or state_of(name), Path("g.pth")), Options(given, "g.pth"))


def latents(golden):
    classes = torch.from_numpy(golden["classes"]).long() if "classes" in golden else None
    return Latents(torch.from_numpy(golden["z"]), classes)


def away(ours, theirs):
    return float((ours - torch.from_numpy(theirs)).abs().max())


def step(golden, images):
    """Which of rows and columns the golden images are."""
    return images.shape[-1] // next(golden[key] for key in ("out", "out_every2") if key in golden).shape[-1]


@pytest.mark.parametrize("name", TOLERANCES)
@torch.inference_mode()
def test_images_are_the_originals(name):
    golden, generator = golden_arrays(name), opened(name)
    images = generator(latents(golden))
    expected = golden["out"] if "out" in golden else golden["out_every2"]
    assert away(every(images, step(golden, images)), expected) < TOLERANCES[name]
    assert away(channel_statistics(images), golden["out_channel_stats"]) < TOLERANCES[name]


def modules_of(name, network):
    """Which of our modules give what an original's do, by its names."""
    if name in MIMICRY:
        blocks = {f"block{i}": block for i, block in enumerate(network.blocks, start=2)}
        return {"l1": network.linear, **blocks, f"c{len(blocks) + 2}": network.to_image}
    if name in SELF:
        blocks = {f"resnet_{i // 2}_{i % 2}": block for i, block in enumerate(network.blocks)}
        return {"fc": network.fc, **blocks, "conv_img": network.to_image}
    return {f"layer{i}": feature for i, feature in enumerate(network.features)}


@pytest.mark.parametrize("name", TOLERANCES)
@torch.inference_mode()
def test_layers_are_the_originals(name):
    golden, generator, seen = golden_arrays(name), opened(name), {}
    modules = modules_of(name, generator.network)
    for key, module in modules.items():
        module.register_forward_hook(lambda _module, _given, h, key=key: seen.update({key: h.clone()}))
    generator(latents(golden))
    rows = dict(zip(map(str, golden["layer_names"]), torch.from_numpy(golden["layer_stats"]).float(), strict=True))
    assert len(rows.keys() - seen.keys()) <= 1  # a norm that ours has merged with its activation, the sum to colours
    for key, h in seen.items():
        stats = torch.tensor([float(h.mean()), float(h.std(correction=0)), *h.contiguous().flatten()[:6].tolist()])
        torch.testing.assert_close(stats, rows[key], atol=1e-4, rtol=1e-4, msg=lambda text, key=key: f"{key}: {text}")


@pytest.mark.parametrize("name", TOLERANCES)
def test_keeps_the_protocol(name):
    generator = opened(name)
    assert isinstance(generator, Generator)
    assert isinstance(generator, Inspectable)
    drawn = generator.sample(2, Stream(0, "x"))
    z = drawn.z.requires_grad_()
    images = generator(Latents(z, drawn.y))
    images.square().sum().backward()
    assert images.shape == (2, 3, generator.image_size, generator.image_size)
    assert bool(z.grad.any())
    assert generator.first_weights()[0].shape[1] == generator.latent_dim
    assert generator.feature_layer in dict(generator.network.named_modules())
    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
        near = generator(Latents(z.detach(), drawn.y))
    assert near.dtype == torch.float32
    assert float((near - images.detach()).abs().mean()) < 0.1


@pytest.mark.parametrize(
    ("name", "module", "size"),
    [
        *((f"mimicry_sngan_{side}", mimicry, side) for side in (32, 48, 64, 128)),
        ("selfcond_resnet2_128_k100", self_conditioned, 128),
        ("selfcond_resnet2_128_uncond", self_conditioned, 128),
    ],
)
def test_official_sizes_are_recognised(name, module, size):
    shapes = table(name)
    shape = module.infer_shape({key: torch.empty(lengths, device="meta") for key, lengths in shapes.items()})
    assert shape.image_size == size
    assert module.published_shapes(shape) == shapes


@pytest.mark.parametrize("side", [256, 1024])
def test_official_sizes_of_genforces_proggan_are_recognised(side):
    shapes = table(f"genforce_pggan_{side}")
    state = {key: torch.empty(size, device="meta") for key, size in shapes.items()}
    shape = proggan.infer_shape(proggan._renamed(state))
    assert shape.image_size == side
    assert proggan.genforce_shapes(shape) == shapes


@torch.inference_mode()
def test_mimicry_interpolates_where_others_repeat(monkeypatch):
    golden = golden_arrays("mimicry_sngan_32")
    monkeypatch.setattr(mimicry, "_doubled", lambda features: F.interpolate(features, scale_factor=2, mode="nearest"))
    assert away(opened("mimicry_sngan_32")(latents(golden)), golden["out"]) > 0.5


def test_a_self_conditioned_gan_draws_from_the_clusters_that_are_named():
    assert opened("selfcond_resnet2_64_cond", classes="3,7").sample(50, Stream(0, "x")).y.unique().tolist() == [3, 7]
    assert opened("selfcond_resnet2_64_uncond").sample(2, Stream(0, "x")).y is None
    with pytest.raises(UserError, match="class 10 is unknown; this generator has classes 0 to 9"):
        opened("selfcond_resnet2_64_cond", classes="10")


def test_checkpoints_are_unwrapped_and_averages_preferred(tmp_path):
    state, other = state_of("selfcond_resnet2_64_uncond"), state_of("selfcond_resnet2_64_uncond")
    other["fc.bias"] = other["fc.bias"] + 1
    wrapped = {f"module.{name}": tensor for name, tensor in state.items()}
    torch.save(
        {"generator": other, "generator_test": wrapped, "discriminator": {"fc.weight": torch.ones(1)}},
        tmp_path / "m.pt",
    )
    plain = opened("selfcond_resnet2_64_uncond", state)
    latent = plain.sample(1, Stream(0, "x"))
    torch.testing.assert_close(open_generator(str(tmp_path / "m.pt"))(latent), plain(latent))
    held = {"model_state_dict": state_of("mimicry_sngan_32"), "optimizer_state_dict": {"state": {}}, "global_step": 7}
    torch.save(held, tmp_path / "netG_7_steps.pth")
    assert open_generator(str(tmp_path / "netG_7_steps.pth")).name == "mimicry-sngan32"
    smooth, last = state_of("genforce_pggan_64"), state_of("genforce_pggan_64")
    last["layer0.bias"] = last["layer0.bias"] + 1
    torch.save({"generator": last, "generator_smooth": smooth, "discriminator": {}}, tmp_path / "pggan.pth")
    averaged = opened("genforce_pggan_64", smooth)
    latent = averaged.sample(1, Stream(0, "x"))
    torch.testing.assert_close(open_generator(str(tmp_path / "pggan.pth"))(latent), averaged(latent))


def test_a_growing_proggan_is_refused():
    state = state_of("genforce_pggan_64")
    state["lod"] = torch.tensor(2.0)
    with pytest.raises(UserError, match=r"while the network grew \(lod is 2, not 0\)"):
        opened("genforce_pggan_64", state)


def test_mimicrys_first_features_may_be_of_any_side():
    assert mimicry.MimicryShape((8, 4), first_side=6).image_size == 12
    network = opened("mimicry_sngan_48").network
    assert network.linear(torch.zeros(1, 128)).shape[-2:] == (6, 6)
    assert isinstance(network.to_image, FixedConv)


def test_a_state_in_safetensors_opens_alike(tmp_path):
    save_file(
        {name: tensor.contiguous() for name, tensor in state_of("mimicry_sngan_32").items()}, tmp_path / "g.safetensors"
    )
    assert open_generator(str(tmp_path / "g.safetensors")).image_size == 32
