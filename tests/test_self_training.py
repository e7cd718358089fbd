"""Self-training: masks follow the photo's own edges, unfit ones are left out, and a student learns from the rest."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from cli_runs import ran, refused
from PIL import Image
from rounding import close
from seg_toy import DiscGenerator

from segmentation.predict.segmenter import Segmenter
from segmentation.self_training import rounds, training
from segmentation.self_training.pseudo_masks import (
    VIEWS,
    PseudoMasks,
    cuts_of,
    frame_cuts,
    join,
    probabilities,
    pseudo_masks,
    training_set,
)
from segmentation.self_training.settings import SelfTrainingSettings
from segmentation.self_training.training import MaskedPhotos, SelfTrainingState, train
from segmentation.unet.network import UNet
from toolkit.compute.engine import choose_engine
from toolkit.errors import UserError
from toolkit.files.artefacts import load_pickled, save_checkpoint
from toolkit.pictures.photos import read_photo
from toolkit.pictures.pixels import to_bytes
from toolkit.streams import Stream

ENGINE = choose_engine("cpu")
SETTINGS = SelfTrainingSettings(
    rounds=1, steps=60, batch=8, image_size=32, width=4, rate=5e-3, memory=0.8, validate_every=30, held_out_share=0.1
)
SIDE = 32


def discs(count, seed=0):
    """Return photos uint8 (N, S, S, 3) of discs, slightly noisy, and their true masks (N, S, S)."""
    generator = DiscGenerator(SIDE, radius=0.6)
    latents = generator.sample(count, Stream(seed, "discs"))
    photos = to_bytes(generator(latents)).astype(int)
    noise = np.random.default_rng(seed).normal(0, 4, photos.shape)
    return (photos + noise).clip(0, 255).astype(np.uint8), generator.disc(latents).numpy()


def test_the_cut_finds_a_thing_from_the_frame_alone():
    photos, truth = discs(6)
    cuts = cuts_of(photos, SETTINGS, threads=2)
    assert cuts.dtype == bool
    assert cuts.shape == (6, VIEWS, SIDE, SIDE)
    assert not (cuts == cuts[:, :1]).all()  # the views differ
    for cut, mask in zip(2 * cuts.sum(axis=1) > VIEWS, truth, strict=True):
        inner = np.zeros_like(mask)
        inner[2:-2, 2:-2] = mask[2:-2, 2:-2]  # what lies in the frame is ground to it
        assert (cut & inner).sum() / (cut | inner).sum() > 0.95
        assert not cut[:2].any()
        assert not cut[:, -2:].any()


def test_the_cut_is_the_same_twice_and_in_any_number_of_threads():
    photos = discs(4)[0]
    first = cuts_of(photos, SETTINGS)
    frame_cuts(photos[0][::-1], SETTINGS)
    assert np.array_equal(first, cuts_of(photos, SETTINGS, threads=3))


def test_the_cuts_are_kept_and_read_again(tmp_path):
    photos = discs(5)[0][:, :30, :30]
    made = rounds.make_cuts(photos, SETTINGS, tmp_path / "cuts.safetensors")
    assert np.array_equal(made, cuts_of(photos, SETTINGS))
    black = np.zeros_like(photos)
    assert np.array_equal(rounds.make_cuts(black, SETTINGS, tmp_path / "cuts.safetensors"), made)
    with pytest.raises(UserError, match="does not fit the photos of this run; delete it"):
        rounds.make_cuts(black[:4], SETTINGS, tmp_path / "cuts.safetensors")


def test_a_photo_of_one_colour_has_nothing_to_cut():
    assert not frame_cuts(np.full((SIDE, SIDE, 3), 40, np.uint8), SETTINGS).any()


def views_of(cuts):
    return np.repeat(cuts[:, None], VIEWS, axis=1)


def test_a_photo_is_fit_where_segmenter_and_cut_agree():
    cuts = np.zeros((6, 10, 10), bool)
    cuts[:, 2:8, 2:8] = True
    soft = np.where(cuts, 0.9, 0.1).astype(np.float32)
    soft[0, 2:8, 8] = 0.5  # ground that the segmenter adds
    soft[0, 2, 2:8] = 0.4  # part of the thing that it misses
    soft[1] = 0.9  # everything
    soft[2] = 0.1  # nothing
    cuts[3] = True
    soft[3] = 0.9
    cuts[4, 2:8, 2:8] = False
    cuts[4, 5, 5] = True
    soft[4] = np.where(cuts[4], 0.9, 0.1)
    soft[5, :, 5:] = 0.9  # half of the thing, and as much ground
    soft[5, :, :5] = 0.1
    never = dataclasses.replace(SETTINGS, consensus=1.0)
    views = views_of(cuts)
    views[:, 0, 5, 4] ^= True  # no photo has three equal cuts
    made = pseudo_masks(views, soft, never)
    assert made.kept.tolist() == [True, True, False, False, False, False]
    assert made.rejected == {"agreement": 2, "area": 2}
    assert made.describe() == "kept 2 of 6; left out: agreement 2, area 2"
    assert np.array_equal(made.masks[:2], cuts[:2])  # what the segmenter alone adds or misses does not count
    twice = join([made, made])
    assert twice.kept.tolist() == [True, True, False, False, False, False] * 2
    assert twice.rejected == {name: 2 * count for name, count in made.rejected.items()}


def test_the_segmenter_decides_what_the_cuts_do_not():
    cuts = np.zeros((1, 10, 10), bool)
    cuts[:, 2:8, 2:8] = True
    views = views_of(cuts)
    soft = np.where(cuts, 0.9, 0.1).astype(np.float32)
    views[0, 0, 2] = False  # row 2: two cuts of three have it
    soft[0, 2, 2:8] = [0.3, 0.32, 0.35, 0.4, 0.5, 0.9]
    views[0, 0, 8, 2:8] = True  # row 8: one of three
    soft[0, 8, 2:8] = [0.3, 0.5, 0.6, 0.65, 0.7, 0.9]
    expected = cuts[0].copy()
    expected[2, 2:8] = [False, False, True, True, True, True]
    expected[8, 2:8] = [False, False, False, False, True, True]
    assert np.array_equal(pseudo_masks(views, soft, SETTINGS).masks[0], expected)


def test_where_the_segmenter_disagrees_cuts_that_agree_make_the_mask():
    cuts = np.zeros((3, VIEWS, 10, 10), bool)
    cuts[:, :, 2:8, 2:8] = True
    cuts[0, 0, 7, 2:8] = False  # nearly the same
    cuts[1, 1, :, :5] = cuts[1, 2, 5:] = False  # each another part
    cuts[2, 1:] = False  # one view alone sees a thing
    made = pseudo_masks(cuts, np.full((3, 10, 10), 0.1, np.float32), SETTINGS)
    assert made.kept.tolist() == [True, False, False]
    assert np.array_equal(made.masks[0], cuts[0, 1])
    strict = dataclasses.replace(SETTINGS, consensus=0.95)
    assert not pseudo_masks(cuts, np.full((3, 10, 10), 0.1, np.float32), strict).kept.any()


def test_the_training_set_is_of_the_fit_photos_and_may_be_smaller():
    photos = np.repeat(np.arange(4, dtype=np.uint8)[:, None], 4, axis=1)[None, ..., None].repeat(3, axis=3)
    masks = photos[..., 0] > 1
    made = PseudoMasks(np.concatenate([masks, masks]), np.array([True, False]), {})
    both = np.concatenate([photos, photos])
    chosen, small = training_set(both, made, 4)
    assert torch.equal(chosen, torch.from_numpy(photos).permute(0, 3, 1, 2))
    assert torch.equal(small, torch.from_numpy(masks))
    chosen, small = training_set(both * 10, made, 2)
    assert chosen[0, 0].tolist() == [[5, 5], [25, 25]]
    assert small[0].tolist() == [[False, False], [True, True]]


def test_masks_have_the_photos_detail_and_rounds_the_segmenters_side_unless_another_is_given():
    default = SelfTrainingSettings()
    assert [default.side_for(*sides) for sides in ((64, 500), (64, 100), (64, 32), (256, 500))] == [128, 100, 64, 256]
    assert [default.side_of_round(1, *sides) for sides in ((64, 128), (256, 256))] == [64, 256]
    detailed = SelfTrainingSettings(image_size=128, rounds=2)
    assert detailed.side_for(64, 500) == 128
    assert [detailed.side_of_round(number, 64, 128) for number in (1, 2)] == [64, 128]
    small = SelfTrainingSettings(image_size=32, rounds=2)
    assert small.side_for(64, 500) == 32
    assert [small.side_of_round(number, 64, 32) for number in (1, 2)] == [32, 32]


def test_probabilities_are_the_mean_over_a_photo_and_its_mirror():
    torch.manual_seed(0)
    segmenter = Segmenter(UNet(width=4), SIDE)
    photos = discs(3)[0]
    found = probabilities(segmenter, photos, ENGINE)
    mirrored = probabilities(segmenter, np.ascontiguousarray(photos[:, :, ::-1]), ENGINE)
    close(found, mirrored[:, :, ::-1], depth=19)
    straight = segmenter.probability(photos[0])
    back = segmenter.probability(np.ascontiguousarray(photos[0][:, ::-1]))[:, ::-1]
    close(found[0], (straight + back) / 2, depth=19)


def masked(count=64):
    photos, truth = discs(count)
    return MaskedPhotos(torch.from_numpy(photos).permute(0, 3, 1, 2), torch.from_numpy(truth), SETTINGS.batch)


def test_a_student_learns_the_discs():
    steps = list(train(SelfTrainingState.start(SETTINGS, ENGINE), masked(), SETTINGS, ENGINE))
    assert [step.step for step in steps if step.validation] == [30, 60]
    assert steps[-1].validation.iou > 0.75
    assert steps[35].rate == SETTINGS.rate
    assert steps[36].rate == pytest.approx(SETTINGS.rate / 5)


def test_held_out_photos_are_spread_and_never_trained_on():
    training, held = masked(40).split(0.1)
    assert (training.count, held.count) == (36, 4)
    whole = masked(40)
    assert torch.equal(held.photos, whole.photos[[0, 10, 20, 30]])
    assert len(list(training)) == 5


def test_too_few_fit_photos_are_refused():
    with pytest.raises(UserError, match="only 7 photos have masks fit to train on"):
        masked(7).split(0.0)


def test_stop_and_resume_equal_no_stop(tmp_path):
    settings = dataclasses.replace(SETTINGS, steps=10)
    straight = SelfTrainingState.start(settings, ENGINE)
    unbroken = [step.loss.item() for step in train(straight, masked(), settings, ENGINE)]
    first = SelfTrainingState.start(settings, ENGINE)
    broken = []
    for step in train(first, masked(), settings, ENGINE):
        broken.append(step.loss.item())
        if step.step == 4:
            save_checkpoint(tmp_path / "checkpoint.pt", first.state_dict())
            break
    second = SelfTrainingState.start(settings, ENGINE)
    second.load_state_dict(load_pickled(tmp_path / "checkpoint.pt", "the checkpoint"))
    broken += [step.loss.item() for step in train(second, masked(), settings, ENGINE)]
    assert broken == unbroken
    for one, other in ((straight.network, second.network), (straight.learnt, second.learnt)):
        for name, tensor in one.state_dict().items():
            assert torch.equal(tensor, other.state_dict()[name]), name


def test_what_is_learnt_is_the_mean_of_the_last_weights():
    settings = dataclasses.replace(SETTINGS, steps=3, memory=0.05)
    state = SelfTrainingState.start(settings, ENGINE)
    weights = []
    for _ in train(state, masked(), settings, ENGINE):
        weights.append({name: tensor.clone() for name, tensor in state.network.state_dict().items()})
    for name, found in state.learnt.state_dict().items():
        expected = weights[0][name]  # the first step's are taken as they are
        for later in weights[1:]:
            expected = expected + (later[name] - expected) * 0.95
        whole = weights[-1][name] if not found.is_floating_point() else expected  # a count is the last one
        torch.testing.assert_close(found, whole, rtol=1e-5, atol=1e-7)


def test_a_young_average_follows_the_weights_and_an_old_one_remembers():
    one, two = torch.zeros(1), torch.ones(1)
    mean = training._mean_of(0.99)
    assert mean(one, two, 10).item() == 0.5
    assert mean(one, two, 100_000).item() == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"frame": 0.5}, "at most 0.4"),
        ({"min_area": 0.8}, "no mask can pass"),
        ({"agreement": 1.2}, "at most 1"),
    ],
)
def test_settings_that_cannot_work_are_refused(wrong, message):
    with pytest.raises(UserError, match=message):
        dataclasses.replace(SETTINGS, **wrong)


@pytest.fixture
def folder(tmp_path):
    """Return a folder of disc photos, one of their masks, and a teacher trained on other discs."""
    photos, truth = discs(60, seed=1)
    for kind in ("photos", "images", "masks"):
        (tmp_path / kind).mkdir()
    for index, (photo, mask) in enumerate(zip(photos, truth, strict=True)):
        Image.fromarray(photo).save(tmp_path / "photos" / f"{index:02}.png")
        if index < 4:
            Image.fromarray(photo).save(tmp_path / "images" / f"{index:02}.png")
            Image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / "masks" / f"{index:02}.png")
    state = SelfTrainingState.start(SETTINGS, ENGINE)
    list(train(state, masked(), SETTINGS, ENGINE))
    Segmenter(state.learnt, SIDE).save(tmp_path / "teacher.safetensors")
    return tmp_path


FLAGS = (
    "--rounds", 2, "--steps", 30, "--batch", 8, "--image-size", SIDE, "--width", 4, "--rate", 5e-3,
    "--min-area", 0.02, "--agreement", 0.4, "--validate-every", 15,
    "--held-out-share", 0.1, "--precision", "fp32",
)  # fmt: skip


def started(folder):
    """The command of these tests."""
    model, out = folder / "teacher.safetensors", folder / "run"
    return ("self-train", folder / "photos", "--segmenter", model, "--out", out, *FLAGS)


def test_the_command_trains_two_rounds_measures_and_goes_on(folder):
    command = started(folder)
    command += ("--validation-photos", folder / "images", "--validation-masks", folder / "masks")
    output = ran(*command)
    assert "round 2 of 2: masks kept " in output
    assert f"wrote {folder / 'run' / 'segmenter.safetensors'}" in output
    result = json.loads((folder / "run" / "result.json").read_text())
    assert result["photos"] == 60
    assert result["kept_share"] > 0.1
    assert (folder / "run" / "round1" / "masks.png").is_file()
    student = Segmenter.load(folder / "run")
    # How well 30 steps teach depends on the seed (.3 to .9): the figure has to be that of the network.
    masks = [student.mask(read_photo(folder / "images" / f"{i:02}.png")) for i in range(4)]
    truth = [read_photo(folder / "masks" / f"{i:02}.png")[..., 0] > 127 for i in range(4)]
    iou = [(m & t).sum() / (m | t).sum() for m, t in zip(masks, truth, strict=True)]
    assert result["photo_iou"] == pytest.approx(np.mean(iou), abs=1e-6)
    assert student.card["round"] == 2
    assert student.known == 60
    assert "finished already" in ran(*command)
    # A round that is finished is read again, not trained again.
    made = (folder / "run" / "round1" / "segmenter.safetensors").stat().st_mtime_ns
    (folder / "run" / "result.json").unlink()
    ran(*command)
    assert (folder / "run" / "round1" / "segmenter.safetensors").stat().st_mtime_ns == made
    assert Segmenter.load(folder / "run").digest() == student.digest()
    # Another command is refused before the record of this one is touched.
    (folder / "run" / "result.json").unlink()
    record = (folder / "run" / "config.toml").read_text()
    message = refused(*command, "--steps", 31)
    assert "holds a run of 30 steps, and --steps is 31 now; it can be made neither shorter nor longer" in message
    assert (folder / "run" / "config.toml").read_text() == record


def test_photos_are_measured_where_none_is_held_out(folder):
    measured = ("--validation-photos", folder / "images", "--validation-masks", folder / "masks")
    ran(*started(folder), "--rounds", 1, "--held-out-share", 0, *measured)
    assert "photo_iou" in json.loads((folder / "run" / "result.json").read_text())


def test_photos_without_anything_the_teacher_knows_are_refused(folder):
    for path in (folder / "photos").iterdir():
        Image.new("RGB", (SIDE, SIDE), (40, 40, 40)).save(path)
    message = refused(*started(folder))
    assert "only 0 photos have masks fit to train on" in message


def test_few_fit_masks_are_warned_of(folder):
    for path in sorted((folder / "photos").iterdir())[:30]:
        Image.new("RGB", (SIDE, SIDE), (40, 40, 40)).save(path)
    command = started(folder)
    output = ran(*command, "--rounds", 1, "--steps", 2, "--min-area", 0.001, "--agreement", 0.01, "--held-out-share", 0)
    assert "% of the masks are fit to train on" in output
    assert str(folder / "run" / "round1" / "masks.png") in output


def test_a_round_that_fails_names_the_segmenter_of_the_round_before(tmp_path, monkeypatch):
    def carried(work, folder, watch):
        if work.number == 2:
            raise UserError("only 0 photos have masks fit to train on")
        work.student = work.teacher
        return SimpleNamespace(result={})

    monkeypatch.setattr(rounds, "carry_out", carried)
    network = SelfTrainingState.start(SETTINGS, ENGINE).network
    photos = discs(8, seed=3)[0]
    with pytest.raises(UserError, match=r"round 2: only 0 photos .*; the segmenter of the round before is .*round1$"):
        rounds.self_train(
            Segmenter(network, SIDE),
            photos,
            dataclasses.replace(SETTINGS, rounds=2),
            ENGINE,
            tmp_path / "out",
            {"model": "m"},
        )
