"""Discovery training: the original's numbers, exact resume, sampling, validation and the direction set."""

import dataclasses
import itertools

import pytest
import torch
from golden_fill import fill_state_dict
from rounding import close
from toy import ToyGenerator

from discovery.methods.deformator.training import (
    DiscoveryState,
    ShiftBatch,
    clear_of_zero,
    direction_set,
    discover,
    draw_batch,
    spread,
    update,
)
from discovery.methods.deformator.validation import validate
from discovery.settings import DiscoverySettings
from generators.protocol import Latents
from toolkit.compute.engine import choose_engine
from toolkit.errors import UserError
from toolkit.streams import Stream

ENGINE = choose_engine("cpu", "fp32")
LENET = 10  # five layers, each with a batch norm that looks at the batch
SETTINGS = DiscoverySettings(steps=6, batch=4, reconstructor="lenet", validation_batches=3)


class ClassToy(ToyGenerator):
    """Toy of three classes that remembers the classes it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[torch.Tensor] = []

    def sample(self, count: int, rng: Stream, truncation: float | None = None) -> Latents:
        classes = Stream(rng.seed, "classes", rng.position).integers(count, 3)
        return Latents(super().sample(count, rng, truncation).z, classes)

    def __call__(self, latents: Latents) -> torch.Tensor:
        self.asked.append(latents.y)
        return super().__call__(latents)


def test_shifts_match_the_original(golden):
    arrays = {name: torch.from_numpy(array) for name, array in golden("train_step").items() if name[0] != "g"}
    alpha = clear_of_zero(spread(arrays["uniform"], 6.0), 0.5)
    assert torch.equal(alpha, arrays["shifts"])
    batch = ShiftBatch(Latents(arrays["z"]), arrays["target_indices"], alpha)
    assert torch.equal(batch.basis(8), arrays["basis_shift"])


def test_three_steps_match_the_original(golden):
    arrays = golden("train_step")
    generator, settings = ToyGenerator(), dataclasses.replace(SETTINGS, batch=6)
    state = DiscoveryState.start(generator, settings, ENGINE)
    fill_state_dict(state.deformator, 0)
    fill_state_dict(state.reconstructor, 0)
    z, index, alpha = (torch.from_numpy(arrays[name]) for name in ("z", "target_indices", "shifts"))
    batch = ShiftBatch(Latents(z), index, alpha)
    deformed = state.deformator(batch.basis(8))
    close(deformed, arrays["deformed"], depth=20)  # the exponential of a small matrix, and a product with it
    for number in range(3):
        step = update(state, generator, batch, settings, ENGINE)
        if number == 0:
            _check_gradients(state, arrays)
        assert step.label_loss.item() == pytest.approx(arrays["label_loss"][number], abs=1e-4)
        weighted = settings.shift_weight * step.shift_loss.item()
        assert weighted == pytest.approx(arrays["shift_loss"][number], abs=1e-4)
        assert step.loss.item() == pytest.approx(step.label_loss.item() + weighted, abs=1e-6)
        assert step.accuracy.item() == pytest.approx(arrays["accuracy"][number], abs=1e-6)
    after = torch.from_numpy(arrays["log_mat_half_after3"])
    assert (state.deformator.log_mat_half - after).abs().max() <= 1e-4


def _check_gradients(state, arrays):
    expected = torch.from_numpy(arrays["grad_log_mat_half"])
    found = state.deformator.log_mat_half.grad
    # Back through the reconstructor, the toy and the exponential; a gradient sums what nearly cancels, hence the 10.
    close(found, expected, depth=2 * LENET + 20, scale=10 * float(expected.abs().max()))
    weights = dict(state.reconstructor.named_parameters())
    for name, norm in zip(arrays["grad_names"], arrays["grad_norms"], strict=True):
        if norm >= 1e-5:  # biases in front of a batch norm: rounding noise
            assert weights[str(name)].grad.norm().item() == pytest.approx(norm, rel=1e-3), name


def test_first_predictions_match_the_original(golden):
    arrays = {name: torch.from_numpy(array) for name, array in golden("train_step").items() if name[0] != "g"}
    generator = ToyGenerator()
    state = DiscoveryState.start(generator, SETTINGS, ENGINE)
    fill_state_dict(state.reconstructor, 0)
    latents = Latents(arrays["z"])
    logits, alpha = state.reconstructor.train()(generator(latents), generator(latents.shifted(arrays["deformed"])))
    close(logits, arrays["logits"], depth=LENET)
    close(alpha, arrays["shift_prediction"], depth=LENET)


@pytest.mark.parametrize("deformator", ["ortho", "random", "fc"])
def test_stop_and_resume_equals_no_stop_bit_for_bit(deformator):
    generator, settings = ToyGenerator(), dataclasses.replace(SETTINGS, deformator=deformator)
    straight = DiscoveryState.start(generator, settings, ENGINE)
    expected = list(discover(straight, generator, settings, ENGINE))
    first = DiscoveryState.start(generator, settings, ENGINE)
    list(itertools.islice(discover(first, generator, settings, ENGINE), 3))
    validate(first, generator, settings, ENGINE)  # must not disturb anything
    resumed = DiscoveryState.start(generator, dataclasses.replace(settings, seed=9), ENGINE)
    for stream in resumed.streams.values():
        stream.seed = settings.seed
    resumed.load_state_dict(first.state_dict())
    found = list(discover(resumed, generator, settings, ENGINE))
    assert [step.step for step in found] == [4, 5, 6]
    assert [step.loss.item() for step in found] == [step.loss.item() for step in expected[3:]]
    _assert_equal(resumed.state_dict(), straight.state_dict())


def _assert_equal(found, expected):
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for name in expected:
            _assert_equal(found[name], expected[name])
    elif isinstance(expected, list):
        for pair in zip(found, expected, strict=True):
            _assert_equal(*pair)
    else:
        assert torch.equal(torch.as_tensor(found), torch.as_tensor(expected)) if expected is not None else True


def test_networks_change_and_the_generator_does_not():
    generator = ToyGenerator()
    generator.weight.requires_grad_()
    kept = generator.weight.detach().clone()
    state = DiscoveryState.start(generator, SETTINGS, ENGINE)
    half = state.deformator.log_mat_half.detach().clone()
    assert state.deformator_optimiser is not None
    list(discover(state, generator, SETTINGS, ENGINE))
    assert not torch.equal(state.deformator.log_mat_half, half)
    assert generator.weight.grad is None
    assert torch.equal(generator.weight, kept)


@pytest.mark.parametrize("deformator", ["id", "random"])
def test_kinds_without_weights_have_no_optimiser_and_build_no_graph(deformator):
    generator, settings = ToyGenerator(), dataclasses.replace(SETTINGS, deformator=deformator, steps=1)
    state = DiscoveryState.start(generator, settings, ENGINE)
    assert state.deformator_optimiser is None
    (step,) = discover(state, generator, settings, ENGINE)
    assert step.step == 1
    assert torch.isfinite(step.loss)


def test_amplitudes_keep_away_from_zero_and_within_the_scale():
    shifts = torch.tensor([0.0, 0.1, -0.1, 0.5, -3.0])
    assert clear_of_zero(shifts, 0.5).tolist() == [0.0, 0.5, -0.5, 0.5, -3.0]
    for distribution, largest in (("uniform", 6.0), ("normal", 60.0)):
        settings = dataclasses.replace(SETTINGS, batch=2000, alpha_distribution=distribution)
        streams = DiscoveryState.start(ToyGenerator(), SETTINGS, ENGINE).streams
        alpha = draw_batch(streams, ToyGenerator(), 8, settings, ENGINE).alpha.abs()
        assert alpha.min() == 0.5
        assert alpha.max() < largest
        assert alpha.mean() == pytest.approx(3.02 if distribution == "uniform" else 4.8, abs=0.2)


def test_samples_are_the_same_whatever_the_batch_size():
    def drawn(batch, count):
        settings = dataclasses.replace(SETTINGS, batch=batch, truncation=0.7)
        streams = DiscoveryState.start(ToyGenerator(), SETTINGS, ENGINE).streams
        parts = [draw_batch(streams, ToyGenerator(), 8, settings, ENGINE) for _ in range(count)]
        return [torch.cat(rows) for rows in zip(*((p.latents.z, p.index, p.alpha) for p in parts), strict=True)]

    for few, many in zip(drawn(2, 6), drawn(6, 2), strict=True):
        assert torch.equal(few, many)
    assert drawn(6, 2)[0].abs().max() <= 0.7


def test_pairs_share_their_class_in_training_and_validation():
    generator = ClassToy()
    state = DiscoveryState.start(generator, SETTINGS, ENGINE)
    next(discover(state, generator, SETTINGS, ENGINE))
    before, after = generator.asked
    assert torch.equal(before, after)
    generator.asked.clear()
    validate(state, generator, SETTINGS, ENGINE, 2)
    for asked in generator.asked:
        before, after = asked.chunk(2)
        assert torch.equal(before, after)


def test_validation_counts_right_answers_and_repeats_itself():
    generator = ToyGenerator()
    state = DiscoveryState.start(generator, SETTINGS, ENGINE)
    first = validate(state, generator, SETTINGS, ENGINE)
    assert first == validate(state, generator, SETTINGS, ENGINE)
    assert first * 12 == round(first * 12)
    assert state.streams["latents"].position == 0
    labels = Stream(SETTINGS.seed, "validate-directions")

    class Oracle(torch.nn.Module):
        def forward(self, before, after):
            index = labels.integers(len(before), 8)
            return torch.nn.functional.one_hot(index, 8).float(), torch.zeros(len(before))

    state.reconstructor = Oracle()
    assert validate(state, generator, SETTINGS, ENGINE) == 1.0


def test_learning_tells_two_directions_apart():
    generator = ToyGenerator()
    settings = dataclasses.replace(
        SETTINGS, steps=150, batch=16, directions=2, deformator="id", reconstructor_rate=3e-3
    )
    state = DiscoveryState.start(generator, settings, ENGINE)
    steps = list(discover(state, generator, settings, ENGINE))
    assert steps[-1].loss < 0.6 * steps[0].loss
    assert validate(state, generator, settings, ENGINE) > 0.8


def test_direction_set_holds_unit_vectors_their_lengths_and_how_they_were_made():
    generator = ToyGenerator()
    settings = dataclasses.replace(SETTINGS, directions=3, deformator="linear")
    state = DiscoveryState.start(generator, settings, ENGINE)
    found = direction_set(state, generator, settings, {"source": "test"})
    columns = state.deformator.linear.weight.detach().T
    close(found.vectors, columns / columns.norm(dim=1, keepdim=True), depth=1)
    assert found.scores["length"] == pytest.approx(columns.norm(dim=1).tolist(), abs=1e-6)
    assert (found.generator, found.method) == ("toy", "discover (linear)")
    assert found.card["source"] == "test"
    assert DiscoverySettings.from_dict(found.card["settings"]) == settings


def test_the_resnet_trains_too_and_may_look_at_smaller_images():
    generator = ToyGenerator(image_size=40)
    settings = dataclasses.replace(SETTINGS, steps=1, batch=2, reconstructor="resnet", reconstructor_size=32)
    state = DiscoveryState.start(generator, settings, ENGINE)
    (step,) = discover(state, generator, settings, ENGINE)
    assert torch.isfinite(step.loss)


def test_bf16_trains():
    generator, engine = ToyGenerator(), choose_engine("cpu", "bf16")
    state = DiscoveryState.start(generator, SETTINGS, engine)
    step = next(discover(state, generator, SETTINGS, engine))
    assert step.loss.dtype == torch.float32
    assert torch.isfinite(step.loss)


def test_too_small_images_for_the_lenet_are_refused():
    with pytest.raises(UserError, match="use reconstructor=resnet"):
        DiscoveryState.start(ToyGenerator(image_size=16), SETTINGS, ENGINE)
