import unicodedata

import numpy as np
import pytest

from segmentation.evaluate.pairs import Pair, pair_folders
from toolkit.errors import UserError
from toolkit.pictures.photos import write_picture


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
        "2 more; add the masks, or give ignore_unpaired"
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


def test_frames_of_videos_pair_by_their_paths(tmp_path):
    names = ["bear/00000.png", "swan/00000.png", "swan/00001.png"]
    pairs = pair_folders(folder(tmp_path / "i", names), folder(tmp_path / "m", names))
    assert [pair.name for pair in pairs] == ["bear/00000", "swan/00000", "swan/00001"]
    assert all(pair.image.parent.name == pair.mask.parent.name for pair in pairs)


def test_frames_of_another_sequence_are_no_partners(tmp_path):
    images = folder(tmp_path / "i", ["bear/00000.png", "swan/00000.png"])
    masks = folder(tmp_path / "m", ["bear/00000.png", "goat/00000.png"])
    assert [pair.name for pair in pair_folders(images, masks, ignore_unpaired=True)] == ["bear/00000"]


@pytest.mark.parametrize(("images", "masks"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_composed_and_decomposed_names_pair(tmp_path, images, masks):
    name = "Blüte.png"
    pairs = pair_folders(
        folder(tmp_path / "i", [unicodedata.normalize(images, name)]),
        folder(tmp_path / "m", [unicodedata.normalize(masks, name)]),
    )
    assert len(pairs) == 1


OWN = [f"{name}_{kind}.png" for name in ("a", "sub/b") for kind in ("mask", "overlay", "soft", "cutout", "composite")]


def test_our_own_predictions_pair_with_masks_by_their_photos(tmp_path):
    own, masks = folder(tmp_path / "own", OWN), folder(tmp_path / "m", ["a.png", "b.png"])
    pairs = pair_folders(own, masks)
    assert [(pair.name, pair.image.name, pair.mask.name) for pair in pairs] == [
        ("a", "a_soft.png", "a.png"),
        ("b", "b_soft.png", "b.png"),
    ]
    assert pairs.notes() == [
        f"the soft maps of toolkit predict below {own} are taken for images, its 8 other pictures are not"
    ]


def test_our_own_masks_serve_as_masks_of_photos(tmp_path):
    photos, own = folder(tmp_path / "i", ["a.jpg", "b.jpg"]), folder(tmp_path / "own", OWN)
    assert [pair.mask.name for pair in pair_folders(photos, own)] == ["a_mask.png", "b_mask.png"]


def test_overlays_alone_are_no_maps(tmp_path):
    own, masks = folder(tmp_path / "own", ["a_overlay.png", "a_cutout.png"]), folder(tmp_path / "m", ["a.png"])
    with pytest.raises(UserError, match=r"holds only overlays and cut-outs of .* predict again with write=soft"):
        pair_folders(own, masks)


def test_names_that_end_like_our_predictions_pair_as_they_are(tmp_path):
    names = ["a_mask.png", "b_mask.png"]
    pairs = pair_folders(folder(tmp_path / "i", names), folder(tmp_path / "m", names))
    assert [pair.name for pair in pairs] == ["a_mask", "b_mask"]
    assert pairs.notes() == []
