"""Evaluations of masks and maps in forms that are not plain: what is left out, what is said, what is refused."""

import json

import numpy as np
import pytest
from cli_runs import ran, refused
from mask_forms import HEIGHT, WIDTH, border, coloured, grey, indexed, truth, write_masks
from PIL import Image

from segmentation.evaluate.evaluation import evaluate_predictions
from segmentation.evaluate.scores import score_image
from segmentation.evaluate.settings import EvaluationSettings
from toolkit.errors import UserError
from toolkit.pictures.photos import read_gray

TAINTED = lambda m: grey(np.where(border(m), 255, m * 255))  # noqa: E731 (a form, as all others)


def evaluated(maps, masks, **settings):
    return evaluate_predictions(maps, masks, settings=EvaluationSettings(**settings))


def test_ignored_pixels_are_in_no_figure(tmp_path):
    maps = write_masks(tmp_path / "maps", TAINTED)  # wrong in the border, and nowhere else
    masks = write_masks(tmp_path / "m", lambda m: indexed(np.where(border(m), 255, m * 1)))
    result = evaluated(maps, masks).result()
    assert result["masks"]["read_as"] == "palette indices, object is all but 0 (1), 255 ignored"
    assert result["masks"]["ignored_pixels"] == sum(int(border(truth(number)).sum()) for number in range(3))
    for name in ("iou", "accuracy", "precision", "recall", "max_f", "max_f_levels", "s_measure", "weighted_f"):
        assert result["measures"][name] == pytest.approx(1), name
    assert result["measures"]["mae"] == 0
    assert evaluated(maps, masks, ignore="none", object="1").result()["measures"]["iou"] < 0.95


def test_counts_of_kept_pixels_are_those_of_the_pixels_alone():
    rng = np.random.default_rng(0)
    probability, mask, ignored = rng.random((12, 10)), rng.random((12, 10)) < 0.4, np.zeros((12, 10), bool)
    ignored[8:] = True
    with_them, alone = score_image(probability, mask, ignored=ignored), score_image(probability[:8], mask[:8])
    for name in ("iou", "accuracy", "precision", "recall", "adaptive_f", "adaptive_e", "mae"):
        assert with_them.figures[name] == pytest.approx(alone.figures[name]), name
    for name in ("f", "precision", "recall", "f_levels", "e_levels"):
        np.testing.assert_allclose(getattr(with_them, name), getattr(alone, name), err_msg=name)
    filled, right = np.where(ignored, 0, probability), mask & ~ignored
    shape = score_image(filled, right).figures
    assert with_them.figures["s_measure"] == pytest.approx(shape["s_measure"])
    assert with_them.figures["weighted_f"] == pytest.approx(shape["weighted_f"])


@pytest.mark.parametrize(
    ("form", "words"),
    [
        (grey, "grey codes, object is all but 0 (1)"),
        (lambda m: grey(m * 127), "grey codes, object is all but 0 (127)"),
        (lambda m: indexed(m * 2), "palette indices, object is all but 0 (2)"),
    ],
)
def test_maps_of_codes_are_read_and_it_is_said(tmp_path, form, words):
    masks = write_masks(tmp_path / "m", lambda m: grey(m * 255))
    evaluation = evaluated(write_masks(tmp_path / "maps", form), masks)
    assert evaluation.notes() == [f"maps read as {words}"]
    assert evaluation.result()["measures"]["iou"] == 1


def test_ordinary_maps_keep_their_levels(tmp_path):
    rng = np.random.default_rng(0)
    masks = write_masks(tmp_path / "m", lambda m: grey(m * 255))
    for name, mode in (("grey", "L"), ("colour", "RGB")):
        maps = write_masks(tmp_path / name, lambda m, mode=mode: grey(rng.integers(0, 256, m.shape)).convert(mode))
        evaluation = evaluated(maps, masks)
        assert evaluation.notes() == []
        for pair in evaluation.pairs:
            np.testing.assert_array_equal(evaluation.read(pair.image)[..., 0], read_gray(pair.image))


def test_faint_maps_are_levels_and_it_is_said_that_nothing_is_predicted(tmp_path):
    masks = write_masks(tmp_path / "m", lambda m: grey(m * 255))
    evaluation = evaluated(write_masks(tmp_path / "maps", lambda m: grey(m * 40 + np.arange(WIDTH))), masks)
    assert evaluation.notes() == ["maps read as grey levels, of which none reaches half white: they go up to 69"]
    assert evaluation.warnings() == [
        "warning: nothing at all is predicted at the threshold; look at the pictures, or see threshold"
    ]


def test_heat_maps_are_refused(tmp_path):
    masks = write_masks(tmp_path / "m", lambda m: grey(m * 255))
    heat = [(0, 0, 0), (0, 0, 255), (255, 0, 0)]
    maps = write_masks(tmp_path / "maps", lambda m: coloured(m * 1 + border(m) * 2, heat))
    with pytest.raises(UserError, match=r"the maps below .* hold colours, .*; write them as grey levels, 0 for black"):
        evaluated(maps, masks)


def test_a_far_better_complement_is_said_with_both_figures(tmp_path):
    maps = write_masks(tmp_path / "maps", lambda m: grey(m * 255))
    inverted = write_masks(tmp_path / "m", lambda m: grey(~m * 255))
    assert evaluated(maps, inverted).warnings() == [
        "warning: the complement of the masks fits far better, IoU 1.000 against 0.000; if black is the object in "
        "them, give invert"
    ]
    settled = evaluated(maps, inverted, invert=True)
    assert settled.warnings() == []
    assert settled.result()["measures"]["iou"] == 1


def test_a_map_full_of_object_is_no_sign_of_the_complement(tmp_path):
    maps = write_masks(tmp_path / "maps", lambda m: grey(m * 0 + 255))
    assert evaluated(maps, write_masks(tmp_path / "m", lambda m: grey(m * 255))).warnings() == []


@pytest.mark.parametrize(("level", "word"), [(0, "empty"), (255, "full")])
def test_masks_all_empty_or_full_are_said(tmp_path, level, word):
    maps = write_masks(tmp_path / "maps", lambda m: grey(m * 255))
    masks = write_masks(tmp_path / "m", lambda m: grey(m * 0 + level))
    assert any(
        line.startswith(f"warning: every mask is {word} as it was read") for line in evaluated(maps, masks).warnings()
    )


def test_an_image_of_which_all_is_ignored_is_left_out_and_said(tmp_path):
    maps = write_masks(tmp_path / "maps", lambda m: grey(m * 255))
    masks = write_masks(tmp_path / "m", lambda m: indexed(m * 1))
    indexed(truth() * 0 + 255).save(masks / "photo1.png")
    evaluation = evaluated(maps, masks)
    assert "left out 1 masks that hold nothing but ignored pixels: photo1.png" in evaluation.notes()
    assert evaluation.result()["images"] == 2


def test_the_screen_and_the_result_say_how_masks_were_read(tmp_path):
    maps = write_masks(tmp_path / "maps", lambda m: grey(m * 255))
    masks = write_masks(tmp_path / "m", lambda m: indexed(np.where(border(m), 255, m * 1)))
    printed = ran("eval", "--predictions", maps, "--masks", masks, "--out", tmp_path / "o", "--name", "x")
    assert "x: masks read as palette indices, object is all but 0 (1), 255 ignored\n" in printed
    (result,) = json.loads((tmp_path / "o" / "result.json").read_text())["datasets"]
    assert f"x: {result['masks']['ignored_pixels']} pixels of the masks were ignored\n" in printed
    plain = write_masks(tmp_path / "p", lambda m: grey(m * 255))
    assert "read as" not in ran("eval", "--predictions", maps, "--masks", plain, "--out", tmp_path / "q")


def test_a_doubt_is_one_line_and_a_flag_settles_it(tmp_path):
    maps = write_masks(tmp_path / "maps", lambda m: grey(m * 255))
    masks = write_masks(tmp_path / "m", lambda m: grey(np.where(m, 1, 2)))
    arguments = ("eval", "--predictions", maps, "--masks", masks, "--out", tmp_path / "o")
    assert "the codes 1 and 2 and no 0 for background" in refused(*arguments)
    assert not (tmp_path / "o").exists()
    assert " 1.000 " in ran(*arguments, "--object", "1")


def test_eval_measures_the_shipped_segmenter_where_none_is_named(tmp_path):
    def photo(mask):
        return Image.fromarray(np.repeat(np.where(mask, 220, 40).astype(np.uint8)[..., None], 3, axis=-1))

    images, masks = write_masks(tmp_path / "i", photo), write_masks(tmp_path / "m", lambda m: grey(m * 255))
    ran("eval", "--photos", images, "--masks", masks, "--out", tmp_path / "o")
    result = json.loads((tmp_path / "o" / "result.json").read_text())
    assert result["model"] == "flowers64"
    assert result["datasets"][0]["images"] == 3
    assert "1 --masks but 0 --photos" in refused("eval", "--masks", masks, "--out", tmp_path / "o")


def test_training_refuses_doubtful_masks_before_it_starts(tmp_path):
    def photo(mask):
        return Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8))

    images, masks = write_masks(tmp_path / "i", photo), write_masks(tmp_path / "m", lambda m: grey(np.where(m, 1, 2)))
    folders = ("--validation-photos", images, "--validation-masks", masks, "--out", tmp_path / "run")
    assert "the codes 1 and 2" in refused("segment", "flowers64", *folders)
    assert "the codes 1 and 2" in refused("self-train", images, *folders)
    assert "--object say how" in refused("segment", "flowers64", "--out", tmp_path / "run", "--object", "1")
    assert not (tmp_path / "run").exists()
