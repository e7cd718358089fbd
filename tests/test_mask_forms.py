"""Masks of every form are read as what they are, or refused with the flag that settles the doubt; never silently."""

import numpy as np
import pytest
from mask_forms import (
    HEIGHT,
    WIDTH,
    border,
    coloured,
    grey,
    halves,
    indexed,
    soft,
    truth,
    voc_palette,
    with_alpha,
    write_masks,
)
from PIL import Image

from segmentation.evaluate.settings import EvaluationSettings
from segmentation.mask_reading.codes import Codes, parse_codes
from segmentation.mask_reading.reading import MaskReading
from toolkit.command_line import as_flags
from toolkit.errors import UserError

RAMP = [level for level in range(256) for _ in range(3)]
BLACK, BLUE, RED, WHITE = (0, 0, 0), (0, 0, 255), (255, 0, 0), (255, 255, 255)


def reading(folder, **settings):
    return MaskReading.of(sorted(folder.iterdir()), EvaluationSettings(**settings), folder)


def read(folder, **settings):
    """Return what is said of the masks, and the truths."""
    found = reading(folder, **settings)
    truths = [found.truth(path, path, (HEIGHT, WIDTH)) for path in sorted(folder.iterdir())]
    return ("" if found.plain else found.words), truths


def refusal(folder, **settings):
    with pytest.raises(UserError) as caught:
        reading(folder, **settings)
    assert "\n" not in str(caught.value)
    return as_flags(caught.value.marked)


def assert_read(folder, words, **settings):
    said, truths = read(folder, **settings)
    assert said == words
    for number, found in enumerate(truths):
        np.testing.assert_array_equal(found.mask, truth(number))
        assert found.ignored is None


READ = {
    "plain": (lambda m: grey(m * 255), ""),
    "one bit": (lambda m: Image.fromarray(m), ""),
    "nearly black and white": (lambda m: grey(np.where(m, 250, 4)), ""),
    "16 bits": (lambda m: grey(m * 65535, np.uint16), ""),
    "0 and 255 in 16 bits": (lambda m: grey(m * 255, np.uint16), ""),
    "0 and 1 in 16 bits": (lambda m: grey(m, np.uint16), "grey codes, object is all but 0 (1)"),
    "0 and 1000 in 16 bits": (lambda m: grey(m * 1000, np.uint16), "grey codes, object is all but 0 (1000)"),
    "codes 0 1": (lambda m: grey(m), "grey codes, object is all but 0 (1)"),
    "codes 0 2": (lambda m: grey(m * 2), "grey codes, object is all but 0 (2)"),
    "grey 0 127": (lambda m: grey(m * 127), "grey codes, object is all but 0 (127)"),
    "classes": (lambda m: grey(halves(m) * 3 + halves(m) // 2), "grey codes, object is all but 0 (3 and 7)"),
    "voc index 2": (lambda m: indexed(m * 2), "palette indices, object is all but 0 (2)"),
    "davis instances": (lambda m: indexed(halves(m)), "palette indices, object is all but 0 (1 and 2)"),
    "palette of greys": (lambda m: indexed(m, [0, 0, 0, 255, 255, 255]), ""),
    "palette white first": (lambda m: indexed(~m, [255, 255, 255, 0, 0, 0]), ""),
    "palette with unused colours": (lambda m: indexed(~m, [255, 255, 255, 0, 0, 0, 9, 8, 7]), ""),
    "ramp as palette": (lambda m: indexed(m, RAMP), "grey codes, object is all but 0 (1)"),
    "grey as colours": (lambda m: grey(m * 255).convert("RGB"), ""),
    "blue": (lambda m: coloured(m * 1, [BLACK, BLUE]), "colours, object is all but black (#0000ff)"),
    "instances": (
        lambda m: coloured(halves(m), [BLACK, RED, BLUE]),
        "colours, object is all but black (#0000ff and #ff0000)",
    ),
    "opaque alpha": (lambda m: grey(m * 255).convert("RGBA"), ""),
    "grey and opaque alpha": (lambda m: grey(m * 255).convert("LA"), ""),
    "black object in alpha": (lambda m: with_alpha(0, 0, m), "alpha channel, what is visible is object"),
    "white object in alpha": (lambda m: with_alpha(255, 0, m), "alpha channel, what is visible is object"),
    "white all over, alpha": (lambda m: with_alpha(255, 255, m), "alpha channel, what is visible is object"),
    "grey and alpha": (lambda m: with_alpha(255, 0, m).convert("LA"), "alpha channel, what is visible is object"),
}  # fmt: skip


@pytest.mark.parametrize("form", READ)
def test_forms_that_leave_no_doubt_are_read(tmp_path, form):
    write, words = READ[form]
    assert_read(write_masks(tmp_path / "m", write), words)


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
@pytest.mark.parametrize(
    ("top", "words"),
    [(255, ""), (65535, ""), (1, "grey codes, object is all but 0 (1)"), (7, "grey codes, object is all but 0 (7)")],
)
def test_tiffs_of_wide_numbers(tmp_path, dtype, top, words):
    words = "" if dtype == np.float32 and top == 1 else words  # floats of 0 to 1 are shares of white
    assert_read(write_masks(tmp_path / "m", lambda m: grey(m * top, dtype), "tif"), words)


def test_lossy_masks_are_read_at_half_white(tmp_path):
    folder = write_masks(tmp_path / "m", lambda m: grey(m * 255).convert("RGB"), "jpg", quality=60)
    assert_read(folder, "")


def test_lossy_colour_codes_are_read_as_the_colours_they_come_from(tmp_path):
    def large(mask):
        return coloured(np.kron(mask * 1, np.ones((16, 16), int)), [BLACK, BLUE])

    folder = write_masks(tmp_path / "m", large, "jpg", quality=75)
    found = reading(folder)
    assert found.words.startswith("colours, object is all but black (#0000f")
    mask = found.truth(folder / "photo0.jpg", folder, (HEIGHT * 16, WIDTH * 16)).mask
    assert (mask != np.kron(truth(0), np.ones((16, 16), bool))).mean() < 0.01


def test_soft_masks_are_object_from_half_white_on_and_it_is_said(tmp_path):
    folder = write_masks(tmp_path / "m", lambda m: grey(soft(m)))
    assert_read(folder, "soft grey levels, object from 127.5 on")
    average = write_masks(tmp_path / "a", lambda m: grey(np.maximum(m * 255, border(m) * 102)))
    said, truths = read(average, object="255")  # three levels could be a trimap, of which the middle means unknown
    assert said == "grey codes, object as the setting object says"
    np.testing.assert_array_equal(truths[1].mask, truth(1))


def test_the_border_of_indexed_masks_is_ignored(tmp_path):
    folder = write_masks(tmp_path / "m", lambda m: indexed(np.where(border(m), 255, m * 1)))
    said, truths = read(folder)
    assert said == "palette indices, object is all but 0 (1), 255 ignored"
    for number, found in enumerate(truths):
        np.testing.assert_array_equal(found.mask, truth(number))
        np.testing.assert_array_equal(found.ignored, border(truth(number)))
    said, truths = read(folder, ignore="none")
    assert said == "palette indices, object is all but 0 (1 and 255)"
    np.testing.assert_array_equal(truths[0].mask, truth(0) | border(truth(0)))
    assert read(folder, object="1,255")[1][0].ignored is None


def test_the_border_of_coloured_voc_masks_is_ignored(tmp_path):
    folder = write_masks(tmp_path / "m", lambda m: indexed(np.where(border(m), 255, m * 1)).convert("RGB"))
    said, truths = read(folder)
    assert said == "colours, object is all but black (#800000), #e0e0c0 ignored"
    np.testing.assert_array_equal(truths[2].ignored, border(truth(2)))


def rim(mask):
    return np.where(mask, 1, np.where(border(mask), 3, 2))


DOUBTS = {
    "trimap 1 2": (lambda m: grey(np.where(m, 1, 2)), "the codes 1 and 2 and no 0", {"object": "1"}),
    "pets": (lambda m: grey(rim(m)), "--object 1 --ignore 3", {"object": "1", "ignore": "3"}),
    "indexed pets": (lambda m: indexed(rim(m)), "indices 1, 2 and 3 and no 0", {"object": "1", "ignore": "3"}),
    "trimap 0 1 2": (
        lambda m: grey(np.where(border(m), 1, m * 2)),
        "one may mean unknown",
        {"object": "2", "ignore": "1"},
    ),
    "trimap 0 128 255": (lambda m: grey(np.where(border(m), 128, m * 255)), "as trimaps do", {"ignore": "128"}),
    "grey codes and 255": (lambda m: grey(np.where(border(m), 255, m * 1)), "255 beside the codes", {"ignore": "255"}),
    "two colours": (lambda m: coloured(m * 1, [WHITE, RED]), "without a black background", {"object": "#FF0000"}),
    "levels short of white": (lambda m: grey(halves(m) * 80), "do not reach white", {"object": "80,160"}),
    "many levels short of half": (
        lambda m: grey(m * 90 + np.arange(WIDTH)),
        "none reaches half white",
        {"mask_threshold": 0.25},
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", DOUBTS)
def test_forms_that_leave_a_doubt_are_refused_until_a_flag_settles_it(tmp_path, form):
    write, words, flags = DOUBTS[form]
    folder = write_masks(tmp_path / "m", write)
    text = refusal(folder)
    assert text.startswith(f"the masks below {folder} hold ")
    assert words in text
    assert "--" in text
    said, truths = read(folder, **flags)
    assert said
    for number, found in enumerate(truths):
        left = np.zeros_like(truth()) if found.ignored is None else found.ignored
        np.testing.assert_array_equal(found.mask & ~left, truth(number))


def test_visible_black_beside_transparency_is_a_doubt(tmp_path):
    def both(mask):
        image = with_alpha(255, 0, np.ones_like(mask))
        pixels = np.array(image)
        pixels[..., :3] = (mask * 255)[..., None]
        pixels[:, :2, 3] = 0
        return Image.fromarray(pixels)

    folder = write_masks(tmp_path / "m", both)
    assert "--object alpha" in refusal(folder)
    assert_read(folder, "grey codes, object as the setting object says", object="255")
    assert read(folder, object="alpha")[1][0].mask[:, 2:].all()


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_photos_are_no_masks(tmp_path, mode):
    rng = np.random.default_rng(0)
    folder = write_masks(
        tmp_path / "m", lambda m: Image.fromarray(rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)).convert(mode)
    )
    assert "as photos do" in refusal(folder)


def test_one_mask_is_read_as_the_others_of_its_folder(tmp_path):
    folder = write_masks(tmp_path / "m", lambda m: indexed(m * 0))
    indexed(np.where(border(truth(2)), 255, truth(2) * 15)).save(folder / "photo2.png")
    said, truths = read(folder)
    assert said == "palette indices, object is all but 0 (15), 255 ignored"
    assert [found.mask.any() for found in truths] == [False, False, True]


def test_codes_of_one_folder_may_differ_from_mask_to_mask(tmp_path):
    folder = write_masks(tmp_path / "m", lambda m: grey(m * 255))
    grey(truth(1)).save(folder / "photo1.png")
    assert_read(folder, "grey codes, object is all but 0 (1 and 255)")


def test_a_black_picture_among_coloured_ones_is_an_empty_mask(tmp_path):
    folder = write_masks(tmp_path / "m", lambda m: coloured(m * 1, [BLACK, BLUE]))
    coloured(truth(1) * 0, [BLACK]).save(folder / "photo1.png")
    assert [found.mask.any() for found in read(folder)[1]] == [True, False, True]


def test_colours_find_palette_indices(tmp_path):
    folder = write_masks(tmp_path / "m", lambda m: indexed(halves(m)))
    assert tuple(voc_palette()[3:6]) == (128, 0, 0)
    assert_read(folder, "colours, object as the setting object says", object="#800000,#008000")


def test_codes_that_occur_nowhere_are_refused(tmp_path):
    folder = write_masks(tmp_path / "m", lambda m: grey(m * 2))
    assert refusal(folder, object="3") == (
        f"--object 3 is in none of the masks below {folder}: they hold 0 and 2; name these"
    )


def test_the_complement(tmp_path):
    assert_read(
        write_masks(tmp_path / "m", lambda m: grey(~m * 255)), "grey levels, black and white; inverted", invert=True
    )


def test_masks_turned_by_their_exif_tag(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 3
    assert_read(write_masks(tmp_path / "m", lambda m: grey(m[::-1, ::-1] * 255), exif=exif), "")


def test_masks_that_hold_nothing_but_ignored_pixels_are_named(tmp_path):
    folder = write_masks(tmp_path / "m", lambda m: indexed(m * 1))
    indexed(truth() * 0 + 255).save(folder / "photo1.png")
    assert reading(folder).empty == {folder / "photo1.png"}


def test_kept_masks_are_those_of_the_file(tmp_path):
    folder = write_masks(tmp_path / "m", lambda m: grey(m[:, 1:] * 255))  # an odd number of pixels a row
    found = reading(folder)
    for path in folder.iterdir():
        path.unlink()  # what was looked at is not decoded again
    np.testing.assert_array_equal(found.truth(path, path, (HEIGHT, WIDTH - 1)).mask.shape, (HEIGHT, WIDTH - 1))
    np.testing.assert_array_equal(found.truth(folder / "photo2.png", path, (HEIGHT, WIDTH - 1)).mask, truth(2)[:, 1:])


def test_codes_as_flags_name_them():
    assert parse_codes("1, 3-5,#0000FF", "--object") == Codes(frozenset({1, 3, 4, 5}), frozenset({255}))
    assert parse_codes("alpha", "--object") == Codes(alpha=True)
    assert parse_codes("none", "--ignore") == Codes()
    for text in ("", "x", "5-3", "-1", "70000", "#12", "1,alpha"):
        with pytest.raises(UserError, match="give codes as 1,2"):
            EvaluationSettings(object=text)


def one(tmp_path, codes):
    Image.fromarray(np.array(codes, np.uint8)).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def test_the_truth_is_at_least_half_white(tmp_path):
    path = one(tmp_path, [[0, 127, 128, 255]])
    for threshold, expected in ((0.5, [0, 0, 1, 1]), (0.4, [0, 1, 1, 1])):
        settings = EvaluationSettings(mask_threshold=threshold)
        found = MaskReading.of([path], settings).truth(path, path, (1, 4)).mask
        np.testing.assert_array_equal(found, np.array([expected], bool))


def test_a_mask_of_another_size_is_refused_naming_both(tmp_path):
    path, image = one(tmp_path, [[0, 255]]), tmp_path / "a.jpg"
    with pytest.raises(UserError) as error:
        MaskReading.of([path]).truth(path, image, (2, 4))
    assert str(error.value) == (
        f"the mask {path} is 2 x 1 pixels, but {image} is 4 x 2; give a mask of the same size, or resize_masks"
    )
    found = MaskReading.of([path], EvaluationSettings(resize_masks=True)).truth(path, image, (2, 4)).mask
    np.testing.assert_array_equal(found, [[False, False, True, True]] * 2)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"cannot read the photo .*a\.png"):
        MaskReading.of([tmp_path / "a.png"])
