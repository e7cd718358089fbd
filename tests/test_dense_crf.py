"""Refinement: soft maps follow a photo's edges."""

import numpy as np
import pytest
from PIL import Image

import segmentation.predict.dense_crf as dense_crf_module
from segmentation.evaluate.boundary import boundary_f
from segmentation.predict.dense_crf import _Cells, dense_crf


def scene(height, width):
    """Return a photo (H, W, 3) of an ellipse on a ground, noisy, the ellipse (H, W), and a soft map as a network's."""
    rows, columns = np.mgrid[:height, :width]
    truth = ((rows - height / 2) / (0.3 * height)) ** 2 + ((columns - width / 2) / (0.3 * width)) ** 2 < 1
    noise = np.random.default_rng(0).normal(0, 8, (height, width, 3))
    photo = (np.where(truth[..., None], (200, 120, 60), (60, 110, 80)) + noise).clip(0, 255).astype(np.uint8)
    step = max(1, min(height, width) // 12)
    coarse = truth[step // 2 :: step, step // 2 :: step].repeat(step, axis=0).repeat(step, axis=1)
    rough = np.zeros((height, width), np.float32)
    rough[: coarse.shape[0], : coarse.shape[1]] = coarse[:height, :width]
    return photo, truth, 0.1 + 0.8 * rough


@pytest.mark.parametrize("shape", [(96, 96), (120, 200), (500, 420)])
def test_a_blocky_map_gets_the_photo_s_edges(shape):
    photo, truth, soft = scene(*shape)
    found = dense_crf(photo, soft)
    assert found.dtype == np.float32
    assert found.shape == shape
    assert found.min() >= 0
    assert found.max() <= 1
    wrong = [np.count_nonzero((each >= 0.5) != truth) for each in (soft, found)]
    assert wrong[1] < 0.15 * wrong[0]
    assert boundary_f(found >= 0.5, truth, 1) > 0.95 > 2 * boundary_f(soft >= 0.5, truth, 1)


def test_a_thing_that_the_map_misses_in_part_is_completed_and_one_of_another_colour_is_not_taken():
    photo, _, soft = scene(96, 96)
    soft[40:48, 40:48] = 0.3  # part of the thing
    found = dense_crf(photo, soft) >= 0.5
    assert found[40:48, 40:48].all()
    photo[5:15, 5:15] = (40, 40, 220)
    assert not (dense_crf(photo, soft) >= 0.5)[5:15, 5:15].any()


def test_a_photo_of_one_colour_keeps_what_is_sure():
    soft = np.full((64, 64), 0.2, np.float32)
    assert (dense_crf(np.full((64, 64, 3), 90, np.uint8), soft) < 0.1).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 3), (2, 5)])
def test_tiny_photos_and_strips_work(shape):
    photo = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    found = dense_crf(photo, np.full(shape, 0.5, np.float32))
    assert found.shape == shape
    assert np.isfinite(found).all()


def test_cells_gather_what_is_near_and_alike():
    photo = np.zeros((50, 50, 3), np.uint8)
    photo[:, 25:] = 255
    cells = _Cells.of(photo, 0.0)
    ones = cells.gathered(np.ones(2500)).reshape(50, 50)
    marked = cells.gathered((photo[..., 0] == 255).ravel().astype(float)).reshape(50, 50)
    assert np.array_equal(marked[:, :25], np.zeros((50, 25)))  # nothing comes from another colour
    assert np.array_equal(marked[:, 25:], ones[:, 25:])
    lone = np.zeros((50, 50))
    lone[10, 10] = 1
    near = cells.gathered(lone.ravel()).reshape(50, 50)
    assert near[10, 10] > near[10, 18] > 0
    assert near[45, 10] == 0


@pytest.mark.parametrize("shape", [(385, 900), (500, 384), (427, 640), (1003, 777), (386, 2000)])
def test_large_photos_by_strips_are_to_the_bit_what_pillow_makes_at_once(monkeypatch, shape):
    monkeypatch.setattr(dense_crf_module, "_STRIP_PIXELS", 9000)
    rng = np.random.default_rng(0)
    coarse = (shape[0] // 20, shape[1] // 20)
    photo = np.asarray(Image.fromarray(rng.integers(0, 256, (*coarse, 3), np.uint8)).resize(shape[::-1]))
    soft = np.asarray(Image.fromarray(rng.random(coarse, np.float32)).resize(shape[::-1]))
    scale = 384 / min(shape)
    size = round(shape[1] * scale), round(shape[0] * scale)
    small = np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.BOX, reducing_gap=2.0))
    settled = dense_crf(small, np.asarray(Image.fromarray(soft).resize(size, Image.Resampling.BILINEAR)))
    expected = np.asarray(Image.fromarray(settled).resize(shape[::-1], Image.Resampling.BILINEAR)).clip(0, 1)
    assert np.array_equal(dense_crf(photo, soft), expected)
