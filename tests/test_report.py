"""The report: one page that loads nothing, with its pictures inside and its text as text."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from toolkit import __version__
from toolkit.pictures.animation import write_animation
from toolkit.pictures.report import Report, curve_picture, running_mean

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)


@pytest.fixture
def page(tmp_path):
    report = Report("Directions & <masks>", 'the lead "quoted"')
    section = report.section("First <script>alert(1)</script>")
    section.text("a < b & c").table(["name", "iou"], [["<b>", 0.123456], ["count", 7], ["far", np.float64(2)]])
    section.picture(PIXELS, 'caption "x" <i>', zoom=2.0)
    write_animation(tmp_path / "a.gif", [PIXELS, PIXELS[::-1]], 10)
    report.section("Second").picture_file(tmp_path / "a.gif", "moves", width=40)
    report.write(tmp_path / "report.html")
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def test_nothing_is_loaded_from_outside(page):
    targets = re.findall(r'(?:src|href|srcset|data|action)\s*=\s*["\']([^"\']*)', page)
    assert len(targets) == 4  # two pictures, two links within the page
    assert all(target.startswith(("data:image/", "#")) for target in targets)
    for way in (
        "http://",
        "https://",
        "url(",
        "@import",
        "<script src",
        "fetch(",
        "import(",
        "<link",
        "<iframe",
        "//cdn",
    ):
        assert way not in page


def pictures(page):
    return re.findall(r'<img src="data:([^;]+);base64,([^"]+)"', page)


def test_pictures_are_inside_to_the_last_byte(page, tmp_path):
    (first_type, first), (second_type, second) = pictures(page)
    assert (first_type, second_type) == ("image/png", "image/gif")
    with Image.open(io.BytesIO(base64.b64decode(first))) as image:
        assert np.array_equal(np.array(image), PIXELS)
    assert base64.b64decode(second) == (tmp_path / "a.gif").read_bytes()


def test_pictures_have_their_size_and_caption(page):
    assert 'width="16"' in page
    assert 'width="40"' in page
    assert "<figcaption>moves</figcaption>" in page
    assert 'alt="caption &#34;x&#34; &lt;i&gt;"' in page


def test_text_is_escaped(page):
    assert "<title>Directions &amp; &lt;masks&gt;</title>" in page
    assert "First &lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<p>a &lt; b &amp; c</p>" in page
    assert "<td>&lt;b&gt;</td>" in page


def test_numbers_in_tables(page):
    assert "<td>0.123</td>" in page
    assert "<td>7</td>" in page
    assert "<td>2.000</td>" in page


def test_order_links_and_version(page):
    assert page.index("First") < page.index("a &lt; b") < page.index("<table>") < page.index("<img")
    for number in (1, 2):
        assert f'href="#s{number}"' in page
        assert f'<h2 id="s{number}">' in page
    assert f"toolkit {__version__}" in page


def test_an_empty_report_is_a_page(tmp_path):
    Report("Nothing", "yet").write(tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert text.lstrip().lower().startswith("<!doctype html>")
    assert text.rstrip().endswith("</html>")


def test_curves():
    drawn = curve_picture({"training": ([1, 2, 3], [3.0, 2.0, 1.0])}, "step", "loss")
    assert drawn.dtype == np.uint8
    assert drawn.ndim == 3
    assert drawn.shape[2] == 4
    assert drawn[0, 0, 3] == 0  # clear, for pages of any ground
    assert drawn.std() > 5
    two = curve_picture({"training": ([1, 2], [3, 2]), "held out": ([1, 2], [2, 3])}, "step", "loss")
    assert two.shape == drawn.shape
    assert not np.array_equal(two, drawn)


def test_short_curves_are_drawn_as_they_are_and_long_ones_smoothed_without_a_lag():
    short = [3.0, 1.0, 2.0]
    assert running_mean(short).tolist() == short
    line = np.arange(1000.0)
    np.testing.assert_allclose(running_mean(line), line)
    noisy = line + np.random.default_rng(0).normal(0, 30, 1000)
    middle = slice(20, -20)
    assert np.abs(running_mean(noisy) - line)[middle].mean() < 0.4 * np.abs(noisy - line)[middle].mean()
    assert running_mean([]).tolist() == []


def test_pictures_can_be_enlarged_with_mouse_and_keyboard(page):
    assert page.count('tabindex="0" role="button"') == 2
    assert '<dialog id="large"' in page
