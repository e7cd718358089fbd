import csv
import io

import numpy as np
import pytest
import torch

from segmentation.evaluate.boundary import boundary_f
from segmentation.evaluate.cases import cases_picture, choose_cases
from segmentation.evaluate.evaluation import evaluate, evaluate_predictions, rows_csv
from segmentation.evaluate.measures import DEFINITIONS
from segmentation.evaluate.pairs import Pairs, pair_folders
from segmentation.evaluate.settings import EvaluationSettings
from segmentation.predict.protocols import PROTOCOLS
from toolkit.errors import UserError
from toolkit.files.writing import write_json
from toolkit.pictures.photos import read_gray, read_photo, write_picture

CPU = torch.device("cpu")


def brightness(images):
    """A stand-in network: the brighter a pixel, the more foreground."""
    gray = images.mean(dim=1, keepdim=True)
    return torch.cat([-4 * gray, 4 * gray], dim=1)


def brightness_of(photo):
    return PROTOCOLS["float"].predict(brightness, [photo], 16, CPU)[0]


@pytest.fixture
def discs(tmp_path):
    """Five photos of white discs on black, growing, and their masks; the last photo is inverted."""
    y, x = np.mgrid[:24, :32]
    for index in range(5):
        disc = (y - 12) ** 2 + (x - 16) ** 2 < (3 + 2 * index) ** 2
        photo = np.repeat((disc != (index == 4)).astype(np.uint8)[..., None] * 255, 3, axis=-1)
        write_picture(tmp_path / "images" / f"disc_{index}.png", photo)
        write_picture(tmp_path / "masks" / f"disc_{index}.png", disc.astype(np.uint8) * 255)
    return pair_folders(tmp_path / "images", tmp_path / "masks")


def test_an_evaluation_streams_images_and_then_sums_them_up(discs):
    shown = []

    def predict(photo):
        shown.append(photo.shape)
        return brightness_of(photo)

    evaluation = evaluate(discs, predict, "discs", PROTOCOLS["float"].meaning)
    assert shown == []
    stream = iter(evaluation)
    assert next(stream).pair.name == "disc_0"
    assert len(shown) == 1
    assert [scored.pair.name for scored in evaluation] == [f"disc_{index}" for index in range(1, 5)]
    result = evaluation.result()
    assert len(shown) == len(evaluation) == result["images"] == 5


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
def test_masks_are_measured_at_the_photo_s_own_size_whatever_the_network_s(tmp_path, protocol):
    truth = np.zeros((90, 61), bool)
    truth[20:70, 30:] = truth[40, :30] = True  # a stem one pixel wide, which the network's 16 pixels do not hold
    write_picture(tmp_path / "images" / "a.png", np.repeat(truth[..., None], 3, axis=-1).astype(np.uint8) * 255)
    write_picture(tmp_path / "masks" / "a.png", truth.astype(np.uint8) * 255)
    pairs, way = pair_folders(tmp_path / "images", tmp_path / "masks"), PROTOCOLS[protocol]
    evaluation = evaluate(pairs, lambda photo: way.predict(brightness, [photo], 16, CPU)[0], "", way.meaning)
    _, probability, read = evaluation.measured(pairs[0])
    np.testing.assert_array_equal(read.mask, truth)
    measures, predicted = evaluation.measures, probability >= 0.5
    assert predicted.shape == truth.shape
    assert measures["iou"] == (predicted & truth).sum() / (predicted | truth).sum()
    assert measures["boundary_f"] == boundary_f(predicted, truth)
    assert truth[40, :20].all()
    assert not predicted[40, :20].any()
    assert measures["recall"] < 0.99


def test_the_result_carries_measures_definitions_and_protocol(discs, tmp_path):
    settings = EvaluationSettings(threshold=0.6, stretch=True)
    result = evaluate(discs, brightness_of, "discs", PROTOCOLS["float"].meaning, settings).result()
    assert result["dataset"] == "discs"
    assert list(result["measures"]) == list(result["definitions"]) == list(DEFINITIONS)
    assert result["protocol"]["prediction"] == PROTOCOLS["float"].meaning
    assert result["protocol"]["threshold"] == 0.6
    assert result["protocol"]["stretch"] is True
    assert result["protocol"]["beta_squared"] == 0.3
    assert 0 <= result["best_threshold"] < 1
    write_json(tmp_path / "result.json", result)


def test_the_rows_average_to_the_result(discs):
    evaluation = evaluate(discs, brightness_of, "discs", "")
    result, rows = evaluation.result(), evaluation.rows()
    assert [row["name"] for row in rows] == [f"disc_{index}" for index in range(5)]
    for name in ("iou", "accuracy", "mae", "s_measure", "weighted_f"):
        assert np.mean([row[name] for row in rows]) == pytest.approx(result["measures"][name])
    assert np.mean([row["f"] for row in rows]) == pytest.approx(result["measures"]["max_f"])
    table = list(csv.DictReader(io.StringIO(rows_csv(rows))))
    assert float(table[2]["iou"]) == pytest.approx(rows[2]["iou"], abs=1e-6)


def test_the_order_of_the_images_does_not_change_the_measures(discs):
    there = evaluate(discs, brightness_of, "", "").result()["measures"]
    back = evaluate(Pairs(discs.items[::-1]), brightness_of, "", "").result()["measures"]
    assert there == pytest.approx(back)


def test_the_threshold_settles_the_mask(discs):
    loose = evaluate(discs[:4], brightness_of, "", "", EvaluationSettings(threshold=0.01))
    tight = evaluate(discs[:4], brightness_of, "", "", EvaluationSettings(threshold=0.99))
    assert loose.result()["measures"]["recall"] > tight.result()["measures"]["recall"]


def test_the_worst_case_is_found_and_no_case_is_shown_twice(discs):
    evaluation = evaluate(discs, brightness_of, "discs", "")
    chosen = choose_cases(evaluation, each=1)
    assert [pair.name for pair in chosen["worst"]] == ["disc_4"]
    ious = {row["name"]: row["iou"] for row in evaluation.rows()}
    assert ious[chosen["best"][0].name] == max(ious.values())
    assert ious[chosen["median"][0].name] == np.median(list(ious.values()))
    many = choose_cases(evaluation, each=4)
    names = [pair.name for pairs in many.values() for pair in pairs]
    assert sorted(names) == [f"disc_{index}" for index in range(5)]


def test_the_cases_picture_shows_photo_truth_probability_and_overlay(discs):
    evaluation = evaluate(discs, brightness_of, "discs", "")
    picture = cases_picture(evaluation, each=1, height=24)
    assert picture.shape == (3 * 24 + 2 * 6, 4 * 32 + 3 * 4, 3)
    best = picture[:24]
    photo, truth, probability, drawn = (best[:, left : left + 32] for left in range(0, 4 * 36, 36))
    np.testing.assert_array_equal(photo, truth)
    assert np.abs(probability.astype(int) - photo).mean() < 40
    assert (drawn != photo).any(axis=2).mean() > 0.02  # the outline
    np.testing.assert_array_equal(drawn[0, 0], photo[0, 0])


def test_grey_level_maps_are_evaluated_without_a_model(discs, tmp_path):
    for pair in discs:
        write_picture(
            tmp_path / "maps" / f"{pair.name}.png", (brightness_of(read_photo(pair.image)) * 255).astype(np.uint8)
        )
    evaluation = evaluate_predictions(tmp_path / "maps", tmp_path / "masks")
    result = evaluation.result()
    direct = evaluate(discs, brightness_of, "", "").result()["measures"]
    assert result["dataset"] == "masks"
    for name in ("max_f", "accuracy", "mae", "s_measure"):
        assert result["measures"][name] == pytest.approx(direct[name], abs=1e-2)
    assert cases_picture(evaluation, each=1, height=24).shape == (84, 140, 3)


def test_stretched_maps_equal_pysodmetrics(discs, tmp_path):
    sod = pytest.importorskip("py_sod_metrics")
    mae, structure = sod.MAE(), sod.Smeasure()
    for pair in discs:
        levels = (60 + brightness_of(read_photo(pair.image)) * 100).astype(np.uint8)
        write_picture(tmp_path / "maps" / f"{pair.name}.png", levels)
        for measure in (mae, structure):
            measure.step(levels, read_gray(pair.mask))
    settings = EvaluationSettings(stretch=True)
    measured = evaluate_predictions(tmp_path / "maps", tmp_path / "masks", "discs", settings).result()["measures"]
    assert measured["mae"] == pytest.approx(mae.get_results()["mae"], abs=1e-6)
    assert measured["s_measure"] == pytest.approx(structure.get_results()["sm"], abs=1e-6)


def test_what_was_left_out_is_counted(discs, tmp_path):
    (tmp_path / "masks" / "disc_0.png").rename(tmp_path / "masks" / "other.png")
    with pytest.raises(UserError, match="1 of the 5 images"):
        evaluate_predictions(tmp_path / "images", tmp_path / "masks")
    result = evaluate_predictions(
        tmp_path / "images", tmp_path / "masks", settings=EvaluationSettings(ignore_unpaired=True)
    ).result()
    assert (result["images"], result["images_without_mask"], result["masks_without_image"]) == (4, 1, 1)


def test_empty_masks_are_counted_and_spoil_nothing(discs, tmp_path):
    write_picture(tmp_path / "masks" / "disc_1.png", np.zeros((24, 32), np.uint8))
    result = evaluate(discs, brightness_of, "discs", "").result()
    assert result["empty_masks"] == 1
    assert all(np.isfinite(value) for value in result["measures"].values())


def test_a_mask_of_another_size_stops_the_evaluation_unless_it_may_be_resized(discs, tmp_path):
    write_picture(tmp_path / "masks" / "disc_1.png", np.full((12, 16), 255, np.uint8))
    with pytest.raises(UserError, match=r"disc_1\.png is 16 x 12 pixels, but .*disc_1\.png is 32 x 24"):
        evaluate(discs, brightness_of, "discs", "").result()
    settings = EvaluationSettings(resize_masks=True)
    assert evaluate(discs, brightness_of, "discs", "", settings).result()["images"] == 5


def test_nothing_to_evaluate_is_said(discs):
    with pytest.raises(UserError) as error:
        evaluate(discs[:0], brightness_of, "discs", "")
    assert str(error.value) == "there are no images to evaluate; name a folder of images and one of masks"


def test_a_photo_that_cannot_be_read_is_named(discs):
    discs[2].image.write_bytes(discs[2].image.read_bytes()[:40])
    with pytest.raises(UserError, match=r"cannot read the photo .*disc_2\.png"):
        evaluate(discs, brightness_of, "discs", "").result()


@pytest.mark.parametrize(("name", "value"), [("threshold", 1.5), ("mask_threshold", 0.0)])
def test_impossible_settings_are_refused(name, value):
    with pytest.raises(UserError, match=f"^{name} is {value}"):
        EvaluationSettings(**{name: value})
