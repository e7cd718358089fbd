"""Pixel ranges, and pictures put together, on cases one can solve in the head."""

import numpy as np
import pytest
import torch
from PIL import Image
from rounding import close
from scipy.ndimage import binary_dilation, gaussian_filter

from toolkit.pictures import outlines, pixels
from toolkit.pictures.outlines import overlay
from toolkit.pictures.pixels import (
    from_bytes,
    gray,
    grid,
    mask_picture,
    resize,
    resized_photo,
    stack_rows,
    to_bytes,
)
from toolkit.pictures.scaling import scaled, scaled_photo, shorter_side

LEVELS = np.arange(256, dtype=np.uint8)
GREEN = [0, 255, 0]


def test_all_levels_go_there_and_back():
    pixels = LEVELS.reshape(16, 16, 1).repeat(3, axis=2)
    assert np.array_equal(to_bytes(from_bytes(pixels)), pixels)
    assert np.array_equal(to_bytes(from_bytes(pixels[None])), pixels[None])


def test_the_ends_and_the_order_of_channels():
    images = from_bytes(np.array([[[0, 255, 51]]], np.uint8))
    assert images.shape == (3, 1, 1)
    assert images.dtype == torch.float32
    assert images.flatten().tolist() == pytest.approx([-1, 1, -0.6])


def test_values_outside_the_range_are_clamped_and_do_not_wrap():
    images = torch.tensor([-1e9, -1.01, 1.01, 3.0, 1e9]).expand(3, 1, 5)
    assert to_bytes(images)[0, :, 0].tolist() == [0, 0, 255, 255, 255]


def test_values_between_levels_are_rounded():
    step = 2 / 255
    images = (torch.tensor([-1 + 0.4 * step, -1 + 0.6 * step, 1 - 0.4 * step, 1 - 0.6 * step])).expand(3, 1, 4)
    assert to_bytes(images)[0, :, 0].tolist() == [0, 1, 255, 254]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_precisions(dtype):
    images = torch.tensor([-1.0, 0.5, 1.0], dtype=dtype).expand(3, 1, 3)
    assert to_bytes(images)[0, :, 0].tolist() == [0, 191, 255]


def test_gradients_do_not_hinder():
    assert to_bytes(torch.zeros(3, 1, 1, requires_grad=True)).tolist() == [[[128, 128, 128]]]


def test_arrays_that_may_not_be_written_to_are_read_and_left_alone():
    pixels = np.asarray(Image.new("RGB", (2, 2), (255, 0, 0)))
    pixels.flags.writeable = False
    images = from_bytes(pixels)
    images += 1
    assert pixels[0, 0].tolist() == [255, 0, 0]


def test_strided_arrays():
    pixels = LEVELS[:24].reshape(2, 4, 3)
    assert torch.equal(from_bytes(pixels[:, ::-1]), from_bytes(pixels).flip(-1))


def test_brightness():
    primaries = torch.eye(3).view(3, 3, 1, 1)
    assert gray(primaries).flatten().tolist() == pytest.approx([0.2989, 0.5870, 0.1140])
    assert gray(torch.ones(1, 3, 2, 2)).shape == (1, 2, 2)
    assert gray(-torch.ones(1, 3, 1, 1)).item() == pytest.approx(-0.9999)


def test_resizing_to_the_same_size_changes_nothing():
    images = torch.rand(2, 3, 5, 7)
    assert resize(images, (5, 7)) is images


def test_resizing_a_flat_picture_keeps_it_flat():
    for size in ((3, 9), (20, 4)):
        resized = resize(torch.full((1, 3, 8, 8), 0.3), size)
        assert resized.shape == (1, 3, *size)
        torch.testing.assert_close(resized, torch.full((1, 3, *size), 0.3))


def test_shrinking_averages():
    checks = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(8, 8)[None, None]
    assert resize(checks, (4, 4)).abs().max() < 0.05


@pytest.mark.parametrize(
    ("size", "target", "expected"),
    [((100, 200), 50, (50, 100)), ((200, 100), 50, (100, 50)), ((3, 5), 4, (4, 6)), ((7, 7), 4, (4, 4))],
)
def test_the_shorter_side(size, target, expected):
    assert shorter_side(*size, target) == expected


def flat(value, height=1, width=1):
    return np.full((height, width, 3), value, np.uint8)


def test_a_grid_of_two():
    pictures = np.stack([flat(10), flat(20)])
    assert grid(pictures, 2, gap=1)[..., 0].tolist() == [[10, 255, 20]]
    assert grid(pictures, 1, gap=1, ground=0)[..., 0].tolist() == [[10], [0], [20]]
    assert grid(pictures, 2, gap=0)[..., 0].tolist() == [[10, 20]]


def test_a_grid_fills_row_by_row_and_leaves_the_rest_empty():
    pictures = np.stack([flat(value) for value in (1, 2, 3)])
    assert grid(pictures, gap=0)[..., 0].tolist() == [[1, 2], [3, 255]]  # as square as it gets
    assert grid(pictures, 4, gap=0)[..., 0].tolist() == [[1, 2, 3, 255]]


def test_rows_below_one_another():
    sheet = stack_rows([flat(1, 1, 3), flat(2, 2, 1)], gap=1)
    assert sheet[..., 0].tolist() == [[1, 1, 1], [255, 255, 255], [2, 255, 255], [2, 255, 255]]
    assert stack_rows([flat(1), flat(2)], gap=0)[..., 0].tolist() == [[1], [2]]


def test_an_overlay_of_two_pixels():
    pictures = np.array([[[100, 100, 100], [100, 100, 100]]], np.uint8)
    assert np.array_equal(overlay(pictures, np.array([[False, False]])), pictures)
    one = overlay(pictures, np.array([[True, False]]), GREEN)
    assert one.tolist() == [[list(GREEN), [0, 0, 0]]]  # the last pixel inside, and the first outside
    both = overlay(pictures, np.array([[True, True]]))
    assert np.array_equal(both, pictures)  # no outline along the picture's border
    assert pictures.tolist() == [[[100, 100, 100]] * 2]


def test_an_overlay_leaves_the_mask_and_its_ground_as_they_are_but_for_the_outline():
    mask = np.zeros((9, 9), bool)
    mask[2:7, 2:7] = True
    drawn = overlay(flat(80, 9, 9), mask, (255, 0, 0))
    inner, ring = np.zeros_like(mask), np.zeros_like(mask)
    inner[3:6, 3:6], ring[1:8, 1:8] = True, True
    assert (drawn[mask & ~inner] == [255, 0, 0]).all()
    assert (drawn[ring & ~mask] == 0).all()
    assert (drawn[inner | ~ring] == 80).all()


@pytest.mark.parametrize(
    "ground", [(0, 255, 0), (255, 255, 255), (250, 240, 10), (200, 20, 180), (10, 10, 10), (90, 130, 40)]
)
def test_the_outline_stands_out_on_every_ground(ground):
    picture = np.full((40, 40, 3), ground, np.uint8)
    mask = np.zeros((40, 40), bool)
    mask[10:30, 10:30] = True
    drawn = overlay(picture, mask)
    assert np.abs(drawn[10, 15].astype(int) - ground).sum() >= 255
    assert drawn[10, 15].any()


def test_large_pictures_get_wider_outlines():
    mask = np.zeros((800, 1000), bool)
    mask[200:600, 200:800] = True
    drawn = overlay(np.full((800, 1000, 3), 90, np.uint8), mask, (255, 0, 0))
    assert (drawn[200:204, 500] == [255, 0, 0]).all()
    assert (drawn[[204, 195], 500] == 90).all()
    assert not drawn[196:200, 500].any()


def test_overlays_of_many_pictures_are_those_of_each():
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (3, 6, 7, 3), dtype=np.uint8)
    masks = rng.random((3, 6, 7)) > 0.5
    each = [overlay(picture, mask) for picture, mask in zip(pictures, masks, strict=True)]
    assert np.array_equal(overlay(pictures, masks), np.stack(each))


@pytest.mark.parametrize("shape", [(1, 1), (40, 30), (450, 610), (37, 900)])
@pytest.mark.parametrize("strip", [100, 2**18])
def test_outlines_are_those_of_dilation_whatever_the_strips(monkeypatch, shape, strip):
    monkeypatch.setattr(outlines, "_STRIP_PIXELS", strip)
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    smooth = gaussian_filter(rng.normal(size=shape), 6, mode="nearest")
    for mask in (smooth > 0, smooth > smooth.max() - 1e-9, np.zeros(shape, bool), np.ones(shape, bool)):
        reach = max(1, round(min(shape) / 200))
        around = np.ones((2 * reach + 1, 2 * reach + 1))
        inside = binary_dilation(~mask, around) & mask
        colours = np.array([(255, 255, 255), (255, 0, 255), (0, 255, 255), (255, 255, 0), (0, 255, 0)])
        expected = picture.copy()
        if inside.any():
            distances = np.abs(picture[inside][:, None].astype(int) - colours).sum(axis=2).mean(axis=0)
            expected[binary_dilation(mask, around) & ~mask] = 0
            expected[inside] = colours[distances.argmax()]
        assert np.array_equal(overlay(picture, mask), expected)
        assert np.array_equal(np.concatenate(list(outlines.overlay_rows(picture, mask))), expected)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((300, 400), (64, 85)),
        ((1001, 999), (64, 64)),
        ((64, 85), (64, 85)),
        ((70, 64), (80, 64)),
        ((65, 900), (64, 886)),
    ],
)
@pytest.mark.parametrize("strip", [1, 5000, 2**16])
def test_photos_resized_by_strips_are_to_the_bit_those_resized_at_once(monkeypatch, before, after, strip):
    monkeypatch.setattr(pixels, "_STRIP_PIXELS", strip)
    photo = np.random.default_rng(0).integers(0, 256, (*before, 3), np.uint8)
    assert torch.equal(resized_photo(photo, after), resize(from_bytes(photo)[None], after))


def test_masks_as_pictures():
    assert mask_picture(np.array([[True, False]])).tolist() == [[[255] * 3, [0] * 3]]
    assert mask_picture(np.ones((2, 3, 4), bool)).shape == (2, 3, 4, 3)
    assert mask_picture(np.array([[1, 0]])).dtype == np.uint8


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((427, 640), (64, 95)),
        ((64, 95), (427, 640)),
        ((301, 299), (17, 16)),
        ((64, 64), (64, 64)),
        ((64, 70), (64, 95)),
        ((5, 7), (64, 89)),
        ((16, 16), (3, 400)),
        ((1200, 900), (85, 64)),
    ],
)
def test_without_torch_pictures_are_scaled_alike(before, after):
    photo = np.random.default_rng(before[0]).integers(0, 256, (*before, 3), np.uint8)
    expected = resize(from_bytes(photo)[None], after)[0]
    found = scaled_photo(photo, after)
    assert found.dtype == np.float32
    close(found, expected, depth=4, scale=1)
    soft = photo[..., :1] / np.float32(255)
    close(scaled(soft, after)[0], resize(torch.from_numpy(soft[None, None, ..., 0]), after)[0, 0], depth=4, scale=1)
