"""S-measure and weighted F are those of their definitions, worked out pixel by pixel."""

import numpy as np
import pytest
from scipy.ndimage import correlate, distance_transform_edt

from segmentation.evaluate import structure
from segmentation.evaluate.measures import EPSILON, absolute_error
from segmentation.evaluate.structure import s_measure, weighted_f

SHAPES = [(1, 1), (1, 12), (12, 1), (9, 14), (37, 52)]


def naive_object(values):
    if not values.size:
        return 0.0
    spread = values.std(ddof=1) if values.size > 1 else 0.0
    return 2 * values.mean() / (values.mean() ** 2 + 1 + spread + EPSILON)


def naive_region(values, truth):
    if not values.size:
        return 0.0
    x, y, freedom = values.mean(), truth.mean(), values.size - 1 + EPSILON
    together = ((values - x) * (truth - y)).sum() / freedom
    alike = 4 * x * y * together
    apart = (x**2 + y**2) * (((values - x) ** 2).sum() + ((truth - y) ** 2).sum()) / freedom
    return alike / (apart + EPSILON) if alike else float(apart == 0)


def naive_s(values, truth):
    if not truth.any() or truth.all():
        return values.mean() if truth.all() else 1 - values.mean()
    share = truth.mean()
    objects = share * naive_object(values[truth]) + (1 - share) * naive_object(1 - values[~truth])
    y, x = (int(np.round(where.mean())) + 1 for where in np.nonzero(truth))
    quarters = [np.s_[:y, :x], np.s_[:y, x:], np.s_[y:, :x], np.s_[y:, x:]]
    regions = sum(naive_region(values[q], truth[q]) * truth[q].size for q in quarters) / truth.size
    return max(0, (objects + regions) / 2)


def naive_weighted_f(values, truth):
    if not truth.any():
        return 0.0
    error = np.abs(values - truth)
    distance, nearest = distance_transform_edt(~truth, return_indices=True)
    kernel = np.exp(-(np.arange(-3, 4) ** 2) / 50)
    kernel = np.outer(kernel, kernel) / kernel.sum() ** 2
    softened = correlate(error[tuple(nearest)], kernel, mode="constant")
    missed = np.minimum(error, softened)[truth].sum()
    weight = 2 - np.exp(np.log(0.5) / 5 * distance)
    hits, found = truth.sum() - missed, 1 - missed / truth.sum()
    right = hits / (hits + (error * weight)[~truth].sum() + EPSILON)
    return 2 * found * right / (found + right + EPSILON)


def cases(shape):
    """Maps and truths: scattered pixels with many ties of distance, one pixel, all but one, none, all."""
    rng = np.random.default_rng(0)
    truths = [rng.random(shape) < share for share in (0.02, 0.1, 0.5, 0.95)]
    one = np.zeros(shape, bool)
    one.flat[rng.integers(one.size)] = True
    for truth in [*truths, one, ~one, np.zeros(shape, bool), np.ones(shape, bool)]:
        for values in (rng.random(shape), rng.integers(0, 256, shape) / 255, truth.astype(float), np.full(shape, 0.25)):
            yield values, truth


@pytest.mark.parametrize("shape", SHAPES)
def test_s_measure_is_that_of_its_definition(shape):
    for values, truth in cases(shape):
        assert s_measure(values, truth) == pytest.approx(naive_s(values, truth), abs=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_weighted_f_is_that_of_its_definition(shape):
    for values, truth in cases(shape):
        assert weighted_f(values, truth) == pytest.approx(naive_weighted_f(values, truth), abs=1e-12)


def test_weighted_f_of_maps_too_large_for_opencv_s_distances_is_the_same(monkeypatch):
    monkeypatch.setattr(structure, "_EXACT", 0)
    for values, truth in cases((37, 52)):
        assert weighted_f(values, truth) == pytest.approx(naive_weighted_f(values, truth), abs=1e-12)


def test_a_far_object_has_exact_distances():
    truth = np.zeros((20, 600), bool)
    truth[3, 2] = truth[17, 400] = True
    values = np.random.default_rng(1).random(truth.shape)
    assert weighted_f(values, truth) == pytest.approx(naive_weighted_f(values, truth), abs=1e-12)


@pytest.mark.parametrize("measure", [s_measure, weighted_f])
def test_the_order_in_memory_does_not_matter(measure):
    values, truth = next(cases((24, 30)))
    for view in (np.transpose, lambda array: array[::2, ::-3], np.asfortranarray):
        seen = np.ascontiguousarray(view(values)), np.ascontiguousarray(view(truth))
        assert measure(view(values), view(truth)) == pytest.approx(measure(*seen), abs=1e-12)


def test_weighted_f_takes_an_error_that_is_at_hand():
    values, truth = next(cases((24, 30)))
    assert weighted_f(values, truth, absolute_error(values, truth)) == weighted_f(values, truth)


def test_errors_are_float64_whatever_the_map():
    error = absolute_error(np.array([[0.25, 0.75]], np.float32), np.array([[True, False]]))
    assert error.dtype == np.float64
    np.testing.assert_array_equal(error, [[0.75, 0.75]])
