"""Training a compact generator: exact resumption, differentiable augmentation, and the file that comes of it."""

import dataclasses
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest
import torch
from rounding import close

from generators.catalogue import open_generator
from generators.compact import discriminator
from generators.compact.augmentation import NUM_UNIFORMS, augmented
from generators.compact.discriminator import Discriminator
from generators.compact.network import KIND, CompactGenerator, CompactNetwork, CompactShape, load_compact
from generators.compact.settings import GeneratorSettings
from generators.compact.training import GeneratorState, GeneratorStep, train
from generators.protocol import Generator, Latents
from toolkit.compute.engine import choose_engine
from toolkit.errors import UserError
from toolkit.files.artefacts import load_artefact, load_pickled, save_artefact, save_checkpoint
from toolkit.streams import Stream

SETTINGS = GeneratorSettings(steps=6, batch=8, image_size=32, latent_dim=10, width=8, critic_width=8)
ENGINE = choose_engine("cpu", "fp32")
PHOTOS = (Stream(0, "test-photos").uniform(20, 3 * 32 * 32) * 256).to(torch.uint8).view(20, 3, 32, 32)


def start(settings=SETTINGS) -> GeneratorState:
    return GeneratorState.start(settings, ENGINE)


def run(state, settings=SETTINGS, steps=None) -> list[GeneratorStep]:
    return list(islice(train(state, PHOTOS, settings, ENGINE), steps))


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every tensor and number in a nested state, with its path."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{name}/{key}")
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from leaves(inner, f"{name}/{index}")
    else:
        yield name, value


def differing(first: GeneratorState, second: GeneratorState) -> list[str]:
    one, other = dict(leaves(first.state_dict())), dict(leaves(second.state_dict()))
    assert one.keys() == other.keys()
    return [
        name
        for name, value in one.items()
        if not (torch.equal(value, other[name]) if isinstance(value, torch.Tensor) else value == other[name])
    ]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_stopping_and_resuming_equals_not_stopping(tmp_path, precision):
    engine = choose_engine("cpu", precision)

    def steps(state, count=None):
        return list(islice(train(state, PHOTOS, SETTINGS, engine), count))

    straight = GeneratorState.start(SETTINGS, engine)
    all_steps = steps(straight)
    stopped = GeneratorState.start(SETTINGS, engine)
    steps(stopped, 3)
    save_checkpoint(tmp_path / "checkpoint.pt", stopped.state_dict())

    resumed = GeneratorState.start(dataclasses.replace(SETTINGS, seed=5), engine)
    for name in resumed.streams:
        resumed.streams[name].seed = SETTINGS.seed  # everything else has to come from the file
    resumed.load_state_dict(load_pickled(tmp_path / "checkpoint.pt", "the checkpoint"))
    assert resumed.step == 3
    last_steps = steps(resumed)

    assert len([name for name, value in leaves(straight.state_dict()) if isinstance(value, torch.Tensor)]) > 100
    assert differing(straight, resumed) == []
    assert [step.step for step in last_steps] == [4, 5, 6]
    for ours, theirs in zip(last_steps, all_steps[3:], strict=True):
        assert ours.critic_loss == theirs.critic_loss
        assert ours.generator_loss == theirs.generator_loss


def test_the_seed_names_the_weights():
    assert differing(start(), start()) == []
    torch.manual_seed(99)
    assert differing(start(), start()) == []
    other = start(dataclasses.replace(SETTINGS, seed=1))
    changed = differing(start(), other)
    assert "/network/linear.weight" in changed
    assert any(name.startswith("/critic/") for name in changed)


def test_the_global_random_state_is_left_alone():
    before = torch.random.get_rng_state()
    run(start(), steps=1)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_same_seed_trains_the_same_generator():
    first, second = start(), start()
    run(first, steps=2)
    torch.manual_seed(1)
    run(second, steps=2)
    assert differing(first, second) == []


def test_training_changes_everything_that_learns_and_reports_finite_figures():
    state = start()
    before = dict(leaves(start().state_dict()))
    steps = run(state)
    assert [step.step for step in steps] == [1, 2, 3, 4, 5, 6]
    assert state.step == 6
    for step in steps:
        for name in ("critic_loss", "generator_loss", "real_score", "fake_score"):
            assert torch.isfinite(getattr(step, name))
            assert not getattr(step, name).requires_grad
    for name, parameter in [*state.network.named_parameters(prefix="/network")]:
        assert not torch.equal(parameter, before[name.replace("network.", "network/", 1)]), name
    assert run(state) == []  # nothing is left to do


def test_the_rates_fall_at_the_end_only():
    settings = dataclasses.replace(SETTINGS, steps=4, decay_share=0.5)
    state = start(settings)
    seen = []
    for _ in train(state, PHOTOS, settings, ENGINE):
        seen.append((state.network_optimiser.param_groups[0]["lr"], state.critic_optimiser.param_groups[0]["lr"]))
    # Shares left before each step: 1, 3/4, 1/2, 1/4 of which the last is half of the decay.
    factors = [1, 1, 1, 0.1 + 0.9 * 0.5]
    assert [rate for rate, _ in seen] == pytest.approx([2e-4 * factor for factor in factors])
    assert [rate for _, rate in seen] == pytest.approx([4e-4 * factor for factor in factors])


def test_without_augmentation_its_streams_stand_still():
    state = start()
    run(state, steps=2)
    moved = {name: stream.position for name, stream in state.streams.items()}
    assert moved == {"photos": 16, "mirror": 16, "latents": 16, "augment-critic": 32, "augment-generator": 16}
    settings = dataclasses.replace(SETTINGS, augment=False, mirror=False)
    plain = start(settings)
    run(plain, settings, steps=2)
    still = {name: stream.position for name, stream in plain.streams.items()}
    assert still == {"photos": 16, "mirror": 0, "latents": 16, "augment-critic": 0, "augment-generator": 0}


def flat(network) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


def test_the_first_average_is_the_network_itself():
    state = start()
    run(state, steps=1)
    # Half-life a twentieth of what was seen: the start weighs 2 ** -20.
    torch.testing.assert_close(flat(state.average), flat(state.network), atol=1e-6, rtol=1e-5)


def test_the_average_moves_towards_the_weights():
    settings = dataclasses.replace(SETTINGS, steps=1001, ema_images=100.0)
    state = start(settings)
    state.step = 1000
    with torch.no_grad():
        for parameter in state.average.parameters():
            parameter.add_(0.1)
    before = flat(state.average)
    run(state, settings)
    share = 1 - 0.5 ** (8 / 100)  # a batch of 8 images at a half-life of 100
    torch.testing.assert_close(flat(state.average), torch.lerp(before, flat(state.network), share))
    distance = (flat(state.network) - before).norm()
    assert (flat(state.network) - flat(state.average)).norm() < 0.96 * distance
    assert not any(parameter.requires_grad for parameter in state.average.parameters())
    assert not state.average.training


def test_running_statistics_are_averaged_too():
    state = start()
    run(state, steps=1)
    for name, kept in state.average.named_buffers():
        torch.testing.assert_close(kept, dict(state.network.named_buffers())[name], atol=1e-5, rtol=1e-5)


def test_the_convolutions_of_the_critic_are_normalised_with_a_gain():
    critic = Discriminator(32, 8)
    for _ in range(100):  # a step of the power iteration each
        critic(torch.zeros(8, 3, 32, 32))
    convolutions = [module for module in critic.modules() if isinstance(module, torch.nn.Conv2d)]
    assert len(convolutions) == 4
    assert discriminator._GAIN > 1
    for module in convolutions:
        norm = torch.linalg.matrix_norm(module.weight.flatten(1), 2).item()
        assert norm == pytest.approx(discriminator._GAIN, rel=0.01)
    assert torch.linalg.matrix_norm(critic.score.weight, 2).item() == pytest.approx(1, rel=0.01)


def test_the_critic_judges_in_groups_of_eight():
    critic = Discriminator(32, 8).eval()
    images = Stream(0, "critic").normal(16, 3 * 32 * 32).view(16, 3, 32, 32)
    together = critic(images)
    assert together.shape == (16,)
    close(together, torch.cat([critic(images[:8]), critic(images[8:])]), depth=6)
    # One picture eight times over is told from the same picture among others.
    assert (critic(images[:1].expand(8, -1, -1, -1))[0] - together[0]).abs() > 1e-4


IMAGES = Stream(0, "augmentation").normal(4, 3 * 32 * 32).view(4, 3, 32, 32).clamp(-1, 1)
CORNER = 1e-9  # puts the hole's centre into the upper left corner, where three quarters of it lie outside


def uniforms(brightness=0.5, saturation=0.5, contrast=0.5, row=0.5, column=0.5, hole=(CORNER, CORNER)) -> torch.Tensor:
    return torch.tensor([[brightness, saturation, contrast, row, column, *hole]], dtype=torch.float64).expand(4, -1)


def without_hole(images):
    return images[:, :, 8:, 8:]


def test_neutral_numbers_change_nothing_but_the_hole():
    assert uniforms().shape == (4, NUM_UNIFORMS)
    shown = augmented(IMAGES, uniforms())
    expected = IMAGES.clone()
    expected[:, :, :8, :8] = 0
    close(shown, expected, depth=1)


def test_the_hole_is_half_as_wide_as_the_picture():
    shown = augmented(torch.ones(4, 3, 32, 32), uniforms(hole=(0.5, 0.5)))
    expected = torch.ones(4, 3, 32, 32)
    expected[:, :, 8:24, 8:24] = 0
    torch.testing.assert_close(shown, expected)
    last = 1 - 1e-9
    assert (augmented(torch.ones(4, 3, 32, 32), uniforms(hole=(last, last)))[:, :, 24:, 24:] == 0).all()


def test_brightness_is_added():
    shown = augmented(IMAGES, uniforms(brightness=0.75))
    close(without_hole(shown), without_hole(IMAGES + 0.25), depth=1)


def test_saturation_goes_from_grey_to_double():
    means = IMAGES.mean(dim=1, keepdim=True)
    grey = augmented(IMAGES, uniforms(saturation=0.0))
    close(without_hole(grey), without_hole(means.expand_as(IMAGES)), depth=1)
    double = augmented(IMAGES, uniforms(saturation=1.0))
    close(without_hole(double), without_hole(2 * IMAGES - means), depth=1)


def test_contrast_scales_about_the_mean():
    means = IMAGES.mean(dim=(1, 2, 3), keepdim=True)
    shown = augmented(IMAGES, uniforms(contrast=0.0))
    close(without_hole(shown), without_hole(0.5 * (IMAGES + means)), depth=1)


@pytest.mark.parametrize("down", [-4, -1, 0, 3])
@pytest.mark.parametrize("right", [-4, 0, 2, 4])
def test_translation_moves_by_whole_pixels_and_fills_with_zeros(down, right):
    # Of the 9 shifts that an eighth of 32 pixels allows each has a ninth of (0, 1); small numbers move down and right.
    shown = augmented(IMAGES, uniforms(row=(4 - down + 0.5) / 9, column=(4 - right + 0.5) / 9))
    expected = torch.zeros(4, 3, 40, 40)
    expected[:, :, 4 + down : 36 + down, 4 + right : 36 + right] = IMAGES
    close(without_hole(shown), without_hole(expected[:, :, 4:36, 4:36]), depth=1)


def test_numbers_that_round_to_one_move_no_further_than_allowed():
    nearly = 1 - 2.0**-53
    shown = augmented(IMAGES, torch.full((4, NUM_UNIFORMS), nearly, dtype=torch.float64))
    farthest = augmented(IMAGES, uniforms(1.0, 1.0, 1.0, 0.99, 0.99, (0.999, 0.999)))
    torch.testing.assert_close(shown, farthest)


def test_each_image_has_numbers_of_its_own():
    drawn = Stream(0, "each").uniform(4, NUM_UNIFORMS)
    together = augmented(IMAGES, drawn)
    alone = torch.cat([augmented(IMAGES[i : i + 1], drawn[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(together, alone)


def test_gradients_pass_through_the_augmentation():
    images = IMAGES.clone().requires_grad_()
    (augmented(images, uniforms(0.6, 0.7, 0.4)) * IMAGES).sum().backward()
    assert images.grad is not None
    assert torch.isfinite(images.grad).all()
    assert (without_hole(images.grad).abs() > 0).double().mean() > 0.99


@pytest.mark.parametrize(("size", "channels"), [(8, [64]), (32, [256, 128, 64]), (64, [256, 256, 128, 64])])
def test_shapes_of_compact_networks(size, channels):
    shape = CompactShape(image_size=size, latent_dim=5, width=64)
    assert shape.channels() == channels
    images = CompactNetwork(shape).eval()(torch.zeros(2, 5))
    assert images.shape == (2, 3, size, size)
    assert images.dtype == torch.float32


@pytest.mark.parametrize("sizes", [{"image_size": 48}, {"image_size": 4}, {"latent_dim": 0}, {"width": "64"}])
def test_sizes_that_cannot_be_built(sizes):
    with pytest.raises(UserError, match="cannot be built; its side has to be 8, 16, 32, 64"):
        CompactShape(**sizes)


@pytest.fixture(scope="module")
def generator() -> CompactGenerator:
    state = start()
    run(state, steps=2)
    return CompactGenerator(state.average, {"name": "tiny", "seen": 16})


@pytest.fixture
def saved(generator, tmp_path):
    generator.save(tmp_path / "generator.safetensors")
    return tmp_path / "generator.safetensors"


LATENTS = Latents(Stream(0, "compact-tests").normal(5, 10))
DEPTH = 8  # the linear map, a convolution and a norm on each of three sides, the colours


def test_a_saved_generator_draws_identical_images(generator, saved):
    loaded = load_compact(saved)
    assert isinstance(loaded, Generator)
    assert torch.equal(loaded(LATENTS), generator(LATENTS))
    assert (loaded.name, loaded.latent_dim, loaded.image_size) == ("tiny", 10, 32)
    assert loaded.card["seen"] == 16
    loaded.save(saved.with_name("again.safetensors"))
    assert torch.equal(load_compact(saved.with_name("again.safetensors"))(LATENTS), generator(LATENTS))


def test_a_generator_is_frozen_but_passes_gradients(generator):
    z = LATENTS.z.clone().requires_grad_()
    images = generator(Latents(z))
    assert images.shape == (5, 3, 32, 32)
    assert images.abs().max() <= 1
    images.square().sum().backward()
    assert z.grad is not None
    assert (z.grad.abs() > 0).all()
    assert all(parameter.grad is None for parameter in generator.network.parameters())
    close(generator(LATENTS[2:3])[0], generator(LATENTS)[2], depth=DEPTH)


def test_generators_sample_from_the_stream(generator):
    assert torch.equal(generator.sample(3, Stream(1, "s")).z, Stream(1, "s").normal(3, 10))
    assert generator.sample(30, Stream(1, "s"), truncation=0.3).z.abs().max() <= 0.3


def changed(path, tensors=None, **card):
    old_tensors, old_card = load_artefact(path, KIND)
    for name, value in (tensors or {}).items():
        old_tensors[name] = value
    kept = {name: tensor for name, tensor in old_tensors.items() if tensor is not None}
    save_artefact(path, KIND, kept, {name: v for name, v in {**old_card, **card}.items() if v is not None})


SHAPE = {"image_size": 32, "latent_dim": 10, "width": 8}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"shape": None}, "names no network sizes"),
        ({"shape": "large"}, "names no network sizes"),
        ({"shape": {**SHAPE, "depth": 3}}, "names no network sizes"),
        ({"shape": {**SHAPE, "image_size": 48}}, "cannot be built"),
        ({"shape": {**SHAPE, "image_size": 64}}, r"does not fit its own card: missing: convs\.2\.weight"),
        ({"shape": {**SHAPE, "latent_dim": 11}}, r"does not fit its own card: .* is \[.*\], expected \["),
        ({"name": None}, "names no generator"),
        ({"tensors": {"linear.bias": None}}, r"missing: linear\.bias"),
        ({"tensors": {"more": torch.zeros(1)}}, "unknown: more"),
        ({"tensors": {"to_rgb.bias": torch.full((12,), float("nan"))}}, r"NaN or infinite numbers in to_rgb\.bias"),
    ],
)
def test_files_that_hold_no_generator(saved, change, text):
    changed(saved, **change)
    with pytest.raises(UserError, match=text) as caught:
        load_compact(saved)
    assert "\n" not in str(caught.value)


def test_files_of_another_kind_or_cut_short(saved, tmp_path):
    save_artefact(tmp_path / "d.safetensors", "direction set", {}, {})
    with pytest.raises(UserError, match="is a direction set artefact, but a compact generator is needed"):
        load_compact(tmp_path / "d.safetensors")
    saved.write_bytes(saved.read_bytes()[:-10])
    with pytest.raises(UserError, match="is not a whole safetensors file"):
        load_compact(saved)


def test_generators_are_opened_by_name_by_file_and_by_run_folder(saved, generator):
    assert open_generator("scene").name == "scene"
    for name in (str(saved), str(saved.parent)):
        assert torch.equal(open_generator(name)(LATENTS), generator(LATENTS))
    for name, text in {
        "flower": "no generator 'flower'; choose one of scene, bigbigan.* or name a generator file or run folder",
        "bigbigan": "generator=bigbigan needs its weights",
    }.items():
        with pytest.raises(UserError, match=text):
            open_generator(name)
    with pytest.raises(UserError, match="weights goes with generator=bigbigan, not scene"):
        open_generator("scene", saved)


@pytest.mark.parametrize("device", ["gpu", "cpu:0", "cuda:99", "cuda:x", "cuda:", "auto:1", ""])
def test_devices_that_are_not_there(device):
    with pytest.raises(UserError, match=f"no device {device!r} on this machine; use device=cpu, or auto"):
        choose_engine(device)


def test_engines():
    assert choose_engine("cpu", "fp32").bf16 is False
    assert choose_engine("cpu", "bf16").describe().startswith("cpu, bf16, ")
    assert choose_engine("auto").device.type in ("cpu", "cuda", "mps")
    with pytest.raises(UserError, match="precision 'fp16' is unknown; choose one of auto, fp32, bf16"):
        choose_engine("cpu", "fp16")
    weight = torch.ones(2, 2)
    with choose_engine("cpu", "bf16").autocast():
        assert (weight @ weight).dtype == torch.bfloat16
    with choose_engine("cpu", "fp32").autocast():
        assert (weight @ weight).dtype == torch.float32
