"""What a segmenter remembers of its training photos, and when photos are said to look unlike them."""

import csv
import io
import json
import re

import numpy as np
import pytest
import torch
from cli_runs import ran
from golden_fill import fill_state_dict
from PIL import Image
from scipy.stats import betabinom
from typer.testing import CliRunner

import toolkit
from cli.app import app
from cli.browse.photos import segmented
from generators.scene import SceneGenerator
from segmentation.predict.aspects import Shapes
from segmentation.predict.familiarity import LEAST_PHOTOS, Spread, summary
from segmentation.predict.segmenter import Segmenter
from segmentation.predict.unlike import UNLIKE, chance_of, is_unlike, unlike_line
from segmentation.unet.network import UNet
from toolkit.errors import UserError
from toolkit.files.artefacts import load_artefact, save_artefact
from toolkit.pictures.photos import write_picture
from toolkit.pictures.pixels import to_bytes
from toolkit.streams import Stream

KNOWN, FRESH = 300, 400


@pytest.fixture(scope="module")
def scenes():
    """Photos uint8 (N, 64, 64, 3) of one kind."""
    scene = SceneGenerator()
    return to_bytes(scene(scene.sample(KNOWN + FRESH, Stream(0, "familiar"))))


@pytest.fixture(scope="module")
def segmenter(scenes):
    return Segmenter(fill_state_dict(UNet(width=4), 0), 32).familiar_with(scenes[:KNOWN])


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), np.uint8)


def familiarities(segmenter, photos, bf16=False):
    return [found[3] for found in segmenter.judged_predictions(enumerate(photos), bf16=bf16)]


# ---------------------------------------------------------------- one photo


def test_fresh_photos_of_the_same_kind_are_told_as_rarely_as_is_said(segmenter, scenes):
    found = np.array(familiarities(segmenter, scenes[KNOWN:]))
    assert 0.4 < found.mean() < 0.6
    wrongly = int((found < UNLIKE).sum())
    assert wrongly <= betabinom.ppf(0.999, FRESH, 9, KNOWN - 8)
    assert np.quantile(found, [0.2, 0.5, 0.8]) == pytest.approx([0.2, 0.5, 0.8], abs=0.12)


@pytest.mark.parametrize("bf16", [False, True])
def test_photos_of_another_kind_are_told(segmenter, scenes, noise, bf16):
    assert np.mean([*map(is_unlike, familiarities(segmenter, noise, bf16))]) > 0.95
    inverted = familiarities(segmenter, 255 - scenes[KNOWN : KNOWN + 40], bf16)
    assert np.mean([*map(is_unlike, inverted)]) > 0.5


def test_in_16_bits_photos_are_as_familiar(segmenter, scenes):
    exact, rounded = (np.array(familiarities(segmenter, scenes[KNOWN : KNOWN + 60], bf16)) for bf16 in (False, True))
    assert np.abs(exact - rounded).mean() < 0.15  # of random weights, whose features hardly vary
    assert np.corrcoef(exact, rounded)[0, 1] > 0.9


@pytest.mark.parametrize("shape", [(48, 64), (64, 50), (64, 36)])
def test_a_shape_makes_no_photo_unlike(segmenter, scenes, shape):
    found = np.array(familiarities(segmenter, scenes[KNOWN:, : shape[0], : shape[1]]))
    assert (found < UNLIKE).mean() < 3 * UNLIKE
    assert 0.3 < found.mean() < 0.7


def test_what_lies_beside_the_middle_of_a_long_photo_changes_nothing(segmenter, scenes):
    for photo in scenes[KNOWN : KNOWN + 3, ::2, ::2]:  # of the network's own size
        oblong = np.pad(photo, [(0, 0), (12, 13), (0, 0)], mode="reflect")  # as long as is looked at whole
        long = np.pad(oblong, [(0, 0), (20, 20), (0, 0)])
        assert familiarities(segmenter, [long]) == pytest.approx(familiarities(segmenter, [oblong]), abs=1e-6)


def test_statistics_of_squares_alone_judge_the_centre_square(segmenter, scenes, tmp_path):
    """Files made before shapes were known hold four stages' features, and no shapes."""
    segmenter.save(tmp_path / "a.safetensors")
    tensors, card = load_artefact(tmp_path / "a.safetensors", "segmenter")
    rows = np.random.default_rng(0).normal(size=(KNOWN, 64))
    spread = {f"familiarity.{name}": torch.tensor(value.tolist()) for name, value in vars(Spread.of(rows)).items()}
    rest = {name: tensor for name, tensor in tensors.items() if not name.startswith("familiarity.")}
    held = {"familiarity.held_back": torch.arange(1.0, KNOWN + 1)}
    save_artefact(tmp_path / "old.safetensors", "segmenter", rest | spread | held, card)
    old = Segmenter.load(tmp_path / "old.safetensors")
    assert old.known == KNOWN
    wide = np.pad(scenes[KNOWN], [(0, 0), (32, 32), (0, 0)])
    assert familiarities(old, [wide]) == pytest.approx(familiarities(old, [scenes[KNOWN]]), abs=1e-6)


def test_what_a_shape_adds_lies_between_those_of_its_neighbours():
    shapes = Shapes(np.array([0.5, 1.0, 2.0]), np.array([[3.0], [0.0], [1.0]]))
    found = [float(shapes.offset(aspect)[0]) for aspect in (0.1, 0.5, 0.5**0.5, 1, 2**0.5, 2, 5)]
    assert found == pytest.approx([3, 3, 1.5, 0, 0.5, 1, 1])
    assert (shapes.widest, Shapes.of_squares(4).widest) == (2, 1)


def test_of_many_photos_each_is_cut_to_one_shape_in_turn(segmenter, scenes, monkeypatch):
    monkeypatch.setattr("segmentation.predict.segmenter.MOST_PHOTOS", 200)
    known = segmenter.familiar_with(scenes)
    assert known.known == 200
    found = np.array(familiarities(known, scenes[KNOWN:, :48]))
    assert (found < UNLIKE).mean() < 3 * UNLIKE


def test_probabilities_do_not_depend_on_what_is_remembered(segmenter, scenes):
    plain = Segmenter(segmenter.network, 32)
    for photo in (scenes[0], scenes[0][:40]):
        assert np.array_equal(segmenter.probability(photo), plain.probability(photo))


def test_a_batch_of_photos_of_several_shapes_is_judged_one_by_one(segmenter, scenes, noise):
    mixed = [scenes[400], noise[0][:40], scenes[401][:50], noise[1], scenes[402]]
    alone = [familiarities(segmenter, [photo])[0] for photo in mixed]
    assert familiarities(segmenter, mixed) == pytest.approx(alone, abs=0.01)
    assert [*map(is_unlike, alone)] == [False, True, False, True, False]


def test_a_summary_is_the_mean_and_deviation_of_each_channel():
    level = torch.tensor([[[[0.0, 2.0], [4.0, 6.0]], [[1.0, 1.0], [1.0, 1.0]]]])
    assert torch.allclose(summary([level]), torch.tensor([[3.0, 1.0, 5**0.5, 0.0]]))


def test_a_score_is_the_distance_in_deviations():
    rows = np.random.default_rng(0).normal(size=(4000, 8)) * np.arange(1, 9) + 5
    spread = Spread.of(rows)
    scores = spread.scores(rows)
    assert np.mean(scores**2) == pytest.approx(8, rel=0.05)  # a chi-squared variable of 8 degrees of freedom
    far = rows.mean(axis=0) + 10 * rows.std(axis=0) * np.eye(8)
    assert spread.scores(far) == pytest.approx(10, rel=0.1)


def test_a_channel_that_was_silent_does_not_outweigh_the_others():
    rows = np.random.default_rng(0).normal(size=(500, 8))
    rows[:, 0] = 0
    touched = rows[:1] + 0.05 * np.eye(8)[:1]
    spread = Spread.of(rows)
    assert spread.scores(touched) == pytest.approx(spread.scores(rows[:1]), rel=0.5)


# ---------------------------------------------------------------- files


def test_it_comes_back_from_the_segmenters_own_file(segmenter, scenes, tmp_path):
    for half in (False, True):
        segmenter.save(tmp_path / "a.safetensors", half)
        loaded = Segmenter.load(tmp_path / "a.safetensors")
        assert loaded.known == KNOWN
        found, expected = (familiarities(each, scenes[KNOWN : KNOWN + 30]) for each in (loaded, segmenter))
        assert found == pytest.approx(expected, abs=0.05 if half else 0.005)
        assert loaded.digest() == (loaded if half else segmenter).digest()


def test_of_few_photos_nothing_is_remembered(segmenter, scenes, tmp_path):
    few = segmenter.familiar_with(scenes[: LEAST_PHOTOS - 1])
    few.save(tmp_path / "a.safetensors")
    loaded = Segmenter.load(tmp_path / "a.safetensors")
    assert (few.known, loaded.known, familiarities(loaded, scenes[:2])) == (0, 0, [None, None])
    assert segmenter.familiar_with(scenes[:LEAST_PHOTOS]).known == LEAST_PHOTOS


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("mean", lambda tensor: tensor[:-1], r"mean is \[31\], expected \[32\]"),
        ("held_back", lambda tensor: tensor * np.nan, "NaN"),
        ("scale", lambda tensor: tensor * 0, "photos that do not vary"),
        ("directions", lambda tensor: tensor[0, 0], "statistics of training photos"),
        ("variances", None, "missing: variances"),
        ("offsets", None, "missing: offsets"),
        ("aspects", lambda tensor: tensor.flip(0), "no order of shapes"),
    ],
)
def test_damaged_statistics_are_refused(segmenter, tmp_path, name, change, message):
    path = tmp_path / "a.safetensors"
    segmenter.save(path)
    tensors, card = load_artefact(path, "segmenter")
    held = tensors.pop(f"familiarity.{name}")
    save_artefact(path, "segmenter", tensors | ({f"familiarity.{name}": change(held)} if change else {}), card)
    with pytest.raises(UserError, match=message):
        Segmenter.load(path)


# ---------------------------------------------------------------- many photos


@pytest.mark.parametrize(("unlike", "count", "known"), [(4, 10, 2000), (1, 1, 2000), (9, 100, 50), (200, 5000, 300)])
def test_the_chance_of_many_is_that_of_a_beta_binomial(unlike, count, known):
    first = sum(rank / (known + 1) < UNLIKE for rank in range(1, known + 2))
    expected = betabinom.sf(unlike - 1, count, first, known + 1 - first)
    assert chance_of(unlike, count, known) == pytest.approx(expected, rel=1e-6)


def test_folders_like_the_training_photos_are_hardly_ever_told():
    drawn = np.random.default_rng(0).uniform(size=(4000, 20))
    assert sum(unlike_line(row.tolist(), 2000) is not None for row in drawn) <= 12  # 2 in 2,000 would be 4


@pytest.mark.parametrize(
    ("familiarity", "line"),
    [
        ([0.01], "this photo looks unlike those the segmenter was trained on; look at the overlay before"),
        ([0.04], None),
        ([0.01] * 40 + [0.5] * 60, r"40 of 100 photos look unlike .* \(at most 3 expected\); look at the overlays"),
        ([0.01] * 5 + [0.5] * 95, None),
        ([0.01] * 250 + [0.5] * 4750, None),  # 5 % of a large folder are more than chance, and hardly a difference
        ([0.04, 0.1, 0.16] * 5, "these 15 photos are on average more unusual than 90% of those the segmenter was"),
        ([0.4] * 5000, None),
        ([], None),
    ],
)
def test_what_is_said_of_photos_together(familiarity, line):
    found = unlike_line(familiarity, 2000)
    assert found is None if line is None else re.match(line, found or "")


# ---------------------------------------------------------------- where it is said


@pytest.fixture
def folders(segmenter, scenes, noise, tmp_path):
    """Folders of familiar and of unlike photos, the segmenter, and one that remembers nothing."""
    for kind, photos in (("familiar", scenes[KNOWN : KNOWN + 12]), ("unlike", noise[:12])):
        for index, photo in enumerate(photos):
            write_picture(tmp_path / kind / f"{index:02}.png", photo)
    segmenter.save(tmp_path / "segmenter.safetensors")
    Segmenter(segmenter.network, 32).save(tmp_path / "old.safetensors")
    return tmp_path


def predicted(folders, kind, segmenter="segmenter"):
    """Return the output of `predict`, its rows and its summary."""
    out = folders / "out"
    said = ran("predict", folders / kind, "--segmenter", folders / f"{segmenter}.safetensors", "--out", out)
    rows = list(csv.DictReader(io.StringIO((out / "result.csv").read_text(encoding="utf-8"), newline="")))
    return said, rows, json.loads((out / "result.json").read_text(encoding="utf-8"))


def test_predict_says_so_in_a_line_and_in_its_tables(folders):
    said, rows, summary = predicted(folders, "unlike")
    line = "12 of 12 photos look unlike those the segmenter was trained on (at most 1 expected); look at the overlays"
    assert f"warning: {line} before you use the masks" in said
    assert {row["unlike"] for row in rows} == {"yes"}
    assert (summary["unlike"], summary["warning"]) == (12, f"{line} before you use the masks")
    assert summary["named"]["unlike"] == [f"{index:02}.png" for index in range(12)]


def test_predict_says_nothing_of_familiar_photos(folders):
    said, rows, summary = predicted(folders, "familiar")
    assert "warning" not in said
    assert summary["warning"] is None
    assert 0.3 < np.mean([float(row["familiarity"]) for row in rows]) < 0.7
    assert summary["unlike"] == [row["unlike"] for row in rows].count("yes") <= 2


def test_a_segmenter_that_remembers_nothing_says_nothing(folders):
    said, rows, summary = predicted(folders, "unlike", "old")
    assert "unlike" not in said
    assert {(row["familiarity"], row["unlike"]) for row in rows} == {("", "")}
    assert (summary["unlike"], summary["warning"]) == (0, None)


def test_a_photo_written_to_stdout_is_told_too(folders):
    photo, flags = folders / "unlike" / "00.png", ("--write", "mask", "--out", "-")
    for segmenter, told in (("segmenter", True), ("old", False)):
        said = CliRunner().invoke(
            app, ["predict", str(photo), "--segmenter", str(folders / f"{segmenter}.safetensors"), *flags]
        )
        assert said.exit_code == 0
        assert ("warning: this photo looks unlike" in said.stderr) is told


def test_the_library_says_so_of_each_photo(segmenter, scenes, noise):
    found = list(toolkit.predict([noise[0], scenes[KNOWN]], segmenter, device="cpu", precision="fp32"))
    assert [each.unlike for each in found] == [True, False]
    assert found[1].familiarity == pytest.approx(familiarities(segmenter, scenes[KNOWN : KNOWN + 1])[0])
    (silent,) = toolkit.predict(noise[0], Segmenter(segmenter.network, 32), device="cpu", precision="fp32")
    assert (silent.familiarity, silent.unlike) == (None, None)


def test_the_page_of_a_browser_says_so(segmenter, scenes, noise):
    for known, photo, told in (
        (segmenter, noise[0], True),
        (segmenter, scenes[KNOWN], False),
        (Segmenter(segmenter.network, 32), noise[0], False),
    ):
        buffer = io.BytesIO()
        Image.fromarray(photo).save(buffer, "PNG")
        line = segmented(known, buffer.getvalue(), "a.png")[2]
        assert (line is not None and line.startswith("this photo looks unlike")) is told
