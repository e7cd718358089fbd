"""The plain wrapper that predicting is measured against does what the toolkit's protocol "original" does."""

from pathlib import Path

import numpy as np
import pytest
import torch
from golden_fill import fill_state_dict

from benchmarks.photos import KINDS, PlainWrapper, drawn_photos, write_plainly
from segmentation.predict.photos import Pictures, predict_photos
from segmentation.predict.protocols import PROTOCOLS
from segmentation.predict.segmenter import Segmenter
from segmentation.unet.network import UNet
from toolkit.pictures.photos import read_gray, read_photo


@pytest.fixture
def network():
    return fill_state_dict(UNet(width=4), 0).eval()


@pytest.mark.parametrize("shape", [(40, 50), (61, 33), (32, 48), (32, 32), (20, 24)])
def test_probabilities_are_those_of_the_original_protocol(network, shape):
    photo = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    found = PlainWrapper(network, 32)(photo)
    (expected,) = PROTOCOLS["original"].predict(network, [photo], 32, torch.device("cpu"))
    np.testing.assert_array_equal(found, expected)


def test_a_segmenter_s_are_at_most_one_level_away(network, tmp_path):
    segmenter, plain = Segmenter(network, 32), PlainWrapper(network, 32)
    photos = [read_photo(path) for path in drawn_photos(tmp_path, 8)]
    for _, photo, found in segmenter.predictions(enumerate(photos), "original"):
        np.testing.assert_allclose(found, plain(photo), atol=1.01 / 255)


def test_both_ways_write_nearly_the_same_maps(network, tmp_path):
    paths = drawn_photos(tmp_path, 4)
    write_plainly(PlainWrapper(network, 32), {path: tmp_path / f"{path.stem}_plain" for path in paths})
    list(predict_photos(Segmenter(network, 32), {path: path.with_suffix("") for path in paths}, Pictures(KINDS)))
    for path in paths:
        ours, plainly = (tmp_path / f"{path.stem}{way}" for way in ("", "_plain"))
        soft, expected = (read_gray(Path(f"{target}_soft.png")).astype(int) for target in (ours, plainly))
        np.testing.assert_allclose(soft, expected, atol=4)  # float against 8-bit resizing
        for kind in ("mask", "overlay"):
            assert read_photo(Path(f"{ours}_{kind}.png")).shape == read_photo(Path(f"{plainly}_{kind}.png")).shape
