"""Animations: right number, order and time of frames, for ever, and still where nothing moves."""

import sys

import numpy as np
import pytest
from PIL import Image, ImageSequence

from toolkit.errors import UserError
from toolkit.pictures.animation import write_animation

SIDE = 48


def moving(count, ground):
    """A red block going right over a ground that stands still from row 30 on."""
    frames = []
    for index in range(count):
        frame = ground.copy()
        frame[10:20, index * 2 : index * 2 + 8] = (255 - 5 * index, 10 * index, 60)
        frames.append(frame)
    return frames


def noise():
    return np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


def ramp():
    rows, columns = np.mgrid[:SIDE, :SIDE]
    return np.stack([rows * 5, columns * 5, (rows + columns) * 2], axis=-1).astype(np.uint8)


def decoded(path):
    with Image.open(path) as image:
        frames = [frame.convert("RGB") for frame in ImageSequence.Iterator(image)]
        return np.stack([np.array(frame) for frame in frames])


def times(path):
    with Image.open(path) as image:
        found = []
        for index in range(image.n_frames):
            image.seek(index)
            image.load()
            found.append(image.info["duration"])
        return found, image.info["loop"]


@pytest.mark.parametrize("ending", [".gif", ".webp", ".GIF", ".WebP"])
def test_all_frames_are_there_and_loop_for_ever(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    write_animation(path, moving(18, ramp()), fps=12.5)
    assert decoded(path).shape == (18, SIDE, SIDE, 3)
    assert times(path) == ([80] * 18, 0)


@pytest.mark.parametrize(
    ("fps", "gif", "webp"), [(10, 100, 100), (24, 40, 42), (30, 30, 33), (50, 20, 20), (90, 20, 11)]
)
def test_the_time_of_a_frame(tmp_path, fps, gif, webp):
    for ending, duration in ((".gif", gif), (".webp", webp)):
        write_animation(tmp_path / f"a{ending}", moving(3, ramp()), fps)
        assert times(tmp_path / f"a{ending}")[0] == [duration] * 3


@pytest.mark.parametrize("ground", [noise, ramp])
@pytest.mark.parametrize("ending", [".gif", ".webp"])
def test_what_stands_still_does_not_flicker(tmp_path, ending, ground):
    write_animation(tmp_path / f"a{ending}", moving(18, ground()), fps=20)
    still = decoded(tmp_path / f"a{ending}")[:, 30:]
    assert (still == still[0]).all()


def test_a_webp_loses_nothing(tmp_path):
    frames = moving(18, noise())
    write_animation(tmp_path / "a.webp", frames, fps=20)
    assert np.array_equal(decoded(tmp_path / "a.webp"), np.stack(frames))


def test_a_gif_stays_near_the_colours(tmp_path):
    frames = moving(18, ramp())
    write_animation(tmp_path / "a.gif", frames, fps=20)
    away = np.abs(decoded(tmp_path / "a.gif").astype(int) - np.stack(frames))
    assert away.mean() < 6  # 256 colours for a ramp of 2304
    assert away.max() < 64


def test_colours_of_late_frames_are_in_the_palette(tmp_path):
    frames = [np.full((8, 8, 3), colour, np.uint8) for colour in [(0, 0, 0)] * 12 + [(255, 0, 0)] * 13]
    for index, frame in enumerate(frames):
        frame[0, index % 8] = (0, 0, 200)  # equal frames would be merged
    write_animation(tmp_path / "a.gif", frames, fps=10)
    red = decoded(tmp_path / "a.gif")[-1, 4, 4].astype(int)
    assert np.abs(red - [255, 0, 0]).max() < 20


@pytest.mark.parametrize("ending", [".gif", ".webp"])
def test_a_single_frame(tmp_path, ending):
    write_animation(tmp_path / f"a{ending}", [ramp()], fps=10)
    assert decoded(tmp_path / f"a{ending}").shape == (1, SIDE, SIDE, 3)


@pytest.mark.parametrize("name", ["a.png", "a.avi", "a"])
def test_unknown_endings(tmp_path, name):
    with pytest.raises(UserError, match=r"cannot tell the format of .*: its name should end in \.gif, \.webp, \.mp4"):
        write_animation(tmp_path / name, [ramp()], fps=10)
    assert list(tmp_path.iterdir()) == []


def test_mp4_without_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)  # as if it were not installed
    with pytest.raises(UserError) as caught:
        write_animation(tmp_path / "a.mp4", [ramp()], fps=10)
    text = str(caught.value)
    assert text.startswith("MP4 needs the video extra: pip install 'latent-segmentation-toolkit[video]'")
    assert "\n" not in text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_mp4_with_odd_sides(tmp_path):
    pytest.importorskip("imageio_ffmpeg", exc_type=ImportError)
    import imageio.v2 as imageio

    write_animation(tmp_path / "a.mp4", [np.full((33, 47, 3), 25 * i, np.uint8) for i in range(10)], fps=10)
    with imageio.get_reader(tmp_path / "a.mp4") as reader:
        frames = [np.array(frame) for frame in reader.iter_data()]  # the reader claims to be endless
    assert len(frames) == 10
    assert frames[0].shape == (34, 48, 3)
    assert np.abs([frame.mean() - 25 * i for i, frame in enumerate(frames)]).max() < 4
