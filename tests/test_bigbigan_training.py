"""Training generator, encoder and joint discriminator together: losses, gradients, resumption, and what is written."""

import dataclasses
import json
from itertools import islice

import numpy as np
import pytest
import torch
from cli_runs import ran, refused
from PIL import Image
from rounding import close
from test_adversarial import ENGINE, PHOTOS, differing, leaves
from toy import ToyGenerator

from generators.compact import joint_training
from generators.compact.discriminator import Discriminator
from generators.compact.joint_critic import JointDiscriminator, Scores
from generators.compact.joint_training import JointState, train_jointly
from generators.compact.network import CompactGenerator
from generators.compact.settings import GeneratorSettings
from generators.compact.training import GeneratorState
from generators.compact.training import train as train_gan
from generators.compact.warm_start import start_from
from generators.encoder.network import load_encoder
from generators.protocol import Latents
from toolkit.compute.engine import choose_engine
from toolkit.errors import UserError
from toolkit.files.artefacts import load_pickled, save_checkpoint
from toolkit.pictures.photos import write_picture
from toolkit.pictures.pixels import to_bytes
from toolkit.streams import Stream

GAN_SIZES = {"image_size": 32, "latent_dim": 10, "width": 8, "critic_width": 8}
SIZES = {**GAN_SIZES, "encoder_width": 4, "joint_width": 16}
SETTINGS = GeneratorSettings(objective="bigbigan", steps=6, batch=8, **SIZES)
# Nothing random between a player's update and its effect.
STILL = dataclasses.replace(SETTINGS, augment=False, mirror=False, latent_weight=0.0)


def start(settings=SETTINGS, engine=ENGINE) -> JointState:
    return JointState.start(settings, engine)


def run(state, settings=SETTINGS, steps=None, engine=ENGINE):
    return list(islice(train_jointly(state, PHOTOS, settings, engine), steps))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_stopping_and_resuming_equals_not_stopping(tmp_path, precision):
    engine = choose_engine("cpu", precision)
    straight, stopped = start(engine=engine), start(engine=engine)
    all_steps = run(straight, engine=engine)
    run(stopped, steps=3, engine=engine)
    save_checkpoint(tmp_path / "checkpoint.pt", stopped.state_dict())
    resumed = start(dataclasses.replace(SETTINGS, seed=5), engine)
    for stream in resumed.streams.values():
        stream.seed = SETTINGS.seed  # everything else has to come from the file
    resumed.load_state_dict(load_pickled(tmp_path / "checkpoint.pt", "the checkpoint"))
    last_steps = run(resumed, engine=engine)
    assert differing(straight, resumed) == []
    assert [vars(step) for step in last_steps] == [vars(step) for step in all_steps[3:]]


def test_the_seed_alone_names_the_weights():
    torch.manual_seed(99)
    before = torch.random.get_rng_state()
    first = start()
    run(first, steps=1)
    assert torch.equal(torch.random.get_rng_state(), before)
    second = start()
    run(second, steps=1)
    assert differing(first, second) == []


def test_training_changes_all_networks_and_reports_finite_figures():
    state = start()
    before = dict(leaves(start().state_dict()))
    steps = run(state)
    assert [step.step for step in steps] == [1, 2, 3, 4, 5, 6]
    for step in steps:
        assert all(bool(torch.isfinite(torch.as_tensor(value))) for value in vars(step).values())
        assert not any(torch.as_tensor(value).requires_grad for value in vars(step).values())
    for part in ("network", "encoder", "critic", "average", "encoder_average"):
        for name, parameter in getattr(state, part).named_parameters():
            assert not torch.equal(parameter, before[f"/{part}/{name}"]), f"{part}.{name}"
    assert run(state) == []


def test_each_network_has_a_rate_of_its_own():
    state = start()
    run(state, steps=1)
    optimisers = (state.network_optimiser, state.encoder_optimiser, state.critic_optimiser)
    rates = [optimiser.param_groups[0]["lr"] for optimiser in optimisers]
    assert rates == [SETTINGS.generator_rate, SETTINGS.encoder_rate, SETTINGS.critic_rate]


def test_each_term_has_a_hinge_of_its_own():
    scores = Scores(torch.tensor([2.0, 0.0]), torch.tensor([-1.0, 1.0]), torch.tensor([0.5, 0.5]))
    # Photos: (0 + 1) / 2 + (2 + 0) / 2 + (0.5 + 0.5) / 2; samples: (3 + 1) / 2 + (0 + 2) / 2 + (1.5 + 1.5) / 2.
    assert scores.hinge(+1) == pytest.approx(2.0)
    assert scores.hinge(-1) == pytest.approx(4.5)
    torch.testing.assert_close(scores.total(), torch.tensor([1.5, 1.5]))


def critic() -> JointDiscriminator:
    return JointDiscriminator(32, 8, latent_dim=10, joint_width=16).eval()


JUDGED = 8  # five convolutions or linear maps of an image or latent, three of the pair
IMAGES = ToyGenerator(10)(Latents(Stream(0, "images").normal(16, 10)))
Z = Stream(0, "codes").normal(16, 10)


def test_unary_scores_see_their_own_side_and_pairs_both():
    judge = critic()
    scores, others = judge(IMAGES, Z), judge(IMAGES, Z.flip(0))
    close(scores.image, others.image, depth=JUDGED)
    close(scores.latent, others.latent.flip(0), depth=JUDGED)
    assert (scores.pair - others.pair).abs().max() > 1e-3
    changed = judge(IMAGES.flip(0), Z)
    close(scores.latent, changed.latent, depth=JUDGED)
    assert (scores.pair - changed.pair).abs().max() > 1e-3


def test_the_image_score_is_the_plain_discriminators():
    alone = Discriminator(32, 8).eval()
    judge = critic()
    judge.images.load_state_dict(alone.state_dict())
    close(judge(IMAGES, Z).image, alone(IMAGES), depth=JUDGED)


def test_the_halves_of_a_batch_are_told_apart():
    first, second = Scores(*(torch.arange(4.0) + shift for shift in (0, 10, 20))).chunk()
    assert first.latent.tolist() == [10, 11]
    assert second.pair.tolist() == [22, 23]


def players(settings=STILL):
    """A state whose optimisers take plain small steps, and the batch both players answer for."""
    state = start(settings)
    state.critic.eval()  # keeps the power iteration from moving the scores
    state.network_optimiser = torch.optim.SGD(state.network.parameters(), 1e-5)
    state.encoder_optimiser = torch.optim.SGD(state.encoder.parameters(), 1e-5)
    real = PHOTOS[:8].float() / 127.5 - 1
    return state, real, Stream(0, "player-latents").normal(8, 10)


def batch(state, real, z, settings=STILL, fake=None):
    state.streams["encoder-noise"].position = 0
    fake = state.network(z) if fake is None else fake.detach()
    codes, latent_loss = joint_training._encoded(state, real, fake, z, settings, ENGINE)
    return joint_training._Pairs(real, codes, fake, z), latent_loss


def test_the_encoder_lowers_the_scores_of_photos_and_the_generator_raises_those_of_samples():
    state, real, z = players()
    pairs, latent_loss = batch(state, real, z)
    before = joint_training._players_update(state, pairs, latent_loss, STILL, ENGINE)
    after, _ = batch(state, real, z)
    # Samples pass the encoder's batch norm beside the photos: the old ones, so that only its weights differ.
    codes = batch(state, real, z, fake=pairs.fake)[0].codes
    with torch.no_grad():
        photos = state.critic(real, codes).total().mean()
        samples = state.critic(after.fake, z).total().mean()
    assert photos < before["encoder_loss"]
    assert samples > -before["generator_loss"]


def test_the_players_leave_the_discriminator_alone_and_it_leaves_them():
    state, real, z = players()
    pairs, latent_loss = batch(state, real, z)
    joint_training._players_update(state, pairs, latent_loss, STILL, ENGINE)
    assert all(parameter.grad is None and parameter.requires_grad for parameter in state.critic.parameters())
    state, real, z = players()
    pairs, _ = batch(state, real, z)
    joint_training._critic_update(state, pairs, STILL, ENGINE)
    for player in (state.network, state.encoder):
        assert all(parameter.grad is None for parameter in player.parameters())


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_a_share_of_the_latent_loss_reaches_the_generator(share):
    def gradient(asked):
        settings = dataclasses.replace(STILL, latent_share=asked)
        state, real, z = players(settings)
        _, latent_loss = batch(state, real, z, settings)
        latent_loss.backward()
        assert all(parameter.grad is not None for parameter in state.encoder.parameters())
        return state.network.to_rgb.weight.grad

    if share == 0:
        assert gradient(share) is None
    else:
        close(gradient(share), share * gradient(1.0), depth=2 * JUDGED)  # there and back


def test_the_latent_loss_alone_teaches_the_encoder():
    settings = dataclasses.replace(SETTINGS, latent_weight=30.0, steps=1)
    state = start(settings)
    z = Stream(0, "taught").normal(8, 10)
    real = PHOTOS[:8].float() / 127.5 - 1
    with torch.no_grad():
        fake = state.network(z)
    losses = []
    for _ in range(30):
        _, loss = joint_training._encoded(state, real, fake, z, settings, ENGINE)
        state.encoder_optimiser.zero_grad()
        loss.backward()
        state.encoder_optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.35 < losses[0]


def test_the_encoder_sees_larger_photos_unaugmented():
    settings = dataclasses.replace(SETTINGS, encoder_size=64, mirror=False, steps=1)
    state = start(settings)
    photos = PHOTOS.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    seen = []
    state.encoder.register_forward_pre_hook(lambda network, inputs: seen.append(inputs[0]))
    list(train_jointly(state, photos, settings, ENGINE))
    chosen = Stream(SETTINGS.seed, "photos").integers(8, len(photos))
    assert seen[0].shape == (16, 3, 64, 64)
    torch.testing.assert_close(seen[0][:8], photos[chosen].float() / 127.5 - 1)


GAN = GeneratorSettings(steps=6, batch=8, **GAN_SIZES)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Checkpoints of both objectives after two steps."""
    folder = tmp_path_factory.mktemp("finished")
    gan, joint = GeneratorState.start(GAN, ENGINE), start()
    list(islice(train_gan(gan, PHOTOS, GAN, ENGINE), 2))
    run(joint, steps=2)
    for name, state in {"gan": gan, "bigbigan": joint}.items():
        (folder / name).mkdir()
        save_checkpoint(folder / name / "checkpoint.pt", state.state_dict())
    CompactGenerator(gan.average, {"name": "tiny"}).save(folder / "generator.safetensors")
    return folder, gan, joint


def same(one, other) -> bool:
    return all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())


def test_a_plain_run_starts_a_joint_one(finished):
    folder, gan, _ = finished
    state = start(dataclasses.replace(SETTINGS, seed=1))
    untouched = start(dataclasses.replace(SETTINGS, seed=1))
    assert start_from(state, folder / "gan") == ["network", "average", "critic"]
    assert same(gan.network, state.network)
    assert same(gan.average, state.average)
    assert same(gan.critic, state.critic.images)
    assert same(untouched.critic.pairs, state.critic.pairs)
    assert same(untouched.encoder, state.encoder)
    assert state.step == 0
    assert all(stream.position == 0 for stream in state.streams.values())


def test_a_joint_run_starts_a_plain_one_and_another_joint_one(finished):
    folder, _, joint = finished
    plain = GeneratorState.start(dataclasses.replace(GAN, seed=1), ENGINE)
    start_from(plain, folder / "bigbigan" / "checkpoint.pt")
    assert same(joint.critic.images, plain.critic)
    again = start(dataclasses.replace(SETTINGS, seed=1))
    assert start_from(again, folder / "bigbigan") == ["network", "average", "encoder", "encoder_average", "critic"]
    assert same(joint.critic, again.critic)
    assert same(joint.encoder_average, again.encoder_average)


def test_a_generator_file_starts_network_and_average(finished):
    folder, gan, _ = finished
    state = start()
    assert start_from(state, folder / "generator.safetensors") == ["network", "average"]
    assert same(gan.average, state.network)
    assert same(gan.average, state.average)
    assert all(parameter.requires_grad for parameter in state.network.parameters())


def test_weights_that_do_not_fit(finished, tmp_path):
    folder, _, _ = finished
    wider = start(dataclasses.replace(SETTINGS, width=16))
    with pytest.raises(UserError, match=r"does not fit networks of these settings: linear\.weight is"):
        start_from(wider, folder / "gan")
    with pytest.raises(UserError, match="no checkpoint or generator to start from at"):
        start_from(wider, tmp_path)
    torch.save({"weights": torch.zeros(1)}, tmp_path / "checkpoint.pt")
    with pytest.raises(UserError, match="is no checkpoint of toolkit train-generator"):
        start_from(wider, tmp_path)


TINY = (
    "--steps", "3", "--batch", "8", "--width", "8", "--critic-width", "8", "--image-size", "32", "--latent-dim", "8",
    "--grid-every", "2", "--quality-every", "2", "--precision", "fp32",
)  # fmt: skip
JOINT = ("--objective", "bigbigan", "--encoder-width", "4", "--joint-width", "8")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for index, picture in enumerate(to_bytes(PHOTOS / 127.5 - 1)):
        write_picture(folder / f"{index}.png", picture)
    return folder


@pytest.fixture(scope="module")
def joint_run(photos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("joint") / "run"
    return folder, ran("train-generator", photos, "--out", folder, "--name", "tiny", *TINY, *JOINT)


def test_the_command_writes_generator_encoder_and_pictures(joint_run, tmp_path):
    folder, text = joint_run
    assert f"wrote {folder}/generator.safetensors, {folder}/samples" in text
    encoder = load_encoder(folder / "encoder.safetensors")
    assert (encoder.generator, encoder.latent_dim, encoder.image_size) == ("tiny", 8, 32)
    for kind in ("samples", "reconstructions"):
        assert sorted(path.name for path in (folder / kind).iterdir()) == ["0000002.png", "0000003.png"]
    with Image.open(folder / "nearest.png") as picture:
        assert picture.size[1] > 64
    ran("sample", "--generator", folder, "--samples", "2", "--out", tmp_path / "s.npy")
    assert np.load(tmp_path / "s.npy").shape == (2, 3, 32, 32)


def test_quality_stands_behind_the_bar_in_the_log_and_in_the_result(joint_run):
    folder, text = joint_run
    assert "nearest" in text
    result = json.loads((folder / "result.json").read_text())
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 3]
    for name in ("swd", "swd_photos", "nearest_ratio", "copies", "latent_r2", "photo_error"):
        assert result[name] == lines[-1][name]
    assert (result["steps"], result["images"]) == (3, 24)


def test_more_steps_go_on_from_the_finished_run(photos, tmp_path):
    ran("train-generator", photos, "--out", tmp_path / "run", *TINY)
    assert "finished already" in ran("train-generator", photos, "--out", tmp_path / "run", *TINY)
    assert "resuming at step 3" in ran("train-generator", photos, "--out", tmp_path / "run", *TINY, "--steps", "4")
    assert json.loads((tmp_path / "run" / "result.json").read_text())["steps"] == 4
    message = refused("train-generator", photos, "--out", tmp_path / "run", *TINY)
    assert "holds a run of 4 steps, and --steps is 3 now; it can only be made longer" in message


def test_a_run_begins_with_the_weights_of_another(photos, joint_run, tmp_path):
    text = ran("train-generator", photos, "--out", tmp_path / "run", *TINY, "--start", joint_run[0])
    assert "taking the weights of network, average, critic from" in text
    message = refused("train-generator", photos, "--out", tmp_path / "run", *TINY)
    assert "start was" in message


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--objective", "vae"), "--objective is 'vae'; choose one of gan, bigbigan"),
        (("--encoder-size", "64"), "--encoder-size goes with --objective bigbigan"),
        ((*JOINT, "--encoder-size", "48"), "--encoder-size is 48, but has to be 32, 64 or 128"),
        (("--latent-share", "2"), "--latent-share is 2.0, but has to be at most 1"),
        (("--start", "nowhere"), "no checkpoint or generator to start from at nowhere"),
    ],
)
def test_what_the_command_refuses(photos, tmp_path, arguments, text):
    assert text in refused("train-generator", photos, "--out", tmp_path / "run", *TINY, *arguments)
    assert not (tmp_path / "run").exists()


def test_a_handful_of_photos_trains_without_quality_figures(photos, tmp_path):
    for index in range(3):
        (tmp_path / "few").mkdir(exist_ok=True)
        (tmp_path / "few" / f"{index}.png").write_bytes((photos / f"{index}.png").read_bytes())
    text = ran("train-generator", tmp_path / "few", "--out", tmp_path / "run", *TINY)
    assert "no quality figures: they need 4 photos, and there are 3" in text
    assert "swd" not in json.loads((tmp_path / "run" / "result.json").read_text())
    (line,) = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(line)["step"] == 3
