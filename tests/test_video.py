"""Clips are segmented frame by frame, smoothed over time, and go on after a stop as if nothing had been."""

import json
import math
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from fractions import Fraction

import numpy as np
import pytest
from cli_runs import ran, refused

pytest.importorskip("av")

from clips import disc, read_back, sound_of, write_clip
from test_onnx import _WITHOUT as WITHOUT
from test_onnx import ROOT, dependencies

import segmentation.video.work as work
import toolkit
from segmentation.predict.segmenter import Segmenter
from segmentation.unet.network import UNet
from segmentation.video.ahead import ahead
from segmentation.video.drawing import Drawing
from segmentation.video.settings import VideoSettings
from segmentation.video.smoothing import Smoothing
from toolkit.clips.reading import open_clip
from toolkit.pictures.any_photo import as_photo
from toolkit.watch import Stopped, Watch

FROM_HERE = {**os.environ, "PYTHONPATH": str(ROOT)}
GREY = np.full((32, 48, 3), 120, np.uint8)


class RedSegmenter(Segmenter):
    """Says of each pixel how much redder than green it is."""

    def judged_predictions(self, photos, protocol="float", refine=False, bf16=False):
        for key, photo in photos:
            picture = as_photo(photo)
            yield key, picture, ((picture[..., 0].astype(np.float32) - picture[..., 1]) / 150).clip(0, 1), None


@pytest.fixture(autouse=True)
def red(monkeypatch):
    segmenter = RedSegmenter(UNet(width=4), 32)
    monkeypatch.setattr(Segmenter, "load", lambda name: segmenter)
    return segmenter


@pytest.fixture
def clip(tmp_path):
    return write_clip(tmp_path / "clip.mp4", [disc(n) for n in range(11)], sound="aac")


def truth(number: int) -> np.ndarray:
    frame = disc(number).astype(int)
    return frame[..., 0] > frame[..., 1] + 100


def masks_in(path) -> list[np.ndarray]:
    return [frame[..., 0] > 127 for frame in read_back(path)[0]]


def after_all(smoothing: Smoothing, probabilities, times, frames=None) -> list[np.ndarray]:
    seen = [GREY] * len(times) if frames is None else frames
    return [smoothing.after(f, t, np.float32(p)) for f, t, p in zip(seen, times, probabilities, strict=True)]


# --- smoothing ---


@pytest.mark.parametrize("times", [np.arange(12) / 25, np.cumsum([0, 0.04, 0.1, 0.01, 0.5, 0.04])])
def test_a_step_is_followed_exponentially_in_seconds_whatever_the_frames(times):
    """From 0 to 1 the mean has come, after t seconds, to 1 - exp(-t / tau)."""
    probabilities = [np.zeros((32, 48)), *[np.ones((32, 48))] * (len(times) - 1)]
    means = after_all(Smoothing(0.2, cut=0.5), probabilities, times)
    for time, mean in zip(times, means, strict=True):
        assert mean == pytest.approx(1 - math.exp(-time / 0.2), abs=1e-6)


def test_without_a_time_constant_each_frame_stands_by_itself():
    probabilities = np.random.default_rng(0).random((5, 32, 48), np.float32)
    means = after_all(Smoothing(0, cut=0.5), probabilities, range(5))
    assert all(np.array_equal(mean, one) for mean, one in zip(means, probabilities, strict=True))


def test_a_new_scene_has_nothing_of_the_one_before():
    dark, bright = np.full((32, 48, 3), 20, np.uint8), np.full((32, 48, 3), 180, np.uint8)
    probabilities = [np.ones((32, 48))] * 3 + [np.zeros((32, 48))] * 3
    smoothing = Smoothing(10, cut=0.1)
    means = after_all(smoothing, probabilities, np.arange(6) / 25, [dark] * 3 + [bright] * 3)
    assert smoothing.scenes == 2
    assert means[2].min() > 0.99
    assert means[3].max() == 0
    smoothing = Smoothing(10, cut=0.1)  # the same, without a cut
    assert after_all(smoothing, probabilities, np.arange(6) / 25)[3].min() > 0.99


def test_flicker_goes_down_by_the_ratio_that_theory_has():
    """Of noise without memory, the mean square of changes from frame to frame falls by (1 - k)^2 / (1 + k) * ... .

    With kept share k the smoothed noise changes by a variance of 2 s^2 (1 - k)^2 / (1 + k) where that of the noise
    itself changes by 2 s^2.
    """
    noise = np.random.default_rng(0).normal(0.5, 0.1, (400, 32, 48)).astype(np.float32)
    times = np.arange(400) / 25
    means = np.stack(after_all(Smoothing(0.08, cut=0.5), noise, times))[50:]
    kept = math.exp(-0.04 / 0.08)
    ratio = np.diff(means, axis=0).var() / np.diff(noise, axis=0).var()
    assert ratio == pytest.approx((1 - kept) ** 2 / (1 + kept), rel=0.02)


# --- the command ---


def test_masks_of_frames_are_those_of_photos_and_times_and_sound_stay(clip, tmp_path):
    said = ran("video", clip, "--out", tmp_path / "o.mp4", "--write", "mask", "--smoothing", 0, "--device", "cpu")
    assert "masks of 11 frames in 1 scene, 48 x 32 pixels, H.264" in said
    found = masks_in(tmp_path / "o.mp4")
    assert len(found) == 11
    for number, mask in enumerate(found):
        assert (mask != truth(number)).mean() < 0.01
    assert read_back(tmp_path / "o.mp4")[1] == read_back(clip)[1]
    assert sound_of(tmp_path / "o.mp4") == sound_of(clip)
    assert not list(tmp_path.glob("*.parts"))


def test_every_kind_is_what_predict_draws(clip, tmp_path):
    flags = ("--smoothing", 0, "--quality", 5, "--device", "cpu", "--precision", "fp32")
    (frame, *_), _ = read_back(clip)
    mask = truth(0)
    for kind, name in (("soft", "s.mp4"), ("overlay", "v.mp4"), ("cutout", "c.mov"), ("composite", "p.mp4")):
        background = ("--background", "#0000ff") if kind == "composite" else ()
        ran("video", clip, "--out", tmp_path / name, "--write", kind, *background, *flags)
        (picture, *_), _ = read_back(tmp_path / name, alpha=kind == "cutout")
        expected = Drawing(kind, ground=toolkit.pictures.grounds.ground_of("#0000ff")).drawn(frame, np.float32(mask))
        if expected.ndim == 2:
            expected = np.repeat(expected[..., None], 3, axis=2)
        assert picture.shape == expected.shape
        assert np.abs(picture.astype(int) - expected).mean() < 9, kind


def test_outlines_have_one_colour_whatever_a_frame_shows():
    probability = np.zeros((32, 32), np.float32)
    probability[8:24, 8:24] = 1
    colours = set()
    for level in (0, 90, 255):
        frame = np.full((32, 32, 3), level, np.uint8)
        drawn = Drawing("overlay").drawn(frame, probability)
        colours |= {tuple(pixel) for pixel in drawn[(drawn != frame).any(axis=2) & (drawn != 0).any(axis=2)].tolist()}
    assert len(colours) == 1


def test_segments_are_joined_without_a_seam(clip, tmp_path):
    ran("video", clip, "--out", tmp_path / "a.mp4", "--write", "mask", "--device", "cpu")
    ran("video", clip, "--out", tmp_path / "b.mp4", "--write", "mask", "--segment-frames", 4, "--device", "cpu")
    one, several = masks_in(tmp_path / "a.mp4"), masks_in(tmp_path / "b.mp4")
    assert len(one) == len(several) == 11
    assert max((x != y).mean() for x, y in zip(one, several, strict=True)) < 0.01
    assert read_back(tmp_path / "a.mp4")[1] == read_back(tmp_path / "b.mp4")[1]


class StopsAfter(Watch):
    """Asks for a stop after so many frames."""

    def __init__(self, count: int) -> None:
        self.left, self.said = count, []

    def say(self, line: str) -> None:
        self.said.append(line)

    @contextmanager
    def stops(self):
        def wanted() -> bool:
            self.left -= 1
            return self.left < 0

        yield wanted


def made(red, clip, watch=None, **settings) -> work.VideoWork:
    chosen = VideoSettings(segment_frames=3, **settings)
    return work.VideoWork(red, open_clip(clip), Drawing("soft"), chosen, watch=watch or Watch())


@pytest.mark.parametrize("frames", [0, 1, 3, 4, 8, 10])
@pytest.mark.parametrize("ending", ["mp4", "webm"])
def test_a_clip_that_was_stopped_comes_out_as_an_unbroken_one(red, clip, tmp_path, frames, ending):
    unbroken, out = tmp_path / f"unbroken.{ending}", tmp_path / f"o.{ending}"
    made(red, clip).carry_out(unbroken)
    with pytest.raises(Stopped, match=f"at frame {frames // 3 * 3}"):
        made(red, clip, StopsAfter(frames)).carry_out(out)
    assert not out.exists()
    watch = StopsAfter(1000)
    outcome = made(red, clip, watch).carry_out(out)
    assert outcome.frames == 11
    assert watch.said == ([f"resuming at frame {frames // 3 * 3}"] if frames >= 3 else [])
    assert out.read_bytes() == unbroken.read_bytes()
    assert not list(tmp_path.glob("*.parts"))


def test_other_settings_another_clip_and_a_second_process_are_refused(red, clip, tmp_path):
    out = tmp_path / "o.mp4"
    with pytest.raises(Stopped):
        made(red, clip, StopsAfter(7)).carry_out(out)
    with pytest.raises(toolkit.UserError, match=r"begun otherwise: threshold was 0\.5, now 0\.6"):
        made(red, clip, threshold=0.6).carry_out(out)
    other = write_clip(tmp_path / "other.mp4", [disc(2 * n) for n in range(11)])
    shutil.copy(other, clip)
    with pytest.raises(toolkit.UserError, match="clip_digest was"):
        made(red, clip).carry_out(out)


def test_a_segment_without_its_note_is_made_anew(red, clip, tmp_path):
    out = tmp_path / "o.mp4"
    made(red, clip).carry_out(tmp_path / "unbroken.mp4")
    with pytest.raises(Stopped):
        made(red, clip, StopsAfter(7)).carry_out(out)
    (state,) = (tmp_path / "o.mp4.parts").glob("*.mean")
    state.write_bytes(state.read_bytes()[:-4])
    made(red, clip).carry_out(out)
    assert out.read_bytes() == (tmp_path / "unbroken.mp4").read_bytes()


def test_what_is_left_of_a_run_that_is_no_note_is_refused(red, clip, tmp_path):
    out = tmp_path / "o.mp4"
    with pytest.raises(Stopped):
        made(red, clip, StopsAfter(7)).carry_out(out)
    note = tmp_path / "o.mp4.parts" / "progress.json"
    note.write_text(json.dumps({**json.loads(note.read_text()), "frames": "many"}))
    with pytest.raises(toolkit.UserError, match="does not say what is finished; delete"):
        made(red, clip).carry_out(out)


def test_the_clip_is_not_written_over_itself(clip):
    assert "is the clip itself" in refused("video", clip, "--out", clip, "--device", "cpu")


def test_a_cut_short_clip_is_taken_as_it_is_when_asked(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (75, 32, 48, 3), np.uint8)
    clip = write_clip(tmp_path / "c.mp4", list(noise), options={"movflags": "faststart"})
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    flags = ("--write", "mask", "--device", "cpu", "--segment-frames", 10)
    assert "it is cut short" in refused("video", clip, "--out", tmp_path / "o.mp4", *flags)
    ran("video", clip, "--out", tmp_path / "o.mp4", *flags, "--skip-unreadable")  # which goes on where it was
    assert 20 < len(masks_in(tmp_path / "o.mp4")) < 60


def test_the_library_does_the_same(red, clip, tmp_path):
    outcome = toolkit.video(clip, tmp_path / "o.webm", red, write="cutout", smoothing=0, device="cpu")
    assert (outcome.frames, outcome.scenes, outcome.omitted) == (11, 1, ["aac"])
    found, times = read_back(tmp_path / "o.webm", alpha=True)
    assert times == [Fraction(n, 25) for n in range(11)]
    for number, picture in enumerate(found):
        assert ((picture[..., 3] > 127) != truth(number)).mean() < 0.02


def test_animated_gifs_are_clips(tmp_path):
    from PIL import Image

    pictures = [Image.fromarray(disc(n)) for n in range(4)]
    pictures[0].save(tmp_path / "c.gif", save_all=True, append_images=pictures[1:], duration=120)
    ran(
        "video", tmp_path / "c.gif", "--out", tmp_path / "o.mp4", "--write", "mask", "--smoothing", 0, "--device", "cpu"
    )
    found, times = read_back(tmp_path / "o.mp4")
    assert len(found) == 4
    assert [round(float(time), 2) for time in times] == [0, 0.12, 0.24, 0.36]


# --- reading ahead ---


def test_items_come_in_order_and_what_goes_wrong_comes_in_its_place():
    def items():
        yield from range(5)
        raise ValueError("broken")

    coming = ahead(items(), 3)
    assert [next(coming) for _ in range(5)] == list(range(5))
    with pytest.raises(ValueError, match="broken"):
        next(coming)


def test_no_more_are_made_than_are_wanted_ahead():
    taken = []

    def items():
        for number in range(100):
            taken.append(number)
            yield number

    coming = ahead(items(), 4)
    assert [next(coming) for _ in range(3)] == [0, 1, 2]
    coming.close()
    assert len(taken) <= 3 + 4


def test_an_exported_segmenter_does_it_without_torch(tmp_path):
    pytest.importorskip("onnxruntime")
    toolkit.export(RedSegmenter(UNet(width=4), 32), tmp_path / "s.onnx")
    clip = write_clip(tmp_path / "c.mp4", [disc(n) for n in range(5)])
    flags = ("--write", "soft", "--segmenter", str(tmp_path / "s.onnx"), "--out")
    code = WITHOUT.format(names=dependencies() - {"av"}, arguments=["toolkit", "video", str(clip), *flags, "o.mp4"])
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=FROM_HERE, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(read_back(tmp_path / "o.mp4")[0]) == 5
