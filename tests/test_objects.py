"""Things of a mask told apart: discs whose number, boxes, areas and necks are known."""

import numpy as np
import pycocotools.mask as coco
import pytest
import scipy.ndimage as ndi

import toolkit
from segmentation.objects.finding import MOST_OBJECTS, find_objects
from segmentation.objects.polygons import outline_spans
from segmentation.objects.runs import Runs, compressed, mask_of, painted, read_counts, spans_of
from segmentation.objects.settings import ObjectSettings
from segmentation.predict.prediction import Prediction
from toolkit.errors import UserError
from toolkit.pictures.outlines import overlay_of_things

# pycocotools 2.0.11 makes its arrays as numpy 1 did.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
EVERY = ObjectSettings(min_object=0)
# What COCO's tools make of small masks, by rows; the letters of a count are worked out in the test below.
GOLDEN = {
    ((0, 0, 0), (0, 0, 0)): ([6], "6"),
    ((1, 1, 1), (1, 1, 1)): ([0, 6], "06"),
    ((0, 1, 0), (0, 1, 1)): ([2, 2, 1, 1], "221O"),
    ((1, 0, 1), (0, 1, 0)): ([0, 1, 2, 2, 1], "0121O"),
}


def discs(shape, *circles):
    """Return a mask of discs (row, column, radius)."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return np.any([np.hypot(rows - y, columns - x) < radius for y, x, radius in circles], axis=0)


def found_in(mask, **settings):
    return find_objects(np.asarray(mask, np.float32), 0.5, ObjectSettings(**{"min_object": 0.0, **settings}))


def blobs(seed, share=0.5):
    rng = np.random.default_rng(seed)
    noise = ndi.uniform_filter(rng.random(rng.integers(1, 40, 2)), int(rng.integers(1, 5)))
    return noise > np.quantile(noise, share)


def test_discs_are_told_apart_with_box_area_confidence_and_mask():
    circles = [(30, 40, 20.5), (60, 100, 10.5)]
    probability = np.zeros((90, 120), np.float32)
    for circle, value in zip(circles, (0.75, 1.0), strict=True):
        probability[discs((90, 120), circle)] = value
    found = find_objects(probability, 0.5, EVERY)
    large, small = found.items
    assert large.box == (20, 10, 41, 41)
    assert small.box == (90, 50, 21, 21)
    assert (large.confidence, small.confidence) == (0.75, 1.0)
    for thing, circle in zip((large, small), circles, strict=True):
        assert np.array_equal(thing.mask, discs((90, 120), circle))
        assert thing.area == thing.mask.sum()
    assert found.labels.dtype == np.uint8
    assert [found.labels[30, 40], found.labels[60, 100], found.labels[0, 0]] == [1, 2, 0]


def test_corners_connect_and_small_things_are_dropped():
    mask = np.zeros((10, 10), bool)
    mask[1, 1] = mask[2, 2] = mask[3, 1] = True
    mask[8, 8] = True
    assert [one.area for one in found_in(mask).items] == [3, 1]
    assert [one.area for one in found_in(mask, min_object=0.01).items] == [3, 1]
    assert [one.area for one in found_in(mask, min_object=0.011).items] == [3]
    assert found_in(mask, min_object=0.04).items == []
    assert found_in(np.zeros((3, 4))).items == []
    assert found_in(np.ones((3, 4))).items[0].box == (0, 0, 4, 3)


@pytest.mark.parametrize("seed", range(60))
def test_things_are_scipys_components_and_run_lengths_those_of_coco(seed):
    mask = blobs(seed)
    reference, count = ndi.label(mask, np.ones((3, 3)))
    found = found_in(mask)
    assert len(found) == count
    for label, thing in enumerate(found.items, start=1):
        own = found.labels == label
        assert len(np.unique(reference[own])) == 1
        assert np.array_equal(thing.mask, own)
        theirs = coco.encode(np.asfortranarray(own.astype(np.uint8)))
        assert thing.rle() == {"size": list(mask.shape), "counts": theirs["counts"].decode()}
        assert list(thing.box) == coco.toBbox(theirs).tolist()
        assert thing.area == coco.area(theirs)
    assert [one.area for one in found.items] == sorted((one.area for one in found.items), reverse=True)


def test_so_many_things_as_a_picture_of_16_bits_tells_apart():
    dots = np.zeros((600, 600), np.float32)
    dots[::2, ::2] = 1
    dots[:5, :5] = 1
    found = find_objects(dots, 0.5, EVERY)
    assert len(found) == MOST_OBJECTS
    assert found.labels.dtype == np.uint16
    assert found.items[0].area == 25


@pytest.mark.parametrize(("mask", "expected"), GOLDEN.items())
def test_run_lengths_are_column_by_column_in_cocos_letters(mask, expected):
    counts, letters = expected
    held = np.array(mask, bool)
    assert Runs.of(held).counts().tolist() == counts
    assert compressed(np.array(counts)) == letters
    assert read_counts(letters, held.shape, "x").tolist() == counts
    assert np.array_equal(mask_of(np.array(counts), held.shape), held)


@pytest.mark.parametrize(
    ("counts", "letters"),
    [([15], "?"), ([16], "`0"), ([31, 1], "o01"), ([1000], "Xo0"), ([5, 6, 7, 3], "567M"), ([40000, 9], "PRW19")],
)
def test_letters_hold_five_bits_each_and_differences_from_the_third_count_on(counts, letters):
    shape = (sum(counts), 1)
    assert compressed(np.array(counts)) == letters
    assert read_counts(letters, shape, "x").tolist() == counts
    assert coco.decode({"size": list(shape), "counts": letters}).sum() == sum(counts[1::2])


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ("", "of 0 pixels"),
        ("7", "of 7 pixels"),
        ("06PPP", "not COCO's"),
        ("06\x00", "not COCO's"),
        ("06é", "not COCO's"),
        ("0" + "P" * 9 + "0", "not COCO's"),
        ("6N2", "negative"),
        ([7, -1], "negative"),
        ([10**30, 1], "no whole numbers"),
        ([2.0, 4.0], "no whole numbers"),
        ([True, 5], "no whole numbers"),
        ([[6]], "no whole numbers"),
        ([1] * 5, "of 5 pixels"),
        ([2**31 - 1] * 1000, "its image is 3 x 2"),
    ],
)
def test_counts_that_do_not_fit_are_refused(counts, words):
    with pytest.raises(UserError, match=words):
        read_counts(counts, (2, 3), "annotation 1")


@pytest.mark.parametrize("seed", range(150))
def test_outlines_are_drawn_to_the_pixel_as_cocos_tools_do(seed):
    rng = np.random.default_rng(seed)
    height, width = (int(side) for side in rng.integers(1, 60, 2))
    points = rng.uniform(-0.3, 1.3, (rng.integers(3, 12), 2)) * [width, height]
    points = points.round() if seed % 3 == 0 else points
    points[1] = points[0] if seed % 5 == 0 else points[1]
    outline = points.ravel().tolist()
    theirs = coco.decode(coco.frPyObjects([outline], height, width)[0]).astype(bool)
    spans = outline_spans(outline, (height, width), "x")
    assert np.array_equal(painted([spans], theirs.shape), theirs)
    assert np.array_equal(painted([spans, spans[:1]], theirs.shape), theirs)
    assert np.array_equal(painted([spans_of(Runs.of(theirs).counts())], theirs.shape), theirs)


@pytest.mark.parametrize(
    ("outline", "words"),
    [
        ([0, 0, 1, 1], "of 4 numbers"),
        ([0, 0, 1, 1, 2, 2, 3], "of 7 numbers"),
        ([0, 0, float("nan"), 1, 2, 2], "far outside"),
        ([0, 0, 1e300, 1, 2, 2], "far outside"),
        ([0, 0, 10**400, 1, 2, 2], "no list of numbers"),
        ([0, 0, "1", 1, 2, 2], "no list of numbers"),
        ({"0": 1}, "no list of numbers"),
        ([0, 0, 4000, 3000] * 400, "far too long"),
    ],
)
def test_outlines_that_are_none_are_refused(outline, words):
    with pytest.raises(UserError, match=words):
        outline_spans(outline, (3000, 4000), "annotation 1")


@pytest.mark.parametrize("apart", [1.2, 1.5, 1.7, 1.85, 1.95])
def test_two_discs_that_overlap_are_parted_where_their_neck_is_narrow_enough(apart):
    """Of discs of radius r whose middles are d * r apart, the neck is sqrt(1 - d^2 / 4) as wide as they are."""
    radius = 40
    mask = discs((140, 240), (70, 70, radius), (70, 70 + apart * radius, radius))
    neck = np.sqrt(1 - apart**2 / 4)
    assert len(found_in(mask)) == 1
    assert len(found_in(mask, neck=max(neck - 0.08, 0.01))) == 1
    parted = found_in(mask, neck=min(neck + 0.08, 1))
    assert len(parted) == 2
    assert np.array_equal(parted.labels > 0, mask)
    halves = mask[:, : int(70 + apart * radius / 2)].sum()
    assert min(one.area for one in parted.items) == pytest.approx(min(halves, mask.sum() - halves), rel=0.06)


def test_rings_bars_and_things_at_the_border_stay_whole():
    ring = discs((200, 200), (100, 100, 80)) & ~discs((200, 200), (100, 100, 60))
    bar = np.zeros((100, 300), bool)
    bar[40:60, 10:290] = True
    at_the_border = discs((100, 100), (0, 50, 30))
    for mask in (ring, bar, at_the_border, np.ones((50, 80), bool)):
        assert len(found_in(mask, neck=0.6)) == 1


def test_parts_that_would_be_too_small_stay_with_their_neighbour():
    mask = discs((200, 200), (100, 80, 50), (100, 138, 12))
    assert len(found_in(mask, neck=0.9)) == 2
    (whole,) = found_in(mask, neck=0.9, min_object=0.02).items
    assert np.array_equal(whole.mask, mask)


def test_a_chain_of_many_discs_is_parted_into_all_of_them():
    mask = discs((100, 700), *[(50, 60 + 70 * number, 38) for number in range(9)])
    assert len(found_in(mask)) == 1
    assert len(found_in(mask, neck=0.6)) == 9


def test_a_prediction_and_the_library_give_things():
    probability = discs((60, 80), (30, 20, 15.5), (30, 60, 10.5)).astype(np.float32)
    prediction = Prediction("x", np.zeros((60, 80, 3), np.uint8), probability)
    assert [one.box for one in prediction.objects()] == [(5, 15, 31, 31), (50, 20, 21, 21)]
    assert len(prediction.objects(min_object=0.1)) == 1
    with pytest.raises(UserError, match="unknown settings least"):
        prediction.objects(least=1)
    photo = np.full((64, 64, 3), 30, np.uint8)
    assert all(isinstance(one, toolkit.FoundObject) for one in toolkit.objects(photo, min_object=0.5, threshold=0.0))
    assert repr(prediction.objects()[0]) == "<Object of 749 pixels, 31 x 31 at (5, 15), confidence 1.00>"


def test_each_thing_has_a_colour_of_its_own_and_its_box_in_the_overlay():
    mask = discs((200, 300), (100, 80, 40), (100, 220, 30))
    photo = np.full((200, 300, 3), 128, np.uint8)
    found = found_in(mask)
    drawn = overlay_of_things(photo, found.labels, [one.box for one in found.items])
    first, second = drawn[100, 80], drawn[100, 220]
    assert not np.array_equal(first, second)
    assert (drawn[100, 150] == 128).all()
    for thing, inner in zip(found.items, (first, second), strict=True):
        x, y, width, height = thing.box
        corner = drawn[y, x].astype(int)
        assert np.array_equal(drawn[y + height - 1, x + width - 1], corner)
        assert np.abs(inner - (128 // 4 * 3 + corner // 4)).max() <= 1
    assert (photo == 128).all()
