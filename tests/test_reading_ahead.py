"""Photos read ahead: in order, within bounds, and let go of."""

import threading
import time
import weakref

import numpy as np
import pytest

from segmentation.evaluate.evaluation import evaluate
from segmentation.evaluate.pairs import pair_folders
from segmentation.predict import photos as photos_module
from segmentation.predict import windows as windows_module
from segmentation.predict.photos import Pictures, predict_photos
from segmentation.predict.segmenter import Segmenter
from segmentation.predict.windows import reading_ahead
from segmentation.unet.network import UNet
from toolkit.errors import UserError
from toolkit.pictures.photos import write_picture


@pytest.fixture
def few_pixels(monkeypatch):
    """Let one photo of 40 x 50 be all that may be held."""
    monkeypatch.setattr(windows_module, "_MOST_PIXELS", 100)
    monkeypatch.setattr(windows_module, "_WINDOW_PIXELS", 100)
    monkeypatch.setattr(photos_module, "_UNWRITTEN_PIXELS", 100)


@pytest.mark.parametrize("refine", [False, True])
def test_a_large_photo_is_gone_when_the_next_one_is_read(few_pixels, monkeypatch, tmp_path, refine):
    photos, held = [], []

    def read(source):
        until = time.monotonic() + 2  # for the main thread to go on, which lets go of the last one
        while any(photo() is not None for photo in photos) and time.monotonic() < until:
            time.sleep(0.001)
        held.append(sum(photo() is not None for photo in photos))
        photo = np.full((40, 50, 3), int(source.stem), np.uint8)
        photos.append(weakref.ref(photo))
        return photo

    monkeypatch.setattr(photos_module, "read_photo", read)
    segmenter = Segmenter(UNet(width=2), 16)
    targets = {tmp_path / f"{number}.png": tmp_path / str(number) for number in range(6)}
    found = [source for source, _ in predict_photos(segmenter, targets, Pictures(["mask", "overlay"]), refine)]
    assert found == list(targets)
    assert len(held) == 6
    assert max(held) == 0


def test_what_is_broken_takes_no_room(few_pixels):
    def read(number):
        return number, UserError("broken") if number % 2 else np.zeros((40, 50, 3), np.uint8)

    with reading_ahead(range(20), read) as (found, done):
        numbers = []
        for number, photo in found:
            numbers.append(number)
            if isinstance(photo, np.ndarray):
                done(photo.shape)
    assert numbers == list(range(20))


def test_ending_early_leaves_nobody_waiting(few_pixels):
    with reading_ahead(range(20), lambda number: (number, np.zeros((40, 50, 3), np.uint8))) as (found, _):
        assert next(found)[0] == 0
    assert not any("ThreadPoolExecutor" in thread.name and thread.is_alive() for thread in threading.enumerate())


def test_an_evaluation_in_batches_has_the_figures_of_one_by_one(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(9):
        shape = (30, 40) if number % 3 else (44, 30)
        write_picture(tmp_path / "photos" / f"{number}.png", rng.integers(0, 256, (*shape, 3), np.uint8))
        write_picture(tmp_path / "masks" / f"{number}.png", (rng.random(shape) > 0.5).astype(np.uint8) * 255)
    pairs, segmenter, seen = pair_folders(tmp_path / "photos", tmp_path / "masks"), Segmenter(UNet(width=2), 16), []

    def many(photos):
        for found in segmenter.predictions(photos):
            seen.append(found[0][0].name)
            yield found

    together = evaluate(pairs, segmenter.probability, "x", "", many=many)
    first = next(iter(together))  # and goes on where it was left
    apart = evaluate(pairs, segmenter.probability, "x", "")
    assert together.measures == pytest.approx(apart.measures, abs=1e-6)
    assert [row["name"] for row in together.rows()] == [row["name"] for row in apart.rows()]
    assert first.pair == pairs[0]
    assert seen.count("0") == 1
