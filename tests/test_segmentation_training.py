"""Training the U-Net on synthetic pairs: it learns, resumes bit for bit, and validates in passing."""

import dataclasses
import math

import pytest
import torch
from rounding import close
from seg_toy import DiscGenerator, contrast_shift

from segmentation.synthesis.synthesizer import PriorSource, Share, SyntheticBatch
from segmentation.unet.augmentation import LIGHT_UNIFORMS, NUM_UNIFORMS, augmented, relit
from segmentation.unet.settings import SegmentationSettings
from segmentation.unet.training import SegmentationState, bytes_needed, fresh_network, rate_at, train, update, validate
from toolkit.compute.engine import choose_engine
from toolkit.files.artefacts import load_pickled, save_checkpoint

ENGINE = choose_engine("cpu")
SETTINGS = SegmentationSettings(
    steps=120,
    batch=8,
    width=4,
    rate=5e-3,
    decay_every=90,
    validate_every=60,
    validation_samples=20,
    max_area=0.3,
)


def start(settings=SETTINGS):
    generator = DiscGenerator()
    return SegmentationState.start(generator, contrast_shift(), settings, ENGINE, PriorSource(generator))


def test_the_network_learns_the_discs():
    steps = list(train(start(), SETTINGS, ENGINE))
    assert [step.step for step in steps] == list(range(1, 121))
    assert [step.step for step in steps if step.validation] == [60, 120]
    assert steps[-1].loss < 0.3 * steps[0].loss
    assert steps[-1].validation.iou > 0.9
    assert steps[-1].validation.accuracy > 0.98
    assert steps[89].rate == SETTINGS.rate
    assert steps[90].rate == pytest.approx(SETTINGS.rate * 0.2)


@pytest.mark.parametrize("augment", [False, True])
def test_stop_and_resume_equal_no_stop(tmp_path, augment):
    settings = dataclasses.replace(SETTINGS, steps=12, validate_every=4, augment=augment)
    straight = start(settings)
    unbroken = [(s.loss.item(), s.validation) for s in train(straight, settings, ENGINE)]
    first = start(settings)
    broken = []
    for step in train(first, settings, ENGINE):
        broken.append((step.loss.item(), step.validation))
        if step.step == 6:
            save_checkpoint(tmp_path / "checkpoint.pt", first.state_dict())
            break
    second = start(dataclasses.replace(settings))
    second.load_state_dict(load_pickled(tmp_path / "checkpoint.pt", "the checkpoint"))
    broken += [(s.loss.item(), s.validation) for s in train(second, settings, ENGINE)]
    assert broken == unbroken
    for name, tensor in straight.network.state_dict().items():
        assert torch.equal(tensor, second.network.state_dict()[name]), name


def test_validation_uses_evaluation_mode_and_leaves_the_network_as_it_was():
    state = start()
    list(zip(range(3), train(state, SETTINGS, ENGINE), strict=False))
    before = {name: tensor.clone() for name, tensor in state.network.state_dict().items()}
    first = validate(state.network, state.held_out, ENGINE)
    assert state.network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in state.network.state_dict().items())
    assert validate(state.network, state.held_out, ENGINE) == first
    batch_sizes = [len(batch) for batch in state.held_out]
    assert batch_sizes == [8, 8, 4]


def test_held_out_samples_are_other_samples():
    state = start()
    trained_on = state.synthesizer.batch(20).images
    held_out = torch.cat([batch.images for batch in state.held_out])
    distances = (trained_on[:, None] - held_out[None]).abs().mean(dim=(2, 3, 4))
    assert distances.min() > 1e-3


def test_validation_figures_of_a_network_that_sees_nothing():
    state = start()
    torch.nn.init.zeros_(state.network.outc.conv.weight)
    state.network.outc.conv.bias.data = torch.tensor([20.0, -20.0])
    found = validate(state.network, state.held_out, ENGINE)
    share = torch.cat([batch.masks for batch in state.held_out]).float().mean()
    assert found.iou == 0
    assert found.accuracy == pytest.approx(1 - share.item(), abs=1e-6)
    assert found.loss == pytest.approx(40 * share.item(), rel=1e-5)


def test_no_validation_when_none_is_asked_for():
    settings = dataclasses.replace(SETTINGS, steps=2, validate_every=1, validation_samples=0)
    assert [step.validation for step in train(start(settings), settings, ENGINE)] == [None, None]


def test_exactly_the_asked_number_of_updates_happens():
    settings = dataclasses.replace(SETTINGS, steps=3, validation_samples=0)
    state = start(settings)
    list(train(state, settings, ENGINE))
    assert {int(entry["step"]) for entry in state.optimiser.state.values()} == {3}
    assert list(train(state, settings, ENGINE)) == []


def test_bf16_learns_too():
    engine = choose_engine("cpu", "bf16")
    settings = dataclasses.replace(SETTINGS, steps=3, validate_every=3)
    state = start(settings)
    steps = list(train(state, settings, engine))
    assert steps[-1].loss.dtype == torch.float32
    assert torch.isfinite(steps[-1].loss)


def test_the_rate_falls_like_a_staircase():
    settings = SegmentationSettings()
    rates = [rate_at(step, settings) for step in (0, 7999, 8000, 11_999)]
    assert rates == pytest.approx([1e-3, 1e-3, 2e-4, 2e-4])


def pairs(count=16):
    generator = DiscGenerator()
    state = start()
    batch = state.synthesizer.batch(count)
    assert generator.image_size == batch.images.shape[-1]
    return batch


def test_augmentation_in_the_middle_of_its_ranges_only_mirrors():
    batch = pairs()
    uniforms = torch.full((len(batch), NUM_UNIFORMS), 0.5)
    still = augmented(batch, uniforms)
    torch.testing.assert_close(still.images, batch.images, atol=1e-5, rtol=0)
    assert torch.equal(still.masks, batch.masks)
    uniforms[:, 0] = 0.2
    mirrored = augmented(batch, uniforms)
    torch.testing.assert_close(mirrored.images, batch.images.flip(-1), atol=1e-5, rtol=0)
    assert torch.equal(mirrored.masks, batch.masks.flip(-1))


@pytest.mark.parametrize(("uniform", "factor"), [(0.0, 1.6**2), (1.0, 1.6**-2)])
def test_augmentation_enlarges_and_shrinks(uniform, factor):
    batch = pairs()
    uniforms = torch.full((len(batch), NUM_UNIFORMS), 0.5)
    uniforms[:, 1] = uniform
    areas = augmented(batch, uniforms).masks.float().mean() / batch.masks.float().mean()
    # What reflection adds around a shrunken picture holds parts of things too.
    assert factor * 0.7 < areas < factor * 2.2


def test_things_are_lit_otherwise_than_their_ground():
    images = torch.full((3, 3, 8, 8), 0.1)
    images[:, 0] = 0.4
    masks = torch.zeros(3, 8, 8, dtype=torch.bool)
    masks[:, 2:6, 2:6] = True
    images[:, :, 2:6, 2:6] = -0.2
    uniforms = torch.full((3, LIGHT_UNIFORMS), 0.5)
    uniforms[:, 12:] = torch.tensor([[0.9, 0.0], [0.1, 0.9], [0.1, 0.0]])
    uniforms[1:, 8] = 1.0  # brightness of the ground
    made = relit(SyntheticBatch(images, masks), uniforms)
    assert torch.equal(made.masks, masks)
    assert torch.equal(made.images[0], images[0])  # not chosen
    inside, outside = (slice(None), slice(3, 5), slice(3, 5)), (slice(None), 0, 0)
    for image in made.images[1:]:
        torch.testing.assert_close(image[inside], images[0][inside])  # amounts of 0 change nothing
    torch.testing.assert_close(made.images[1][outside], torch.tensor([1.0, 0.7, 0.7]))
    torch.testing.assert_close(made.images[2][outside], torch.tensor([1.0, 0.7, 0.7])[[0, 2, 1]])
    uniforms[2, 13] = 0.2  # another order of the channels
    again = relit(SyntheticBatch(images, masks), uniforms).images[2][outside]
    assert sorted(again.tolist()) == sorted(made.images[1][outside].tolist())
    assert again.argmax() != 0


def test_augmentation_keeps_masks_on_their_things():
    batch = pairs()
    view = augmented(batch, torch.rand(len(batch), NUM_UNIFORMS, dtype=torch.float64))
    assert isinstance(view, SyntheticBatch)
    assert view.masks.dtype == torch.bool
    assert view.images.abs().max() <= 1
    for image, mask in zip(view.images, view.masks, strict=True):
        if mask.any() and not mask.all():
            assert image[0][mask].mean() > image[0][~mask].mean()


class _Sure(torch.nn.Module):
    """Gives every pixel whose red is above zero the foreground probability `p`, every other 1 - p."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.logit = math.log(p / (1 - p))

    def forward(self, images):
        sign = torch.where(images[:, 0] > 0, 1.0, -1.0)
        return torch.stack([torch.zeros_like(sign), sign * self.logit], dim=1)


def test_validation_figures_of_a_known_network():
    images = torch.ones(1, 3, 10, 10)
    images[..., :5] = -1
    masks = torch.zeros(1, 10, 10, dtype=torch.bool)
    masks[..., 5:] = True
    masks[0, 0] ^= True  # a tenth of the pixels is the other way round
    found = validate(_Sure(0.9), _Held([SyntheticBatch(images, masks)]), ENGINE)
    assert found.accuracy == pytest.approx(0.9)
    assert found.iou == pytest.approx(45 / 55)
    assert found.max_f == pytest.approx(0.9)
    assert found.calibration_error == pytest.approx(0, abs=1e-6)
    assert found.loss == pytest.approx(-0.9 * math.log(0.9) - 0.1 * math.log(0.1))
    too_sure = validate(_Sure(0.99), _Held([SyntheticBatch(images, masks)]), ENGINE)
    assert too_sure.calibration_error == pytest.approx(0.09, abs=1e-6)


class _Held(list):
    @property
    def count(self):
        return sum(map(len, self))


@pytest.mark.parametrize("stopped_at", [0, 2])
def test_batches_rendered_ahead_train_the_same_network(stopped_at):
    settings = dataclasses.replace(SETTINGS, steps=4)
    straight, ahead = start(settings), start(settings)
    for _ in train(straight, settings, ENGINE):
        pass
    for step in train(ahead, settings, ENGINE, ahead=2):
        if step.step == stopped_at:
            break
    again = start(settings)
    again.load_state_dict(ahead.state_dict())
    for _ in train(again, settings, ENGINE):
        pass
    one, other = straight.network.state_dict(), again.network.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_parts_of_a_batch_add_up_to_its_gradient_where_no_batch_norm_looks():
    batch = SyntheticBatch(torch.randn(7, 3, 16, 16), torch.rand(7, 16, 16) > 0.5)

    def gradient(micro_batch):
        network = fresh_network(4, 0, ENGINE).eval()
        optimiser = torch.optim.SGD(network.parameters(), 0.0)
        loss = update(network, optimiser, Share.whole(batch), 0.0, ENGINE, micro_batch)
        return loss, [parameter.grad for parameter in network.parameters()]

    whole, parts = gradient(None), gradient(3)
    close(parts[0], whole[0], depth=20)
    for part, gradient_of_all in zip(parts[1], whole[1], strict=True):
        close(part, gradient_of_all, depth=40)


def test_the_memory_of_a_step_grows_with_image_and_samples():
    small, large = (bytes_needed(SETTINGS, (side, side), bf16=False) for side in (32, 64))
    weights = small(0)
    assert weights == large(0)
    assert large(3) - weights == pytest.approx(4 * (small(3) - weights), rel=0.01)
    assert small(6) - weights == pytest.approx(2 * (small(3) - weights), rel=0.01)
