"""Boundary F is that of its definition, has the values worked out by hand, and is in what `toolkit eval` leaves."""

import csv
import json
import math

import numpy as np
import pytest
from cli_runs import ran, refused
from PIL import Image

from segmentation.evaluate import boundary as boundaries
from segmentation.evaluate.boundary import boundary, boundary_f
from segmentation.evaluate.scores import score_image

SIDE = 100  # of the square


def square(down=0, right=0, scale=1, canvas=(256, 256)):
    mask = np.zeros((canvas[0] * scale, canvas[1] * scale), bool)
    top, left = (60 + down) * scale, (70 + right) * scale
    mask[top : top + SIDE * scale, left : left + SIDE * scale] = True
    return mask


def naive(predicted, truth, tolerance):
    """Go through all pixels, and for each of a boundary through all of the other one."""

    def line(mask):
        height, width = mask.shape
        points = [(y, x) for y in range(height + 1) for x in range(width + 1)]  # the corners of pixels
        return [(y, x) for y, x in points if np.ptp(mask[max(0, y - 1) : y + 1, max(0, x - 1) : x + 1].astype(int))]

    def share(of, near):
        reach = tolerance * min(truth.shape) / 256
        return np.mean([any(math.hypot(y - v, x - u) <= reach for v, u in near) for y, x in of])

    found, wanted = line(predicted), line(truth)
    if not found or not wanted:
        return float(np.array_equal(predicted, truth)) if not found and not wanted else 0.0
    precision, recall = share(found, wanted), share(wanted, found)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def blobs(rng, shape, roughness):
    """Return a random mask, the smoother the less rough."""
    values = rng.standard_normal(shape)
    for _ in range(round(8 / roughness)):
        values = sum(np.roll(values, step, axis) for step in (-1, 0, 1) for axis in (0, 1)) / 6
    return values > np.quantile(values, 0.7)


@pytest.mark.parametrize("shape", [(1, 1), (1, 12), (9, 14), (22, 16)])
@pytest.mark.parametrize("roughness", [1, 4, 20])
def test_it_is_that_of_its_definition(shape, roughness):
    rng = np.random.default_rng(0)
    masks = [blobs(rng, shape, roughness) for _ in range(2)]
    masks += [np.roll(masks[0], 1, axis=-1), np.zeros(shape, bool), np.ones(shape, bool)]
    for pixels in (0, 1, 1.5, 3):
        tolerance = pixels * 256 / min(shape)
        for predicted in masks:
            for truth in masks:
                expected = naive(predicted, truth, tolerance)
                assert boundary_f(predicted, truth, tolerance) == pytest.approx(expected, abs=1e-12)


def test_a_square_s_boundary_is_one_line_around_it():
    line = boundary(square())
    assert line.sum() == 4 * SIDE
    assert not line[:60].any()
    assert line[60, 70:171].all()
    assert line[160, 70:171].all()
    assert line[60:161, 70].all()
    assert line[60:161, 170].all()


def test_a_boundary_reaches_the_picture_s_edges_and_does_not_follow_them():
    half = np.zeros((4, 6), bool)
    half[:, 4:] = True
    assert np.argwhere(boundary(half)).tolist() == [[row, 4] for row in range(5)]
    assert np.argwhere(boundary(half.T)).tolist() == [[4, column] for column in range(5)]


# Three pixels aside, the left line is out of reach; of the right one, three pixels at each end are near a cross line.
THREE_ASIDE = (2 * SIDE + 4) / (4 * SIDE)


@pytest.mark.parametrize(("shift", "expected"), [(0, 1), (1, 1), (2, 1), (3, THREE_ASIDE)])
@pytest.mark.parametrize("axis", ["down", "right"])
def test_a_shifted_square_counts_as_worked_out_by_hand(shift, expected, axis):
    assert boundary_f(square(**{axis: shift}), square()) == pytest.approx(expected, abs=1e-12)


def test_the_tolerance_is_one_at_256_pixels_and_grows_with_the_picture():
    for scale in (2, 3):
        assert boundary_f(square(right=2, scale=scale), square(scale=scale)) == 1
        assert boundary_f(square(right=3, scale=scale), square(scale=scale)) < 0.6
    assert boundary_f(square(right=3, canvas=(256, 900)), square(canvas=(256, 900))) == pytest.approx(THREE_ASIDE)
    assert boundary_f(square(right=3), square(), tolerance=3) == 1
    assert boundary_f(square(right=1), square(), tolerance=0.9) < 0.6


def test_precision_and_recall_count_alike():
    truth, both = square(), square()
    both[2:52, 2:52] = True  # another square of half the side: a third of the lines is wrong, or missing
    assert boundary_f(both, truth) == boundary_f(truth, both) == pytest.approx(2 * (2 / 3) / (1 + 2 / 3))


def test_masks_without_a_boundary_have_a_value():
    empty, full = np.zeros((20, 30), bool), np.ones((20, 30), bool)
    assert boundary_f(empty, empty) == boundary_f(full, full) == 1
    assert boundary_f(empty, full) == boundary_f(full, empty) == 0
    part = empty.copy()
    part[:, 12:] = True
    for bare in (empty, full):
        assert boundary_f(bare, part) == boundary_f(part, bare) == 0


def test_masks_of_other_forms_are_refused():
    for predicted in (square().astype(np.uint8), square()[:-1], square()[None]):
        with pytest.raises(ValueError, match="two bool arrays"):
            boundary_f(predicted, square())


@pytest.mark.parametrize("tile", [1, 7, 64])
def test_pictures_that_go_piece_by_piece_are_measured_the_same(tile, monkeypatch):
    rng = np.random.default_rng(1)
    masks = [blobs(rng, (41, 60), 2) for _ in range(2)] + [np.roll(blobs(rng, (41, 60), 1), 2)]
    expected = [boundary_f(one, other, 12.5) for one in masks for other in masks]  # two pixels
    assert 0.2 < min(expected) < 0.9
    monkeypatch.setattr(boundaries, "_TILE", tile)
    assert [boundary_f(one, other, 12.5) for one in masks for other in masks] == expected


@pytest.mark.parametrize("stretch", [False, True])
def test_ignored_pixels_neither_help_nor_harm(stretch):
    truth, ignored = square(), np.zeros((256, 256), bool)
    ignored[50:70, 60:180] = True  # a band over the upper line, and beyond
    rough = np.where(square(), 0.9, 0.1)
    rough[55:65, 80:150] = 0.6  # wrong, and nowhere but in the band
    figure = lambda values, **more: score_image(values, truth, stretch=stretch, **more).figures["boundary_f"]  # noqa: E731
    assert figure(rough) < 0.95
    assert figure(rough, ignored=ignored) == 1
    assert figure(np.where(square(down=12), 0.9, 0.1), ignored=ignored) < 0.8  # the lower line is off, in plain sight


def test_eval_shows_it_and_leaves_it_for_each_image_and_all(tmp_path):
    for folder in ("maps", "masks"):
        (tmp_path / folder).mkdir()
    for number, shift in enumerate((0, 3)):
        Image.fromarray(square(right=shift).astype(np.uint8) * 255).save(tmp_path / "maps" / f"{number}.png")
        Image.fromarray(square().astype(np.uint8) * 255).save(tmp_path / "masks" / f"{number}.png")
    arguments = ("eval", "--predictions", tmp_path / "maps", "--masks", tmp_path / "masks", "--name", "x")
    mean = (1 + THREE_ASIDE) / 2
    assert f"{mean:.3f}" in ran(*arguments, "--out", tmp_path / "o")
    (result,) = json.loads((tmp_path / "o" / "result.json").read_text())["datasets"]
    assert result["measures"]["boundary_f"] == pytest.approx(mean)
    assert result["protocol"]["boundary_tolerance"] == 2
    assert "shorter side is 256" in result["definitions"]["boundary_f"]
    rows = list(csv.DictReader((tmp_path / "o" / "x.csv").read_text().splitlines()))
    assert [float(row["boundary_f"]) for row in rows] == pytest.approx([1, THREE_ASIDE], abs=1e-6)
    ran(*arguments, "--out", tmp_path / "p", "--boundary-tolerance", "3")
    (result,) = json.loads((tmp_path / "p" / "result.json").read_text())["datasets"]
    assert result["measures"]["boundary_f"] == 1
    assert "--boundary-tolerance" in refused(*arguments, "--out", tmp_path / "q", "--boundary-tolerance", "-1")
