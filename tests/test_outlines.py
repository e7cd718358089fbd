"""Masks inside or beyond the edges that photos show: measured, said, and allowed for."""

import json

import numpy as np
import pytest
from cli_runs import ran
from PIL import Image

from segmentation.evaluate.outlines import REACH, EdgeProfiles, edge_profile, shrunk
from toolkit.errors import plain


def disc(side, radius, shape=None):
    """Return a disc (H, W) bool whose radius is in 256ths of `side`."""
    height, width = shape or (side, side)
    rows, columns = np.mgrid[:height, :width]
    return np.hypot(rows - height / 2 + 0.5, columns - width / 2 + 0.5) <= radius * side / 256


def photo_of(mask, seed=0):
    """Return a photo uint8 (H, W, 3) of a bright thing, slightly noisy."""
    noise = np.random.default_rng(seed).normal(0, 3, (*mask.shape, 3))
    return (np.where(mask[..., None], 180, 60) + noise).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("off", [-4, 0, 3, 6])
@pytest.mark.parametrize("shape", [(256, 256), (512, 640), (128, 128)])
def test_the_offset_is_how_far_the_mask_lies_inside_the_edge(off, shape):
    side = min(shape)
    photo = photo_of(disc(side, 80, shape))
    profiles = EdgeProfiles()
    profiles.add(edge_profile(photo, disc(side, 80 - off, shape)))
    assert profiles.offset == pytest.approx(off, abs=0 if side >= 256 else 1)
    assert bool(profiles.warnings(0)) == (off != 0)
    assert not profiles.warnings(profiles.offset)


def test_what_has_no_outline_or_no_edge_says_nothing():
    mask = disc(64, 80)
    profiles = EdgeProfiles()
    for photo, its in (
        (photo_of(mask), np.zeros_like(mask)),
        (photo_of(mask), np.ones_like(mask)),
        (np.full((64, 64, 3), 7, np.uint8), mask),
    ):
        assert np.isnan(edge_profile(photo, its)).all()
        profiles.add(edge_profile(photo, its))
    assert profiles.offset == 0
    assert profiles.warnings(0) == []
    assert profiles.as_dict()["strength"] == [0] * (2 * REACH + 1)


def test_a_strip_is_not_enlarged_to_gigabytes():
    profiles = EdgeProfiles()
    for shape in ((20_000, 1), (1, 20_000)):
        mask = np.arange(20_000).reshape(shape) > 9_000
        profiles.add(edge_profile(photo_of(mask), mask))
    assert profiles.as_dict()["strength"] == [0] * (2 * REACH + 1)
    wide = np.zeros((10, 320), bool)  # 32 times as wide as high: this one counts
    wide[:, 100:200] = True
    assert np.isfinite(edge_profile(photo_of(wide), wide)).all()


def test_profiles_of_parts_add_up():
    photos = [photo_of(disc(256, 60 + 4 * i), i) for i in range(4)]
    found = [edge_profile(photo, disc(256, 57 + 4 * i)) for i, photo in enumerate(photos)]
    whole, parts = EdgeProfiles(), [EdgeProfiles(), EdgeProfiles()]
    for index, profile in enumerate(found):
        whole.add(profile)
        parts[index % 2].add(profile)
    assert np.allclose(EdgeProfiles.joined(parts).strength, whole.strength)
    assert whole.offset == 3


def test_a_map_is_made_smaller_or_larger_at_every_threshold():
    mask = disc(256, 80)
    soft = np.where(mask, 0.8, 0.2).astype(np.float32)
    soft[disc(256, 40)] = 1.0
    inner = shrunk(soft, 3)
    assert inner.dtype == np.float32
    assert np.count_nonzero((inner >= 0.5) ^ disc(256, 77)) < 90  # of 18,600: a disk of pixels is not quite round
    assert np.count_nonzero((inner >= 0.9) ^ disc(256, 37)) < 40
    assert np.count_nonzero((shrunk(soft, -3) >= 0.5) ^ disc(256, 83)) < 90
    assert shrunk(soft, 0) is soft
    assert shrunk(soft[::2, ::2], 3).sum() < soft[::2, ::2].sum()
    whole = np.ones((64, 64), np.float32)
    assert np.array_equal(shrunk(whole, 5), whole)  # things go on beyond the picture


def test_eval_says_that_masks_lie_inside_their_things_and_allows_for_it(tmp_path):
    for name in ("photos", "masks", "maps"):
        (tmp_path / name).mkdir()
    for i in range(3):
        thing, mask = disc(256, 70 + 9 * i), disc(256, 66 + 9 * i)
        Image.fromarray(photo_of(thing, i)).save(tmp_path / "photos" / f"{i}.png")
        Image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / "masks" / f"{i}.png")
        Image.fromarray(thing.astype(np.uint8) * 255).save(tmp_path / "maps" / f"{i}.png")
    flags = ("eval", "--masks", tmp_path / "masks")
    output = plain(ran(*flags, "--photos", tmp_path / "photos", "--out", tmp_path / "eval"))
    assert "outlines lie about 4 pixels (of 256) inside the edges that the photos show" in output
    assert "--inset 4" in output
    edges = json.loads((tmp_path / "eval" / "result.json").read_text())["datasets"][0]["masks"]["edges_of_photos"]
    assert edges["offset"] == 4
    assert np.argmax(edges["strength"]) == REACH + 4
    allowed = plain(ran(*flags, "--photos", tmp_path / "photos", "--out", tmp_path / "eval", "--inset", 4))
    assert "outlines lie" not in allowed
    for i in range(3):  # the same as trimaps, whose band is ignored
        thing, mask = disc(256, 74 + 9 * i), disc(256, 66 + 9 * i)
        codes = np.where(mask, 1, np.where(thing, 2, 0)).astype(np.uint8)
        (tmp_path / "trimaps").mkdir(exist_ok=True)
        Image.fromarray(codes).save(tmp_path / "trimaps" / f"{i}.png")
    trimaps = ("--masks", tmp_path / "trimaps", "--object", "1", "--ignore", "2", "--photos", tmp_path / "photos")
    assert "outlines lie" not in plain(ran("eval", *trimaps, "--out", tmp_path / "of-trimaps"))
    figures = {}
    for inset in (0, 4):
        ran(*flags, "--predictions", tmp_path / "maps", "--out", tmp_path / "of-maps", "--inset", inset)
        result = json.loads((tmp_path / "of-maps" / "result.json").read_text())["datasets"][0]
        assert "edges_of_photos" not in result["masks"]  # no photos, no edges
        figures[inset] = result["measures"]
    assert figures[4]["iou"] > 0.98 > figures[0]["iou"]
    assert figures[4]["boundary_f"] == pytest.approx(1.0)
    assert figures[0]["boundary_f"] < 0.1
