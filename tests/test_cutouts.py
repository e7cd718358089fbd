"""Cut-outs of a disc whose outline, colours and ground are known."""

import io

import numpy as np
import pytest
from PIL import Image

from toolkit.errors import UserError
from toolkit.pictures import cutouts
from toolkit.pictures.cutouts import alpha_of, composite, cut_out, levels, rise, strips
from toolkit.pictures.grounds import Blurred, Plain, Scenery, ground_of
from toolkit.pictures.photos import write_picture

RED, GREEN = np.array([220, 30, 40]), np.array([20, 200, 90])
SHAPE = (90, 120)


def inside(shape=SHAPE, radius=30.0):
    """Return how far inside a disc each pixel lies, in pixels; negative outside."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return radius - np.hypot(rows - shape[0] / 2, columns - shape[1] / 2)


def disc_photo(distance):
    """Return a red disc on green, anti-aliased as a lens would."""
    cover = (distance + 0.5).clip(0, 1)[..., None]
    return np.rint(cover * RED + (1 - cover) * GREEN).astype(np.uint8)


def probability_of(distance, softness, threshold=0.5):
    """Return a probability that crosses the threshold on the outline and takes `softness` pixels from 0 to 1."""
    return (threshold + distance / softness).clip(0, 1).astype(np.float32)


@pytest.mark.parametrize("softness", [3, 8, 40])
@pytest.mark.parametrize("threshold", [0.3, 0.5])
def test_alpha_rises_over_two_pixels_across_the_outline_however_soft_the_probability(softness, threshold):
    distance = inside()
    alpha = alpha_of(probability_of(distance, softness, threshold), threshold)
    assert alpha.dtype == np.uint8
    assert (alpha[distance >= 1.2] == 255).all()
    assert (alpha[distance <= -1.2] == 0).all()
    expected = (0.5 + distance / 2).clip(0, 1) * 255
    assert np.abs(alpha - expected)[softness > 3 or np.abs(distance) > 1].max(initial=0) < 12


def test_a_map_that_jumps_from_0_to_1_gets_a_smooth_edge_all_the_same():
    mask = inside() >= 0
    alpha = alpha_of(mask.astype(np.float32))
    assert (alpha[inside() >= 2] == 255).all()
    assert (alpha[inside() <= -2] == 0).all()
    assert len(np.unique(alpha)) > 10


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.5, 0.9, 1.0])
def test_alpha_of_at_least_128_is_the_mask(threshold):
    noise = np.random.default_rng(0).random((40, 50), np.float32).round(1)
    noise[:10], noise[10:20] = 0, 1
    assert np.array_equal(alpha_of(noise, threshold) >= 128, noise >= threshold)


@pytest.mark.parametrize(("level", "threshold", "alpha"), [(0, 0.5, 0), (1, 0.5, 255), (0, 0, 255), (1, 1, 255)])
def test_flat_maps_have_no_edge(level, threshold, alpha):
    assert (alpha_of(np.full((7, 9), level, np.float32), threshold) == alpha).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (30, 1), (3, 2)])
def test_pictures_of_few_pixels_are_cut_out(shape):
    cut = cut_out(np.full((*shape, 3), 9, np.uint8), np.full(shape, 0.9, np.float32))
    assert (cut == [9, 9, 9, 255]).all()


def test_large_photos_have_wider_edges_and_are_worked_on_in_strips(monkeypatch):
    assert rise((300, 400)) == 2
    assert rise((4000, 6000, 3)) == 8
    probability = probability_of(inside(), 8)
    whole = alpha_of(probability)
    monkeypatch.setattr(cutouts, "_STRIP_PIXELS", 7 * SHAPE[1])
    assert [part.stop - part.start for part in strips(SHAPE)] == [7] * 12 + [6]
    assert np.array_equal(alpha_of(probability), whole)
    assert np.array_equal(levels(probability), np.rint(probability * 255))


def test_no_colour_of_the_ground_is_left_in_the_edge():
    distance = inside()
    photo = disc_photo(distance)
    cut = cut_out(photo, probability_of(distance, 8))
    seen = cut[..., 3] > 0
    half = seen & (cut[..., 3] < 255)
    assert half.sum() > 200
    assert np.abs(photo[half] - RED).max() > 100  # where the photo itself mixes both
    assert np.abs(cut[half][:, :3] - RED).max() == 0
    assert np.array_equal(cut[cut[..., 3] == 255][:, :3], photo[cut[..., 3] == 255])
    assert not cut[~seen].any()


def test_an_edge_that_jpeg_has_blurred_is_clean_too():
    distance = inside()
    file = io.BytesIO()
    Image.fromarray(disc_photo(distance)).save(file, "JPEG", quality=90)
    photo = np.asarray(Image.open(file))
    cut = cut_out(photo, probability_of(distance, 8))
    half = (cut[..., 3] > 0) & (cut[..., 3] < 255)
    assert np.abs(cut[half][:, :3] - RED).mean() < 0.35 * np.abs(photo[half] - RED).mean()


def test_things_too_thin_to_have_a_middle_keep_colours_of_their_own():
    columns = np.broadcast_to(np.abs(np.arange(41) - 20), (30, 41))
    photo = np.where(columns[..., None] < 1, RED, GREEN).astype(np.uint8)
    cut = cut_out(photo, (columns < 1).astype(np.float32))
    assert (cut[:, 20, :3] == RED).all()
    assert (cut[:, 20, 3] >= 128).all()


def test_a_thing_that_the_photo_s_border_cuts_is_opaque_there():
    distance = inside() + 25  # past both borders
    cut = cut_out(disc_photo(distance), probability_of(distance, 8))
    assert (cut[[0, -1], 50:70, 3] == 255).all()


def test_a_composite_is_thing_over_ground():
    distance = inside()
    cut = cut_out(disc_photo(distance), probability_of(distance, 8))
    found = np.asarray(composite(cut, Plain((0, 0, 255)).behind(cut[..., :3], cut[..., 3])))
    alpha = cut[..., 3:] / 255
    np.testing.assert_allclose(found, alpha * cut[..., :3] + (1 - alpha) * [0, 0, 255], atol=1)


def test_a_picture_covers_the_photo_from_its_middle():
    picture = np.zeros((50, 300, 3), np.uint8)
    picture[:, 140:160] = 200
    ground = Scenery(picture)
    alpha = np.zeros((100, 100), np.uint8)
    found = np.asarray(ground.behind(np.zeros((100, 100, 3), np.uint8), alpha))
    assert found.shape == (100, 100, 3)
    assert (found[:, 45:55] > 190).all()
    assert (found[:, :20] == 0).all()
    ground.behind(found, alpha).paste((1, 2, 3), (0, 0, 100, 100))  # what is drawn on the ground of one photo
    assert np.array_equal(ground.behind(found, alpha), found)  # is not on that of the next


@pytest.mark.parametrize("shape", [SHAPE, (400, 300), (1, 1), (5, 400), (1000, 990)])
def test_a_blurred_ground_holds_nothing_of_the_thing(shape):
    distance = inside(shape, 0.3 * min(shape))
    photo = disc_photo(distance)
    cut = cut_out(photo, probability_of(distance, 8))
    found = np.asarray(Blurred().behind(photo, cut[..., 3]))
    assert found.shape == photo.shape
    outside = (distance < -2) & (distance > -20)
    assert np.abs(found[outside] - GREEN).max(initial=0) <= 3


def test_a_ground_of_two_halves_is_blurred_where_they_meet():
    photo = np.zeros((120, 240, 3), np.uint8)
    photo[:, 120:] = 200
    row = np.asarray(Blurred().behind(photo, np.zeros((120, 240), np.uint8)))[60, :, 0].astype(int)
    assert (row[:100] <= 1).all()
    assert (row[140:] >= 199).all()
    assert (np.diff(row) >= 0).all()
    assert abs(row[119:121].mean() - 100) < 1


def test_grounds_are_named_by_colour_file_or_blur(tmp_path):
    write_picture(tmp_path / "beach.png", np.full((4, 5, 3), 7, np.uint8))
    assert ground_of("white") == ground_of("#fff") == ground_of((255, 255, 255)) == Plain((255, 255, 255))
    assert ground_of("#102030ff") == Plain((16, 32, 48))
    assert ground_of("blur") == Blurred()
    for picture in (tmp_path / "beach.png", str(tmp_path / "beach.png"), Image.new("RGB", (5, 4), (7, 7, 7))):
        ground = ground_of(picture)
        assert isinstance(ground, Scenery)
        assert (ground.pixels == 7).all()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("whit", "background is 'whit', neither a colour nor the path of a picture; .*"),
        ("#12345", "background is '#12345', neither a colour .*"),
        ("#10203080", "background is '#10203080', which lets light through; .*"),
        ((1, 2), r"background is \(1, 2\); a colour is three whole numbers from 0 to 255"),
        ((1, 2, 256), r"background is \(1, 2, 256\); a colour is three whole numbers .*"),
        ("https://example.org/beach.jpg", "https://example.org/beach.jpg is an address, .*"),
    ],
)
def test_what_is_no_ground_is_refused_in_one_line(value, message):
    with pytest.raises(UserError, match=f"^{message}$"):
        ground_of(value)
