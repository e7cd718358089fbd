import numpy as np
import pytest

from segmentation.evaluate import counts as counting
from segmentation.evaluate import measures
from segmentation.evaluate.counts import THRESHOLDS, curve_counts, level_counts, mask_counts, threshold_counts


def naive_counts(predicted, truth):
    parts = (predicted & truth, predicted & ~truth, ~predicted & truth, ~predicted & ~truth)
    return [int(part.sum()) for part in parts]


def beside(values, kind):
    """Values of [0, 1] in floats of `kind`, and the numbers just below and above each."""
    values = np.asarray(values, kind)
    return np.concatenate([np.nextafter(values, kind(-1)), values, np.nextafter(values, kind(2))]).clip(0, 1)


def test_four_pixels_are_counted_right():
    predicted = np.array([[True, True], [False, False]])
    truth = np.array([[True, False], [True, False]])
    counts = mask_counts(predicted, truth)
    assert [int(part) for part in (counts.tp, counts.fp, counts.fn, counts.tn)] == [1, 1, 1, 1]
    assert counts.tp.dtype == np.int64
    assert measures.iou(counts) == pytest.approx(1 / 3)
    assert measures.accuracy(counts) == 0.5
    assert measures.precision(counts) == measures.recall(counts) == measures.f_beta(counts) == 0.5


def test_the_curve_of_four_pixels_is_known():
    probability = np.array([[1.0, 0.5], [0.25, 0.0]], np.float32)
    truth = np.array([[True, False], [True, False]])
    curve = threshold_counts(probability, truth)
    assert curve.tp.shape == (255,)
    assert [int(curve.predicted[k]) for k in (0, 63, 64, 127, 128, 254)] == [3, 3, 2, 2, 1, 1]
    assert [int(curve.tp[k]) for k in (0, 63, 64, 254)] == [2, 2, 1, 1]
    levels = level_counts(probability, truth)
    assert [int(levels.predicted[k]) for k in (0, 1, 63, 64, 127, 128, 255)] == [4, 3, 3, 2, 2, 1, 1]


def test_every_float_beside_a_threshold_falls_on_the_right_side():
    values = np.append(beside(THRESHOLDS, np.float32), np.float32(1))
    above = np.array([(values > threshold).sum() for threshold in THRESHOLDS])
    truth = np.ones((1, len(values)), bool)
    np.testing.assert_array_equal(threshold_counts(values[None], truth).tp, above)


def parts(counts):
    return np.stack([counts.tp, counts.fp, counts.fn, counts.tn])


def assert_right(probability, truth):
    """Both curves, counted apart and together, are those of one comparison for each threshold and level."""
    curve, levels = curve_counts(probability, truth)
    np.testing.assert_array_equal(parts(curve), parts(threshold_counts(probability, truth)))
    np.testing.assert_array_equal(parts(levels), parts(level_counts(probability, truth)))
    single, double = probability.astype(np.float32), np.floor(probability.astype(np.float64) * 255)
    np.testing.assert_array_equal(parts(curve).T, [naive_counts(single > t, truth) for t in THRESHOLDS])
    np.testing.assert_array_equal(parts(levels).T, [naive_counts(double >= k, truth) for k in range(256)])


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_values_on_and_beside_thresholds_and_levels_are_counted_right(kind):
    exact = np.concatenate([beside(np.arange(256) / 255, kind), beside(THRESHOLDS, kind)])
    truth = np.arange(len(exact)) % 3 == 0
    assert_right(exact.reshape(7, -1), truth.reshape(7, -1))


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (7, 5)])
@pytest.mark.parametrize("share", [0, 0.5, 1])
def test_small_maps_and_empty_and_full_truths_are_counted_right(shape, share):
    rng = np.random.default_rng(2)
    assert_right(rng.random(shape), rng.random(shape) < share)


def test_the_order_in_memory_does_not_matter():
    rng = np.random.default_rng(3)
    probability, truth = rng.random((24, 30)), rng.random((24, 30)) < 0.4
    assert_right(probability.T, truth.T)
    assert_right(probability[::2, ::-3], truth[::2, ::-3])
    assert_right(np.asfortranarray(probability), truth)
    np.testing.assert_array_equal(
        parts(mask_counts(probability.T > 0.5, truth.T)), parts(mask_counts(probability > 0.5, truth))
    )


def test_maps_of_more_pixels_than_float32_counts_are_counted_in_parts(monkeypatch):
    monkeypatch.setattr(counting, "_EXACT", 64)
    rng = np.random.default_rng(4)
    assert_right(rng.random((23, 20)), rng.random((23, 20)) < 0.4)


def test_curves_equal_a_loop_over_thresholds():
    rng = np.random.default_rng(0)
    probability = rng.random((3, 20, 30), np.float32)
    probability[1] = (probability[1] * 255).round() / np.float32(255)
    truth = rng.random((3, 20, 30)) < 0.4
    curve, levels = threshold_counts(probability, truth), level_counts(probability, truth)
    for image in range(3):
        for k in range(0, 255, 7):
            found = [int(part[image, k]) for part in (curve.tp, curve.fp, curve.fn, curve.tn)]
            assert found == naive_counts(probability[image] > THRESHOLDS[k], truth[image])
            at_level = np.floor(probability[image].astype(np.float64) * 255) >= k
            found = [int(part[image, k]) for part in (levels.tp, levels.fp, levels.fn, levels.tn)]
            assert found == naive_counts(at_level, truth[image])


def test_a_batch_counts_like_its_images():
    rng = np.random.default_rng(1)
    probability, truth = rng.random((4, 8, 9), np.float32), rng.random((4, 8, 9)) < 0.5
    for count in (threshold_counts, level_counts):
        whole = count(probability, truth)
        for index in range(4):
            np.testing.assert_array_equal(whole.tp[index], count(probability[index], truth[index]).tp)


@pytest.mark.parametrize("bad", [-0.1, 1.5, np.nan])
def test_values_that_are_no_probabilities_are_refused(bad):
    probability = np.array([[bad, 0.5]], np.float32)
    for count in (threshold_counts, level_counts, curve_counts):
        with pytest.raises(ValueError, match=r"probabilities in \[0, 1\] are needed"):
            count(probability, np.ones((1, 2), bool))


def test_shapes_and_types_that_do_not_match_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        threshold_counts(np.zeros((2, 3), np.float32), np.zeros((1, 3), bool))
    with pytest.raises(ValueError, match="two bool arrays of one shape"):
        mask_counts(np.zeros((2, 3), bool), np.zeros((2, 3), np.uint8))
