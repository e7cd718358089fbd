"""Clips of every shape come in upright and with their times, and hostile ones are refused in a line."""

import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from cli_runs import refused

av = pytest.importorskip("av")

from clips import disc, read_back, sound_of, write_clip  # noqa: E402

from toolkit.clips.formats import format_of  # noqa: E402
from toolkit.clips.reading import frames, open_clip  # noqa: E402
from toolkit.clips.writing import join, write_segment  # noqa: E402
from toolkit.errors import UserError  # noqa: E402

CLOSE = 12  # levels between a saturated colour and what 8 bits of luma and chroma leave of it


def pictures(path: Path, **how) -> list[np.ndarray]:
    return [frame.pixels for frame in frames(open_clip(path), **how)]


def near(found: np.ndarray, expected: np.ndarray) -> bool:
    return found.shape == expected.shape and np.abs(found.astype(int) - expected).mean() < 3


@pytest.mark.parametrize("degrees", [0, 90, 180, -90])
@pytest.mark.parametrize("mirrored", [False, True])
def test_frames_are_turned_as_the_file_says(tmp_path, degrees, mirrored):
    path = write_clip(tmp_path / "c.mp4", [disc(0), disc(1)], turned=(degrees, mirrored))
    upright = np.rot90(disc(1), degrees // 90)
    upright = upright[:, ::-1] if mirrored else upright
    clip = open_clip(path)
    assert clip.size == upright.shape[1::-1]
    assert near(pictures(path)[1], upright)


@pytest.mark.parametrize("matrix", [1, 5, 6, None])
def test_colours_come_out_as_they_went_in(tmp_path, matrix):
    """Of a clip that says BT.709 the numbers written stand for the colours by BT.709, and say so."""
    plain = np.full((32, 48, 3), (200, 30, 60), np.uint8)
    tags = {} if matrix is None else {"colorspace": matrix, "color_range": 1}
    path = write_clip(tmp_path / "c.mp4", [plain] * 3, **tags)
    clip = open_clip(path)
    (shown, *_) = pictures(path)
    for name in ("o.mp4", "o.webm"):
        form = format_of(tmp_path / name, False, 10)
        write_segment(tmp_path / name, ((n, shown) for n in range(3)), clip, form)
        with av.open(str(tmp_path / name)) as container:
            frame = next(container.decode(video=0))
        assert int(frame.colorspace) == (matrix or 2)
        assert np.abs(frame.to_ndarray(format="rgb24").astype(int) - shown).max() <= CLOSE


@pytest.mark.parametrize("ending", ["mp4", "mov"])
def test_uneven_times_are_kept_to_the_tick(tmp_path, ending):
    ticks = [0, 1001, 1500, 4004, 4005, 9000, 9999, 12345]
    times = [64_333 + tick for tick in ticks]  # nor does it begin at once, nor at a whole millisecond
    path = write_clip(tmp_path / f"c.{ending}", [disc(n) for n in range(8)], times, Fraction(1, 30000),
                      options={"movie_timescale": "30000"})  # fmt: skip
    clip = open_clip(path)
    form = format_of(path, False, 18)
    parts = []
    for first in (0, 3, 6):
        part = tmp_path / f"{first}.{ending}"
        write_segment(part, ((f.time, f.pixels) for f in list(frames(clip))[first : first + 3]), clip, form)
        parts.append(part)
    assert join(parts, clip, tmp_path / f"o.{ending}") == []
    _, found = read_back(tmp_path / f"o.{ending}")
    assert [time - found[0] for time in found] == [Fraction(tick, 30000) for tick in ticks]


@pytest.mark.parametrize(("size", "pixels"), [((47, 31), "yuv444p"), ((48, 31), "yuv444p"), ((48, 32), "yuv420p")])
def test_odd_sizes_stay_as_they_are(tmp_path, size, pixels):
    clip = open_clip(write_clip(tmp_path / "c.mkv", [disc(n, size) for n in range(3)], codec="ffv1", pixels="bgr0"))
    for name in ("o.mp4", "o.mkv", "o.mov", "o.webm"):
        form = format_of(tmp_path / name, False, 10)
        write_segment(tmp_path / name, ((f.time, f.pixels) for f in frames(clip)), clip, form)
        found, _ = read_back(tmp_path / name)
        assert [frame.shape for frame in found] == [(size[1], size[0], 3)] * 3
        said = form.note(size, tmp_path / name)
        assert (said is None) == (pixels == "yuv420p" or name == "o.webm")


@pytest.mark.parametrize("ending", ["webm", "mkv", "mov"])
@pytest.mark.parametrize("size", [(48, 32), (47, 31)])
def test_transparency_is_kept_through_joining(tmp_path, ending, size):
    clip = open_clip(write_clip(tmp_path / "c.mp4", [disc(n, size) for n in range(4)]))
    form = format_of(tmp_path / f"o.{ending}", True, 10)
    parts = [tmp_path / f"{number}.{ending}" for number in range(2)]
    ramp = np.tile(np.linspace(0, 255, size[0]).astype(np.uint8), (size[1], 1))
    for number, part in enumerate(parts):
        chosen = list(frames(clip))[2 * number :][:2]
        write_segment(part, ((f.time, np.dstack([f.pixels, ramp])) for f in chosen), clip, form)
    join(parts, clip, tmp_path / f"o.{ending}")
    found, _ = read_back(tmp_path / f"o.{ending}", alpha=True)
    assert len(found) == 4
    for frame in found:
        assert np.abs(frame[..., 3].astype(int) - ramp).max() <= CLOSE


def test_sound_is_copied_as_it_is_and_omitted_where_it_cannot_be(tmp_path):
    path = write_clip(tmp_path / "c.mp4", [disc(n) for n in range(10)], sound="aac")
    clip = open_clip(path)
    for name, omitted in (("o.mp4", []), ("o.mov", []), ("o.mkv", []), ("o.webm", ["aac"])):
        form = format_of(tmp_path / name, False, 18)
        write_segment(tmp_path / f"part-{name}", ((f.time, f.pixels) for f in frames(clip)), clip, form)
        assert join([tmp_path / f"part-{name}"], clip, tmp_path / name) == omitted
        if not omitted:
            before, after = sound_of(path), sound_of(tmp_path / name)
            assert [data for _, data in after] == [data for _, data in before]
            _, (begin, *_) = read_back(tmp_path / name)  # Matroska has no times below 0, where AAC's first lie
            late = [one - begin - other for (one, _), (other, _) in zip(after, before, strict=True)]
            assert max(map(abs, late)) <= Fraction(1, 1000)


def test_files_without_times_are_read_at_their_rate(tmp_path):
    path = write_clip(tmp_path / "c.h264", [disc(n) for n in range(6)])
    found = list(frames(open_clip(path)))
    assert [frame.number for frame in found] == list(range(6))
    steps = np.diff([frame.time for frame in found])
    assert (steps == steps[0]).all()


# --- refusals ---


def cut_short(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (75, 32, 48, 3), np.uint8)
    whole = write_clip(path, list(noise), options={"movflags": "faststart"})
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])


def a_playlist(path: Path) -> None:
    write_clip(path.with_name("other.ts"), [disc(0)])
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nother.ts\n#EXT-X-ENDLIST\n")


def a_list_of_files(path: Path) -> None:
    write_clip(path.with_name("other.ts"), [disc(0)])
    path.write_text("ffconcat version 1.0\nfile other.ts\n")


def only_sound(path: Path) -> None:
    with av.open(str(path), "w") as container:
        heard = container.add_stream("aac", rate=48000, layout="mono")
        made = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        made.sample_rate = 48000
        container.mux(heard.encode(made))
        container.mux(heard.encode(None))


def no_frames(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        container.start_encoding()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (cut_short, "it is cut short; copy it again"),
        (a_playlist, "it is no clip of a known format"),
        (a_list_of_files, "it is no clip of a known format"),
        (lambda path: path.write_text("hello\n" * 100), "it is no clip of a known format"),
        (lambda path: path.write_bytes(b""), "the file is empty"),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: None, "no clip at"),
        (only_sound, "holds no moving pictures, only audio"),
        (no_frames, "clip.mp4"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_what_is_no_whole_clip_is_refused_in_a_line(tmp_path, make, said):
    path = tmp_path / "clip.mp4"
    make(path)
    assert said in refused("video", path, "--out", tmp_path / "out" / "o.mp4", "--device", "cpu")
    assert not (tmp_path / "out" / "o.mp4").exists()


def test_a_frame_of_another_size_is_refused_or_omitted(tmp_path):
    parts = [write_clip(tmp_path / f"{n}.ts", [disc(0, (48 + 16 * n, 32))] * 5, pixels="yuv420p") for n in range(2)]
    path = tmp_path / "c.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    with pytest.raises(UserError, match=r"is 48 x 32 pixels, but 64 x 32 from frame 6 on; cut it there"):
        pictures(path)
    assert {frame.shape for frame in pictures(path, whole=False)} == {(32, 48, 3)}


def test_huge_frames_are_refused_before_they_are_decoded(tmp_path, monkeypatch):
    path = write_clip(tmp_path / "c.mp4", [disc(0)])
    monkeypatch.setattr("toolkit.clips.reading._MOST_PIXELS", 48 * 32 - 1)
    with pytest.raises(UserError, match="is 48 x 32 pixels, more than the"):
        open_clip(path)


def test_without_pyav_a_line_says_what_to_install(tmp_path, monkeypatch):
    path = write_clip(tmp_path / "c.mp4", [disc(0)])
    monkeypatch.setitem(sys.modules, "av", None)
    message = refused("video", path, "--out", tmp_path / "o.mp4")
    assert message == "clips need the video extra: pip install 'latent-segmentation-toolkit[video]'"


def test_an_ending_that_cannot_be_see_through_is_refused(tmp_path):
    path = write_clip(tmp_path / "c.mp4", [disc(0)])
    message = refused("video", path, "--out", tmp_path / "o.mp4", "--write", "cutout")
    assert "--write cutout needs --out to end in .webm or .mkv" in message
    assert "its name should end in .mp4, .mov" in refused("video", path, "--out", tmp_path / "o.xyz")


def test_predict_points_to_video(tmp_path):
    path = write_clip(tmp_path / "c.mp4", [disc(0)])
    assert f"try toolkit video {path} --out c_overlay.mp4" in refused("predict", path, "--out", tmp_path / "o")
