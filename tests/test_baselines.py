"""Guesses without labels that a segmenter has to beat: what they predict, and that they are measured as by eval."""

import json
import sys

import numpy as np
import pytest
from PIL import Image

from benchmarks import baselines


def photo_of(disc, noise=4):
    """Return a bright thing on a dark ground, uint8 (H, W, 3), a little noisy."""
    grain = np.random.default_rng(0).integers(-noise, noise + 1, (*disc.shape, 3))
    return (np.where(disc[..., None], (220, 180, 90), (30, 60, 40)) + grain).astype(np.uint8)


def disc(height, width, radius):
    rows, columns = np.mgrid[:height, :width]
    return np.hypot(rows - height / 2, columns - width / 2) < radius


def test_box_and_ellipse_lie_in_the_middle_and_have_their_areas():
    photo = np.zeros((200, 300, 3), np.uint8)
    box, ellipse = baselines.box(0.5)(photo), baselines.ellipse(0.5)(photo)
    assert box[50:150, 75:225].all()
    assert box.sum() == 100 * 150
    assert ellipse.sum() == pytest.approx(np.pi / 4 * 100 * 150, rel=0.01)
    assert not (ellipse * (1 - box)).any()
    for guess in (box, ellipse):
        assert np.array_equal(guess, guess[::-1, ::-1])
    assert baselines.everything(photo).all()


@pytest.mark.parametrize("shape", [(120, 90), (300, 520)])
def test_grab_cut_finds_a_thing_of_its_own_colour_at_the_photo_s_size(shape):
    truth = disc(*shape, min(shape) / 4)
    mask = baselines.grab_cut(0.7, 3, 128)(photo_of(truth))
    assert mask.shape == shape
    assert set(np.unique(mask)) == {0, 1}
    assert (mask * truth).sum() / np.maximum(mask, truth).sum() > 0.9
    assert np.array_equal(mask, baselines.grab_cut(0.7, 3, 128)(photo_of(truth)))  # nothing is left to chance


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (3, 2)])
@pytest.mark.parametrize("share", [0.1, 0.7, 1.0])
def test_photos_too_small_to_cut_are_predicted_all_the_same(shape, share):
    for predict, _ in baselines.baselines(share).values():
        assert predict(np.zeros((*shape, 3), np.uint8)).shape == shape


def test_the_table_has_the_measures_of_eval(tmp_path, monkeypatch, capsys):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for number, radius in enumerate((12, 16)):
        truth = disc(64, 80, radius)
        Image.fromarray(photo_of(truth)).save(tmp_path / "images" / f"{number}.png")
        Image.fromarray(truth).convert("L").save(tmp_path / "masks" / f"{number}.png")
    out = tmp_path / "baselines.json"
    folders = [str(tmp_path / "images"), str(tmp_path / "masks")]
    monkeypatch.setattr(sys, "argv", ["baselines", *folders, "--rounds", "1", "--out", str(out)])
    baselines.main()
    found = {name: ways["guess"] for name, ways in json.loads(out.read_text())["rows"].items()}
    assert list(found) == ["everything", "box", "ellipse", "GrabCut"]
    ious = {name: result["measures"]["iou"] for name, result in found.items()}
    shares = [disc(64, 80, radius).mean() for radius in (12, 16)]
    assert ious["everything"] == pytest.approx(np.mean(shares))
    assert ious["everything"] < ious["box"] < ious["ellipse"] < ious["GrabCut"]
    assert "boundary_f" in found["GrabCut"]["definitions"]
    assert "sides 0.7 of the photo's" in found["GrabCut"]["protocol"]["prediction"]
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["images", *found]
    assert f"{ious['GrabCut']:.3f}" in lines[-1]
