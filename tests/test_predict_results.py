"""What `predict` leaves: pictures of every kind, the table of results, standard streams, what is there already."""

import csv
import io
import json
import re
import sys

import numpy as np
import pytest
from cli_runs import ran, refused
from PIL import Image
from test_cutouts import GREEN, RED, disc_photo, inside
from typer.testing import CliRunner

import toolkit
from cli.app import app
from segmentation.predict.results import Making, PhotoResult, Results, earlier_rows
from segmentation.predict.segmenter import Segmenter
from segmentation.unet.network import UNet
from toolkit.errors import UserError
from toolkit.pictures.any_photo import as_photo
from toolkit.pictures.photos import read_gray, read_photo, write_picture


class RedSegmenter(Segmenter):
    """Says of each pixel how red it is, rising from 0 to 1 over eight pixels of an anti-aliased disc's outline."""

    def _predicted(self, photos, protocol, refine, bf16, judge):
        for key, photo in photos:
            picture = as_photo(photo)
            yield key, picture, ((picture[..., 0] - np.float32(20)) / 200).clip(0, 1), None


@pytest.fixture(autouse=True)
def red(monkeypatch):
    segmenter = RedSegmenter(UNet(width=4), 32)
    monkeypatch.setattr(Segmenter, "load", lambda name: segmenter)
    return segmenter


@pytest.fixture
def photos(tmp_path):
    """A disc, one that fills its photo, and a photo of the ground alone."""
    write_picture(tmp_path / "in" / "disc.png", disc_photo(inside()))
    write_picture(tmp_path / "in" / "sub" / "full.png", np.full((20, 30, 3), RED, np.uint8))
    write_picture(tmp_path / "in" / "sub" / "none.png", np.full((30, 20, 3), GREEN, np.uint8))
    return tmp_path / "in"


def rows_in(folder):
    return list(csv.DictReader(io.StringIO((folder / "result.csv").read_text(encoding="utf-8"), newline="")))


def summary_in(folder):
    return json.loads((folder / "result.json").read_text(encoding="utf-8"))


def test_every_kind_is_written_in_the_tree_of_the_photos(photos, tmp_path):
    out = tmp_path / "out"
    printed = ran("predict", photos, "--out", out, "--write", "mask,soft,overlay,cutout,composite", "--background",
                  "#0000ff")  # fmt: skip
    assert "wrote 15 pictures (mask, soft, overlay, cutout, composite), result.csv and result.json" in printed
    assert len(list(out.rglob("*.png"))) == 15
    cut = np.asarray(Image.open(out / "disc_cutout.png"))
    assert cut.shape == (90, 120, 4)
    assert (cut[inside() >= 1.5] == [*RED, 255]).all()
    assert (cut[inside() <= -1.5] == 0).all()
    assert (cut[cut[..., 3] > 0][:, :3] == RED).mean() > 0.97
    assert np.array_equal(cut[..., 3] >= 128, read_gray(out / "disc_mask.png") == 255)
    composite = read_photo(out / "disc_composite.png")
    assert (composite[inside() >= 1.5] == RED).all()
    assert (composite[inside() <= -1.5] == [0, 0, 255]).all()
    assert not (read_photo(out / "sub" / "full_composite.png") != RED).any()
    assert (read_photo(out / "sub" / "none_composite.png") == [0, 0, 255]).all()


def test_the_table_has_a_row_a_photo_with_what_is_known_of_it(photos, tmp_path):
    printed = ran("predict", photos, "--out", tmp_path / "out", "--write", "mask", "--segmenter", "red")
    disc, full, none = rows_in(tmp_path / "out")
    assert [row["photo"] for row in (disc, full, none)] == ["disc.png", "sub/full.png", "sub/none.png"]
    mask = read_gray(tmp_path / "out" / "disc_mask.png") == 255
    assert float(disc["area"]) == pytest.approx(mask.mean(), abs=1e-6)
    assert float(disc["area"]) == pytest.approx(np.pi * 30**2 / (90 * 120), rel=0.02)
    assert 0.97 < float(disc["confidence"]) < 1
    assert (disc["width"], disc["height"]) == ("120", "90")
    assert [int(disc[name]) for name in ("x0", "y0", "x1", "y1")] == [30, 15, 91, 76]
    assert disc["note"] == ""
    assert [full[name] for name in ("area", "confidence", "x0", "x1", "y1", "note")] == [
        *("1.000000", "1.000000", "0", "30", "20", "nearly everything")
    ]
    assert [none[name] for name in ("area", "x0", "y0", "x1", "y1", "note")] == ["0.000000", *[""] * 4, "empty"]
    assert "1 of 3 masks is empty: sub/none.png" in printed
    assert "1 of 3 masks covers nearly everything: sub/full.png" in printed
    summary = summary_in(tmp_path / "out")
    assert {name: summary[name] for name in ("segmenter", "threshold", "refine", "photos", "empty", "left_out")} == {
        "segmenter": "red", "threshold": 0.5, "refine": False, "photos": 3, "empty": 1, "left_out": 0,
    }  # fmt: skip
    odd = {"empty": ["sub/none.png"], "nearly_everything": ["sub/full.png"]}
    assert summary["named"] == {**odd, "unlike": [], "left_out": {}}
    assert list(summary["columns"]) == list(disc)


def test_measures_are_the_same_in_strips(monkeypatch):
    from toolkit.pictures import cutouts

    probability = np.random.default_rng(0).random((37, 20), np.float32)
    probability[:5] = probability[:, 17:] = 0
    whole = PhotoResult.of(probability, 0.6)
    assert whole.area == (probability >= 0.6).mean()
    assert whole.confidence == pytest.approx(np.maximum(probability, 1 - probability).mean(), abs=1e-6)
    assert whole.box[1::2] == (5, 37)
    monkeypatch.setattr(cutouts, "_STRIP_PIXELS", 60)
    strips = PhotoResult.of(probability, 0.6)
    assert (strips.area, strips.box) == (whole.area, whole.box)
    assert strips.confidence == pytest.approx(whole.confidence, abs=1e-12)


NAMES = ["=1+1.png", "+a", "-a", "@a.png", "\ta.png", "\ra.png", "'a.png", "'=a.png", 'a,"b"\nc.png', "＝a.png"]


def test_no_name_becomes_a_formula_and_every_one_is_read_back(tmp_path):
    row = PhotoResult(3, 2, 0.5, 0.75, (0, 0, 3, 1))
    results = Results(Making("a", "b", 0.5, False), NAMES, dict.fromkeys(NAMES, row))
    results.save(tmp_path)
    assert all(cells["photo"][0] in "'a\\" for cells in rows_in(tmp_path))
    assert earlier_rows(tmp_path, results.making) == results.rows


def test_many_odd_masks_are_named_by_the_first_few_and_a_count():
    names = [f"{number}.png" for number in range(8)]
    results = Results(Making("a", "b", 0.5, False), names, dict.fromkeys(names, PhotoResult(3, 2, 0, 1, None)))
    assert results.lines() == ["8 of 8 masks are empty: 0.png, 1.png, 2.png, 3.png, 4.png and 3 more (see result.json)"]


def test_photos_whose_results_are_there_are_skipped_and_keep_their_rows(photos, tmp_path):
    out = tmp_path / "out"
    ran("predict", photos, "--out", out, "--write", "mask")
    rows, written = rows_in(out), (out / "disc_mask.png").stat().st_mtime_ns
    (out / "sub" / "full_mask.png").unlink()
    write_picture(photos / "new.png", disc_photo(inside((40, 50), 10)))
    printed = ran("predict", photos, "--out", out, "--write", "mask", "--skip-existing")
    assert "skipped 2 photos whose pictures and results are there" in printed
    assert "wrote 2 pictures (mask)" in printed
    assert (out / "disc_mask.png").stat().st_mtime_ns == written
    found = rows_in(out)
    assert [row["photo"] for row in found] == ["disc.png", "new.png", "sub/full.png", "sub/none.png"]
    assert [row for row in found if row["photo"] != "new.png"] == rows
    again = ran("predict", photos, "--out", out, "--write", "mask", "--skip-existing")
    assert "skipped 4 photos" in again
    assert "wrote 0 pictures" in again
    assert "skipped" not in ran("predict", photos, "--out", out, "--write", "mask,soft", "--skip-existing")
    (out / "result.csv").unlink()  # then the pictures may be of any segmenter
    assert "skipped" not in ran("predict", photos, "--out", out, "--write", "mask", "--skip-existing")


def test_results_made_in_another_way_are_not_mixed_with_new_ones(photos, tmp_path):
    arguments = ("predict", photos, "--out", tmp_path / "out", "--write", "composite")
    ran(*arguments)
    message = refused(*arguments, "--skip-existing", "--threshold", "0.7")
    assert "are of --threshold 0.5, not 0.7; repeat it, or choose another --out" in message
    assert "--background white, not red" in refused(*arguments, "--skip-existing", "--background", "red")
    ran(*arguments, "--threshold", "0.7")  # all anew
    assert summary_in(tmp_path / "out")["threshold"] == 0.7


def test_results_of_another_segmenter_are_not_mixed_with_new_ones(photos, tmp_path, monkeypatch):
    arguments = ("predict", photos, "--out", tmp_path / "out", "--write", "mask", "--segmenter")
    ran(*arguments, "a")
    monkeypatch.setattr(RedSegmenter, "digest", lambda self: "another")
    assert "--segmenter a (" in refused(*arguments, "b", "--skip-existing")


def test_what_is_no_table_of_ours_is_neither_read_nor_replaced(photos, tmp_path):
    out = tmp_path / "out"
    ran("predict", photos, "--out", out, "--write", "mask")
    (out / "result.csv").write_text("photo,width\ndisc.png,many\n")
    message = refused("predict", photos, "--out", out, "--write", "mask", "--skip-existing")
    assert "result.csv is no table of predict from line 2 on; delete it to make the results again" in message
    (out / "result.json").write_text('{"steps": 5}')
    assert "holds the result.json of another command" in refused("predict", photos, "--out", out)
    assert json.loads((out / "result.json").read_text()) == {"steps": 5}


def test_a_broken_photo_ends_the_work_unless_it_may_be_left_out(photos, tmp_path):
    (photos / "zz.png").write_text("no photo")
    assert "zz.png" in refused("predict", photos, "--out", tmp_path / "out", "--write", "mask")
    written = sorted((tmp_path / "out").rglob("*_mask.png"))
    assert len(written) == len(list(photos.rglob("*.png"))) - 1 > 1
    assert len(rows_in(tmp_path / "out")) == len(written)  # so that --skip-existing goes on from there
    printed = ran("predict", photos, "--out", tmp_path / "out", "--write", "mask", "--skip-existing",
                  "--skip-unreadable")  # fmt: skip
    assert "left out: cannot read the photo" in printed
    assert list(summary_in(tmp_path / "out")["named"]["left_out"]) == ["zz.png"]


def piped(*arguments, content=b""):
    """Return the exit status, standard output and standard error of a command that is given `content`."""
    done = CliRunner().invoke(app, [str(word) for word in arguments], input=content, catch_exceptions=False)
    return done.exit_code, done.stdout_bytes, done.stderr


def test_one_photo_goes_from_stdin_to_stdout(photos, tmp_path):
    content = (photos / "disc.png").read_bytes()
    ran("predict", photos / "disc.png", "--out", tmp_path / "out", "--write", "cutout")
    expected = (tmp_path / "out" / "disc_cutout.png").read_bytes()
    assert piped("predict", "-", "--write", "cutout", "--out", "-", content=content) == (0, expected, "")
    assert piped("predict", photos / "disc.png", "--write", "cutout", "--out", "-") == (0, expected, "")
    code, found, said = piped("predict", photos / "sub" / "none.png", "--write", "mask", "--out", "-")
    assert (code, said) == (0, "the mask is empty\n")
    assert not np.asarray(Image.open(io.BytesIO(found))).any()
    code, _, _ = piped("predict", "-", "--write", "cutout", "--out", tmp_path / "in-folder", content=content)
    assert code == 0
    assert (tmp_path / "in-folder" / "stdin_cutout.png").read_bytes() == expected
    assert [row["photo"] for row in rows_in(tmp_path / "in-folder")] == ["stdin"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-", "--out", "-"), "--out - writes one picture, but --write asks for mask, soft, overlay; choose one, .*"),
        (("IN", "--out", "-", "--write", "mask"), "--out - writes one picture, but .* is a folder; name a folder"),
        (("-", "IN", "--out", "o"), "- stands for one photo, but 2 are named; predict it apart"),
        (("-", "--out", "o", "--skip-existing"), "--skip-existing cannot know what comes or goes through -; omit it"),
        (("-", "--out", "o", "--processes", 2), "--processes shares photos, and - stands for one; omit the flag"),
        (("-", "--out", "o"), "standard input is empty; pipe a photo in, or use < photo.jpg"),
        (("IN", "--out", "o", "--background", "red"), "--background is what composites lie on; add composite .*"),
        (("IN", "--out", "o", "--write", "composite", "--background", "whit"), "--background is 'whit', neither .*"),
        (
            ("IN", "--out", "o", "--write", "cutouts"),
            "--write is 'cutouts'; choose from mask, soft, overlay, .*",
        ),
        (("https://example.org/a.jpg", "--out", "o"), "https:/example.org/a.jpg is an address, and no photo .*"),
    ],
)
def test_what_does_not_go_together_is_refused_in_one_line(words, message, photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = refused("predict", *(photos if word == "IN" else word for word in words))
    assert re.fullmatch(message, found), found
    assert not (tmp_path / "o").exists()


def test_what_is_piped_in_and_no_photo_is_refused_with_nothing_on_stdout():
    code, found, said = piped("predict", "-", "--write", "mask", "--out", "-", content=b"%PDF-1.7")
    assert (code, found) == (2, b"")
    assert re.fullmatch(r"error: cannot read the photo of 8 bytes .*it is a PDF: convert it to JPEG or PNG\n", said)


def test_a_terminal_is_neither_read_nor_written(monkeypatch):
    from cli.inputs import standard_streams

    for stream, check in (("stdin", "photo_from_stdin"), ("stdout", "require_stdout_takes_files")):
        monkeypatch.setattr(sys, stream, type("Terminal", (), {"isatty": lambda self: True})())
        with pytest.raises(UserError, match="which is a terminal"):
            getattr(standard_streams, check)()


def test_the_library_cuts_out_what_the_command_does(photos, tmp_path, red):
    file = photos / "disc.png"
    ran("predict", file, "--out", tmp_path / "out", "--write", "cutout,composite", "--background", "blur")
    expected = np.asarray(Image.open(tmp_path / "out" / "disc_cutout.png"))
    for photo in (file, str(file), file.read_bytes(), Image.open(file), read_photo(file)):
        cut = toolkit.cutout(photo, red)
        assert cut.mode == "RGBA"
        assert np.array_equal(cut, expected)
    assert np.array_equal(next(toolkit.predict(file, red)).cutout(), expected)
    composite = toolkit.cutout(file, red, background="blur")
    assert composite.mode == "RGB"
    assert np.array_equal(composite, Image.open(tmp_path / "out" / "disc_composite.png"))
    on_itself = toolkit.cutout(file, red, background=read_photo(file))
    assert np.abs(np.asarray(on_itself).astype(int) - read_photo(file))[np.abs(inside()) > 2].max() <= 1


@pytest.mark.parametrize("verb", ["mask", "cutout"])
def test_an_address_is_no_photo(verb, red):
    with pytest.raises(toolkit.UserError, match=r"^https://a.b/c.jpg is an address, and no photo is downloaded here; "):
        getattr(toolkit, verb)("https://a.b/c.jpg", red)
