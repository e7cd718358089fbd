"""PNG files written strip by strip."""

import io
import os

import cv2
import numpy as np
import pytest
from PIL import Image

from segmentation.predict.photos import Pictures
from toolkit.pictures import png
from toolkit.pictures.outlines import overlay
from toolkit.pictures.png import png_bytes, rows_of, write_png


@pytest.fixture(params=["isal", "zlib"])
def encoder(request, monkeypatch):
    if request.param == "zlib":
        monkeypatch.setattr(png, "isal_zlib", None)
    elif png.isal_zlib is None:
        pytest.skip("there is no ISA-L for this processor")


def picture(shape, seed=0):
    """A picture smooth in parts and noisy in others."""
    ramp = np.broadcast_to(np.arange(shape[1]).reshape(1, -1, *[1] * (len(shape) - 2)), shape) % 256
    noise = np.random.default_rng(seed).integers(0, 256, shape)
    return np.where(ramp > 100, noise, ramp).astype(np.uint8)


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (1, 300, 3), (300, 1, 4), (61, 257, 3), (64, 48, 4), (700, 500)])
def test_readers_see_the_pixels_that_were_written(encoder, monkeypatch, shape):
    monkeypatch.setattr(png, "_STRIP_PIXELS", 1000)
    pixels = picture(shape)
    content = png_bytes(pixels)
    with Image.open(io.BytesIO(content)) as image:
        assert np.array_equal(np.asarray(image), pixels)
    flags = cv2.IMREAD_UNCHANGED
    read = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    orders = {2: ..., 3: (..., [2, 1, 0]), 4: (..., [2, 1, 0, 3])}
    channels = shape[2] if len(shape) == 3 else 2
    assert np.array_equal(read[orders[channels]], pixels)


def test_parts_of_any_height_make_the_same_picture(encoder):
    pixels = picture((90, 70, 3))
    files = [io.BytesIO() for _ in range(3)]
    write_png(files[0], pixels.shape, [pixels])
    write_png(files[1], pixels.shape, (pixels[top : top + 7] for top in range(0, 90, 7)))
    write_png(files[2], pixels.shape, rows_of(np.asfortranarray(pixels)))
    for file in files:
        assert np.array_equal(np.asarray(Image.open(file)), pixels)


def test_files_are_no_larger_than_a_tenth_above_those_of_pillow(encoder):
    flower = Image.open(os.path.join(os.path.dirname(__file__), "..", "assets", "photos", "flower.jpg")).convert("RGB")
    file = io.BytesIO()
    flower.save(file, format="PNG", compress_level=2)
    assert len(png_bytes(np.asarray(flower))) < 1.1 * len(file.getvalue())


def test_pictures_of_a_prediction_are_those_that_arrays_make():
    photo = picture((80, 120, 3))
    rows, columns = np.mgrid[:80, :120]
    soft = np.clip(1.2 - np.hypot(rows - 40, columns - 50) / 40, 0, 1).astype(np.float32)
    kinds = ["mask", "soft", "overlay", "cutout", "composite"]
    found = [np.asarray(Image.open(io.BytesIO(file))) for file in Pictures(kinds).encoded(photo, soft)]
    mask = soft >= 0.5
    assert np.array_equal(found[0], mask * np.uint8(255))
    assert np.array_equal(found[1], (soft * 255).round().astype(np.uint8))
    assert np.array_equal(found[2], overlay(photo, mask))
    assert np.array_equal(found[3][..., 3] >= 128, mask)
    assert np.array_equal(found[4][found[3][..., 3] == 255], photo[found[3][..., 3] == 255])
