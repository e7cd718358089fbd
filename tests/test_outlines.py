"""Masks as outlines: seen on every colour, whatever they cover."""

import numpy as np
import pytest

from toolkit.pictures.outlines import outlined

SIDE = 40


def square_mask() -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[10:30, 10:30] = True
    return mask


@pytest.mark.parametrize("colour", [(0, 255, 0), (0, 0, 0), (255, 255, 255), (128, 128, 128), (255, 0, 0)], ids=str)
def test_the_line_stands_out_from_any_colour(colour):
    picture = np.full((SIDE, SIDE, 3), colour, np.uint8)
    drawn = outlined(picture, square_mask())
    assert (drawn[20, 10:12] == 255).all()  # white within
    assert (drawn[20, 8:10] == 0).all()  # black around
    contrast = [np.abs(line - np.array(colour, float)).max() for line in (drawn[20, 10], drawn[20, 9])]
    assert max(contrast) >= 127


def test_the_foreground_keeps_its_colours_and_the_background_is_dimmed():
    picture = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    before = picture.copy()
    drawn = outlined(picture, square_mask())
    assert np.array_equal(drawn[12:28, 12:28], picture[12:28, 12:28])
    assert np.array_equal(drawn[:8], (picture[:8] * 0.4).astype(np.uint8))
    assert np.array_equal(picture, before)


def test_all_and_nothing_differ_and_neither_has_a_line():
    picture = np.full((SIDE, SIDE, 3), 100, np.uint8)
    assert (outlined(picture, np.ones((SIDE, SIDE), bool)) == 100).all()
    assert (outlined(picture, np.zeros((SIDE, SIDE), bool)) == 40).all()


def test_the_pictures_edge_is_no_outline():
    mask = np.zeros((SIDE, SIDE), bool)
    mask[:, :20] = True
    drawn = outlined(np.full((SIDE, SIDE, 3), 100, np.uint8), mask)
    assert (drawn[:, :18] == 100).all()
    assert (drawn[:, 18:20] == 255).all()
    assert (drawn[:, 20:22] == 0).all()


def test_a_large_picture_has_a_thicker_line():
    mask = np.zeros((600, 800), bool)
    mask[:, :400] = True
    drawn = outlined(np.full((600, 800, 3), 100, np.uint8), mask)
    assert (drawn[300, 395:400] == 255).all()
    assert (drawn[300, :395] == 100).all()


def test_many_pictures_are_drawn_one_by_one():
    rng = np.random.default_rng(1)
    pictures, masks = rng.integers(0, 256, (2, 3, SIDE, SIDE, 3), np.uint8), rng.random((2, 3, SIDE, SIDE)) < 0.5
    drawn = outlined(pictures, masks)
    assert drawn.shape == pictures.shape
    for place in np.ndindex(2, 3):
        assert np.array_equal(drawn[place], outlined(pictures[place], masks[place]))
