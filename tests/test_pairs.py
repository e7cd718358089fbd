import numpy as np
import pytest

from segmentation.pairs import Pair, pair_folders
from toolkit.errors import UserError
from toolkit.photos import write_picture


def folder(path, names, height=4, width=6):
    for name in names:
        write_picture(path / name, np.full((height, width), 255, np.uint8))
    return path


def test_files_pair_by_name_whatever_the_ending_the_case_and_the_folder(tmp_path):
    images = folder(tmp_path / "images", ["b.JPG", "sub/a.jpeg", "c.v2.png"])
    masks = folder(tmp_path / "masks", ["a.png", "b.bmp", "c.v2.PNG"])
    pairs = pair_folders(images, masks)
    found = {pair.name: pair.mask.name for pair in pairs}
    assert found == {"b": "b.bmp", "c.v2": "c.v2.PNG", "a": "a.png"}
    assert [pair.image for pair in pairs] == sorted(pair.image for pair in pairs)
    assert pairs.notes() == []


def test_masks_without_an_image_are_reported_and_left_out(tmp_path):
    images, masks = folder(tmp_path / "i", ["a.png"]), folder(tmp_path / "m", ["a.png", "b.png", "c.png"])
    pairs = pair_folders(images, masks)
    assert len(pairs) == 1
    assert pairs.notes() == ["left out 2 masks without an image: b.png, c.png"]


def test_images_without_a_mask_are_refused_by_name_and_count(tmp_path):
    images = folder(tmp_path / "i", [f"{n}.jpg" for n in range(6)])
    masks = folder(tmp_path / "m", ["3.png"])
    with pytest.raises(UserError) as error:
        pair_folders(images, masks)
    assert str(error.value) == (
        f"5 of the 6 images below {images} have no mask of the same name below {masks}: 0.jpg, 1.jpg, 2.jpg and "
        "2 more; add the masks, or give --ignore-unpaired"
    )


def test_images_without_a_mask_can_be_left_out(tmp_path):
    images, masks = folder(tmp_path / "i", ["a.png", "b.png"]), folder(tmp_path / "m", ["b.png"])
    pairs = pair_folders(images, masks, ignore_unpaired=True)
    assert list(pairs) == [Pair(images / "b.png", masks / "b.png")]
    assert pairs.notes() == ["left out 1 images without a mask: a.png"]


def test_a_slice_keeps_the_order_and_what_was_left_out(tmp_path):
    images, masks = folder(tmp_path / "i", ["a.png", "b.png", "c.png"]), folder(tmp_path / "m", ["b.png", "c.png"])
    pairs = pair_folders(images, masks, ignore_unpaired=True)
    assert [pair.name for pair in pairs[1:]] == ["c"]
    assert pairs[1:].unpaired_images == pairs.unpaired_images


def test_folders_that_have_nothing_in_common_are_refused(tmp_path):
    images, masks = folder(tmp_path / "i", ["a.png"]), folder(tmp_path / "m", ["b.png"])
    for ignore in (False, True):
        with pytest.raises(UserError) as error:
            pair_folders(images, masks, ignore_unpaired=ignore)
        assert str(error.value) == (
            f"none of the 1 images below {images} (a.png) has a mask below {masks} (b.png); both need the same "
            "name but for the ending"
        )


@pytest.mark.parametrize("twice", ["images", "masks"])
def test_two_files_of_one_name_are_refused(tmp_path, twice):
    for what in ("images", "masks"):
        folder(tmp_path / what, ["a.jpg", "a.png"] if what == twice else ["a.png"])
    with pytest.raises(UserError) as error:
        pair_folders(tmp_path / "images", tmp_path / "masks")
    first, second = tmp_path / twice / "a.jpg", tmp_path / twice / "a.png"
    assert str(error.value) == (
        f"two {twice} are named a: {first} and {second}; give them different names, or name a folder that holds one of "
        "each"
    )


def test_missing_and_empty_folders_are_named(tmp_path):
    folder(tmp_path / "i", ["a.png"])
    with pytest.raises(UserError, match=r"no folder at .*nowhere"):
        pair_folders(tmp_path / "i", tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"no photos below .*empty"):
        pair_folders(tmp_path / "empty", tmp_path / "i")
