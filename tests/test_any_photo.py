"""Photos in any form a program holds them are the same photo; what could mean two things is refused."""

import io
import re

import numpy as np
import pytest
import torch
from PIL import Image

from toolkit.errors import UserError
from toolkit.pictures.any_photo import as_photo
from toolkit.pictures.photos import read_photo


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)


def png(pixels):
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "png")
    return content.getvalue()


FORMS = {
    "array": lambda p, path: p,
    "path": lambda p, path: path,
    "text": lambda p, path: str(path),
    "bytes": lambda p, path: png(p),
    "bytearray": lambda p, path: bytearray(png(p)),
    "pil": lambda p, path: Image.fromarray(p),
    "pil, not yet decoded": lambda p, path: Image.open(path),
    "rgba": lambda p, path: np.dstack([p, np.full(p.shape[:2], 255, np.uint8)]),
    "channels first": lambda p, path: p.transpose(2, 0, 1),
    "floats": lambda p, path: p / 255,
    "float32 tensor, channels first": lambda p, path: torch.from_numpy(p).permute(2, 0, 1) / 255,
    "uint8 tensor": lambda p, path: torch.from_numpy(p),
    "with a gradient": lambda p, path: (torch.from_numpy(p) / 255).requires_grad_(),
    "uint16": lambda p, path: p.astype(np.uint16) * 257,
    "floats a little beyond": lambda p, path: np.where(p == 255, 1.0005, p / 255),
    "fortran order": lambda p, path: np.asfortranarray(p),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_same_photo(form, pixels, tmp_path):
    path = tmp_path / "photo.png"
    path.write_bytes(png(pixels))
    assert np.array_equal(as_photo(FORMS[form](pixels, path)), pixels)


def test_bf16_keeps_the_levels_it_can(pixels):
    found = as_photo((torch.from_numpy(pixels).permute(2, 0, 1) / 255).bfloat16())
    assert np.abs(found.astype(int) - pixels).max() <= 1


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 1), (1, 20, 30)])
def test_grey_becomes_three_equal_channels(shape, pixels):
    grey = pixels[..., 0]
    assert np.array_equal(as_photo(grey.reshape(shape)), np.stack([grey] * 3, axis=-1))


def test_transparency_is_laid_over_white_as_of_a_file(pixels, tmp_path):
    see_through = np.dstack([pixels, pixels[..., 0]])
    Image.fromarray(see_through).save(tmp_path / "a.png")
    assert np.array_equal(as_photo(see_through), read_photo(tmp_path / "a.png"))


def test_a_picture_of_pillow_is_turned_and_converted_as_of_a_file(pixels, tmp_path):
    image = Image.fromarray(pixels).convert("P")
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(as_photo(Image.open(tmp_path / "a.png")), read_photo(tmp_path / "a.png"))
    assert as_photo(tmp_path / "a.png").shape == (30, 20, 3)


@pytest.mark.parametrize(
    ("photo", "message"),
    [
        (None, r"a photo is None \(NoneType\); pass a path, .*"),
        ([[1, 2]], r"a photo is \[\[1, 2\]\] \(list\); pass a path, .*"),
        (np.zeros((2, 5, 5, 3), np.uint8), r"a photo is uint8 \[2, 5, 5, 3\], .*; pass one photo at a time"),
        (np.zeros((5, 5, 2), np.uint8), r"a photo is uint8 \[5, 5, 2\], which has no axis of 1, 3 or 4 channels; .*"),
        (np.zeros(5, np.uint8), r"a photo is uint8 \[5\], expected uint8 \[height, width, 3\], .*"),
        (np.zeros((0, 5, 3), np.uint8), r"a photo is uint8 \[0, 5, 3\], expected .*"),
        (torch.zeros(3, 9, 3), r"a photo is float32 \[3, 9, 3\], which could have its channels first or last; .*"),
        (np.full((5, 5), 200.0), r"a photo has floats from 200 to 200, .*; if white is 255, pass photo / 255"),
        (np.full((5, 5), -0.5), r"a photo has floats from -0.5 to -0.5, .*; if black is -1, pass \(photo \+ 1\) / 2"),
        (np.full((5, 5), -300.0), r"a photo has floats from -300 to -300, expected 0 to 1; check what it holds"),
        (np.full((5, 5), np.nan), r"a photo has floats from nan to nan, expected 0 to 1; check what it holds"),
        (np.full((5, 5), 7, np.uint16), r"a photo has uint16 values up to 7, whose white is 255 or 65535; .*"),
        (np.zeros((5, 5), bool), r"a photo has bool values; pass uint8, or floats from 0 to 1"),
        (np.zeros((5, 5), np.int64), r"a photo has int64 values; pass uint8, .*"),
        (np.full((5, 5), "a"), r"a photo has <U1 values; pass uint8, .*"),
        (b"", r"cannot read the photo of 0 bytes .*: the file is empty: copy or download it again|.*empty.*"),
        (b"%PDF-1.7", r"cannot read the photo of 8 bytes .*it is a PDF: convert it to JPEG or PNG"),
        ("nothing-there.jpg", r"no photo at nothing-there.jpg; check the path"),
    ],
)
def test_what_is_no_photo_for_certain_is_refused_in_one_line(photo, message):
    with pytest.raises(UserError) as refused:
        as_photo(photo)
    assert re.fullmatch(message, str(refused.value)), refused.value


def test_a_cut_off_picture_is_refused(pixels):
    content = png(pixels)
    with pytest.raises(UserError, match="cannot read the photo of 200 bytes"):
        as_photo(content[:200])
    with pytest.raises(UserError, match="cannot use the picture"):
        as_photo(Image.open(io.BytesIO(content[:200])))


def test_the_own_form_is_not_copied(pixels):
    assert as_photo(pixels) is pixels
