import json

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from benchmarks.reference import plain_max_f
from segmentation.evaluate import measures
from segmentation.evaluate.counts import THRESHOLDS, Counts, mask_counts, threshold_counts
from segmentation.evaluate.scores import ImageScores, Tally, score_image
from segmentation.evaluate.structure import s_measure, weighted_f


def tallied(maps, truths, **options):
    tally = Tally()
    for probability, truth in zip(maps, truths, strict=True):
        tally.add(score_image(probability, truth, **options))
    return tally


def case(rng, shape, share):
    """A smooth truth of about `share` and a soft, imperfect prediction of it."""
    ground = gaussian_filter(rng.normal(size=shape), 4)
    truth = ground > np.quantile(ground, 1 - share)
    noise = gaussian_filter(rng.normal(size=shape), 2) * 8
    return 1 / (1 + np.exp(-(noise + np.where(truth, 1.0, -1.0)))), truth


# ------------------------------------------------------------------------------------------- the original's numbers


def test_the_original_s_measures_are_reproduced(golden):
    arrays = golden("metrics")
    probability, truth = arrays["prob"], arrays["gt"]
    both_empty = np.isnan(arrays["iou_per_image"])
    at_half = mask_counts(probability >= 0.5, truth)
    curve = threshold_counts(probability, truth)

    np.testing.assert_array_equal(THRESHOLDS, arrays["thresholds"].astype(np.float32))
    np.testing.assert_allclose(measures.iou(at_half), np.where(both_empty, 1, arrays["iou_per_image"]), atol=1e-6)
    np.testing.assert_allclose(measures.accuracy(at_half), arrays["accuracy_per_image"], atol=1e-6)
    np.testing.assert_allclose(measures.precision(curve), arrays["precision"], atol=1e-6)
    np.testing.assert_allclose(measures.recall(curve), arrays["recall"], atol=1e-6)
    np.testing.assert_allclose(measures.f_beta(curve), arrays["f_score"], atol=1e-6)
    assert measures.f_beta(curve).mean(axis=0).max() == pytest.approx(float(arrays["f_max"]), abs=1e-6)
    assert measures.iou(at_half)[9:12].mean() == pytest.approx(float(arrays["batched_iou_9_12"]), abs=1e-6)


def test_the_original_s_data_set_figures_are_reproduced(golden):
    arrays = golden("metrics")
    expected = json.loads(str(arrays["model_metrics_json"]))
    first_three = json.loads(str(arrays["model_metrics_first3_json"]))
    without = [index for index in range(12) if index != 4]
    subsets = {"all": range(12), "no_both_empty": without, "random": range(9, 12)}
    for name, rows in subsets.items():
        figures = tallied(arrays["prob"][list(rows)], arrays["gt"][list(rows)]).summary()
        assert figures["max_f"] == pytest.approx(expected[name]["F_max"], abs=1e-6)
        assert figures["accuracy"] == pytest.approx(expected[name]["accuracy"], abs=1e-6)
        if name != "all":
            assert figures["iou"] == pytest.approx(expected[name]["IoU"], abs=1e-6)
    rows = [1, 5, 6]  # the golden list starts with an empty, a perfect and an inverted prediction
    figures = tallied(arrays["prob"][rows], arrays["gt"][rows]).summary()
    assert figures["max_f"] == pytest.approx(first_three["F_max"], abs=1e-6)
    assert figures["accuracy"] == pytest.approx(first_three["accuracy"], abs=1e-6)


def test_the_plain_way_of_max_f_gives_ours(golden):
    arrays = golden("metrics")
    probability, truth = arrays["prob"].astype(np.float32), arrays["gt"]
    plain = plain_max_f(torch.from_numpy(probability), torch.from_numpy(truth))
    assert plain == pytest.approx(measures.f_beta(threshold_counts(probability, truth)).mean(axis=0).max(), abs=1e-6)


# ------------------------------------------------------------------------------------- empty masks, identities


def counts_of(tp, fp, fn, tn):
    return Counts(*(np.int64(value) for value in (tp, fp, fn, tn)))


def test_zero_division_is_defined():
    nothing, missed, false_alarm = counts_of(0, 0, 0, 9), counts_of(0, 0, 4, 5), counts_of(0, 4, 0, 5)
    assert [float(measures.iou(c)) for c in (nothing, missed, false_alarm)] == [1, 0, 0]
    assert [float(measures.precision(c)) for c in (nothing, missed, false_alarm)] == [1, 1, 0]
    assert [float(measures.recall(c)) for c in (nothing, missed, false_alarm)] == [1, 0, 1]
    assert [float(measures.f_beta(c)) for c in (nothing, missed, false_alarm)] == [1, 0, 0]
    assert float(measures.f_beta(nothing, both_empty=0)) == 0


def test_f_is_the_weighted_harmonic_mean_of_precision_and_recall():
    counts = counts_of(3, 2, 5, 7)
    precision, recall = 3 / 5, 3 / 8
    expected = 1.3 * precision * recall / (0.3 * precision + recall)
    assert float(measures.f_beta(counts)) == pytest.approx(expected)
    assert float(measures.f_of(np.array(precision), np.array(recall))) == pytest.approx(expected)
    assert float(measures.f_of(np.array(0.0), np.array(0.0))) == 0


def test_every_measure_has_its_ideal_value_at_a_perfect_prediction():
    truth = case(np.random.default_rng(2), (24, 30), 0.3)[1]
    figures = tallied([truth.astype(np.float32)], [truth]).summary()
    ideal = {"mae": 0.0, "max_e": 1 + 1 / (24 * 30 - 1), "adaptive_e": 1 + 1 / (24 * 30 - 1)}
    # At level 0 everything is foreground, so the means over levels stay below their ideal.
    for name in set(figures) - {"mean_f", "mean_e"}:
        assert figures[name] == pytest.approx(ideal.get(name, 1.0), abs=1e-9), name
    assert figures["mean_f"] > 0.99


def test_an_inverted_prediction_scores_nothing():
    truth = case(np.random.default_rng(2), (24, 30), 0.3)[1]
    figures = tallied([1 - truth.astype(np.float32)], [truth]).summary()
    for name in ("iou", "accuracy", "precision", "recall", "max_f", "adaptive_f"):
        assert figures[name] == pytest.approx(0, abs=1e-9), name
    assert figures["mae"] == 1
    assert figures["weighted_f"] < 0.1  # zeros beyond the picture's border soften errors beside it


def test_empty_truths_and_full_truths_give_numbers_everywhere():
    maps = [np.zeros((6, 7), np.float32), np.ones((6, 7), np.float32), np.full((6, 7), 0.3, np.float32)]
    for truth in (np.zeros((6, 7), bool), np.ones((6, 7), bool)):
        for probability in maps:
            for stretch in (False, True):
                figures = tallied([probability], [truth], stretch=stretch).summary()
                assert all(np.isfinite(value) for value in figures.values())


def test_both_empty_is_perfect_for_iou_and_max_f_and_zero_for_pysodmetrics_f():
    nothing = np.zeros((4, 4))
    figures = tallied([nothing], [nothing.astype(bool)]).summary()
    assert figures["iou"] == figures["max_f"] == figures["s_measure"] == 1
    assert figures["max_f_levels"] == figures["adaptive_f"] == figures["weighted_f"] == 0


def test_measures_ignore_the_image_s_orientation():
    probability, truth = case(np.random.default_rng(3), (30, 40), 0.2)
    upright = tallied([probability], [truth]).summary()
    for turn in (np.fliplr, np.flipud, np.transpose):
        turned = tallied([np.ascontiguousarray(turn(probability))], [np.ascontiguousarray(turn(truth))])
        for name, value in turned.summary().items():
            # S-measure: the centroid's row and column go to the upper left. Weighted F: ties of the nearest pixel.
            loose = {"s_measure": 2e-2, "weighted_f": 1e-2}
            assert value == pytest.approx(upright[name], abs=loose.get(name, 1e-9)), name


def test_an_object_in_the_last_column_leaves_empty_quarters_without_nan():
    truth = np.zeros((6, 6), bool)
    truth[:, -1] = True
    assert s_measure(truth.astype(np.float64), truth) == pytest.approx(1)


def test_weighted_f_punishes_false_alarms_far_away_more():
    truth = np.zeros((40, 40), bool)
    truth[5:15, 5:15] = True
    near, far = truth.astype(np.float64), truth.astype(np.float64)
    near[5:15, 15] = 1
    far[5:15, 39] = 1
    assert weighted_f(far, truth) < weighted_f(near, truth) < 1


def test_stretching_moves_the_range_to_zero_and_one():
    stretched = measures.stretched(np.array([[0.25, 0.5], [0.75, 0.5]]))
    np.testing.assert_array_equal(stretched, [[0, 0.5], [1, 0.5]])
    np.testing.assert_array_equal(measures.stretched(np.full((2, 2), 0.3)), np.full((2, 2), 0.3))


def test_the_three_max_f_definitions_differ_as_defined():
    truth = np.array([[True, False, False, False]])
    low, high = np.array([[0.4, 0.3, 0.2, 0.1]]), np.array([[0.9, 0.8, 0.7, 0.6]])
    figures = tallied([low, high], [truth, truth]).summary()
    # Each alone has a threshold that is perfect; no common one is.
    assert figures["max_f_per_image"] == 1
    curves = [measures.f_beta(threshold_counts(values, truth)) for values in (low, high)]
    assert figures["max_f"] == pytest.approx(np.mean(curves, axis=0).max())
    assert figures["max_f"] < 1
    assert figures["max_f_mean_pr"] == pytest.approx(1.3 * 1 * 0.5 / (0.3 * 1 + 0.5))


def test_each_summary_figure_has_a_definition():
    rng = np.random.default_rng(4)
    tally = tallied(*zip(*[case(rng, (12, 12), 0.3) for _ in range(3)], strict=True))
    assert list(tally.summary()) == list(measures.DEFINITIONS)
    assert len(tally) == 3
    assert tally.best_threshold == THRESHOLDS[tally.best]
    assert np.mean(tally.best_f()) == pytest.approx(tally.summary()["max_f"])


# --------------------------------------------------------------------------------------------- PySODMetrics


def oracle(maps, truths, normalize):
    sod = pytest.importorskip("py_sod_metrics")
    handler = sod.FmeasureHandler(beta=0.3, with_dynamic=True, with_adaptive=True)
    f, s, e = sod.FmeasureV2({"f": handler}), sod.Smeasure(), sod.Emeasure()
    w, m = sod.WeightedFmeasure(), sod.MAE()
    for values, truth in zip(maps, truths, strict=True):
        for measure in (f, s, e, w, m):
            measure.step(values, truth, normalize=normalize)
    curves, aligned = f.get_results()["f"], e.get_results()["em"]
    return {
        "max_f_levels": curves["dynamic"].max(),
        "mean_f": curves["dynamic"].mean(),
        "adaptive_f": curves["adaptive"],
        "mae": m.get_results()["mae"],
        "s_measure": s.get_results()["sm"],
        "max_e": aligned["curve"].max(),
        "mean_e": aligned["curve"].mean(),
        "adaptive_e": aligned["adp"],
        "weighted_f": w.get_results()["wfm"],
    }


def assert_same(found, expected):
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-6), name


@pytest.mark.parametrize("shape", [(30, 40), (41, 27), (64, 64)])
def test_pysodmetrics_agrees_on_probabilities(shape):
    rng = np.random.default_rng(5)
    maps, truths = zip(*[case(rng, shape, share) for share in (0.05, 0.2, 0.5, 0.8)], strict=True)
    assert_same(tallied(maps, truths).summary(), oracle(maps, truths, normalize=False))


def test_pysodmetrics_agrees_on_stretched_grey_levels():
    rng = np.random.default_rng(6)
    maps, truths = zip(*[case(rng, (40, 50), share) for share in (0.1, 0.3, 0.6)], strict=True)
    levels = [(40 + values * 150).astype(np.uint8) for values in maps]
    expected = oracle(levels, [truth.astype(np.uint8) * 255 for truth in truths], normalize=True)
    assert_same(tallied([values / 255 for values in levels], truths, stretch=True).summary(), expected)


def test_pysodmetrics_agrees_on_empty_full_and_constant_maps(golden):
    arrays = golden("metrics")
    maps, truths = arrays["prob"].astype(np.float64), arrays["gt"]
    assert_same(tallied(maps, truths).summary(), oracle(maps, truths, normalize=False))
    for constant in (0.0, 0.25, 1.0):
        blank = [np.full_like(maps[0], constant)] * len(truths)
        assert_same(tallied(blank, truths).summary(), oracle(blank, truths, normalize=False))


def test_the_level_and_threshold_definitions_of_max_f_agree_on_floats():
    rng = np.random.default_rng(7)
    maps, truths = zip(*[case(rng, (40, 50), 0.3) for _ in range(4)], strict=True)
    figures = tallied(maps, truths).summary()
    assert figures["max_f"] == pytest.approx(figures["max_f_levels"], abs=1e-3)


def test_scores_hold_curves_of_the_documented_lengths():
    scores = score_image(*case(np.random.default_rng(8), (10, 10), 0.3))
    assert isinstance(scores, ImageScores)
    assert [len(c) for c in (scores.f, scores.precision, scores.recall)] == [255] * 3
    assert len(scores.f_levels) == len(scores.e_levels) == 256
