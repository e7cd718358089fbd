"""The page of `toolkit browse` in a browser without a screen, on what is shipped."""

import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from toolkit.directions import Choice, DirectionSet

playwright_api = pytest.importorskip("playwright.sync_api")
expect = playwright_api.expect
expect.set_options(timeout=30_000)
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
BROWSER = next(filter(None, map(shutil.which, _NAMES)), None)
pytestmark = pytest.mark.skipif(
    BROWSER is None or sys.platform == "win32", reason="needs Chromium or Chrome, and POSIX signals"
)
PHOTO = Path(__file__).parent.parent / "assets" / "photos" / "flower.jpg"


@contextmanager
def browsing(folder: Path, *arguments: object):
    """Run the command and yield its address; end it with Ctrl-C, which has to be in good order."""
    command = [sys.executable, "-c", "from cli.app import main; main()", "browse", *map(str, arguments)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(PHOTO.parent.parent.parent)}
    with subprocess.Popen(
        [*command, "--no-open", "--port", "0", "--device", "cpu"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            found = re.search(r"http://127\.0\.0\.1:\d+", line)
            assert found, line + process.stdout.read()
            yield found[0]
        finally:
            process.send_signal(signal.SIGINT)
            said = process.stdout.read()
    assert (process.returncode, said) == (0, "ended\n")


@pytest.fixture(scope="module")
def chromium():
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def page_at(chromium, address: str, **options: object):
    """Open the page; at its end nothing may have gone wrong, and nothing been asked of another machine."""
    page = chromium.new_page(viewport={"width": 1300, "height": 850}, **options)
    troubles: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: troubles.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    page.wait_for_selector("#shifted[src]")
    yield page
    page.close()
    assert not troubles
    # blob: and data: addresses name what the page itself holds
    assert {url.split("/")[2] for url in asked if url.startswith("http")} == {address.removeprefix("http://")}
    assert all(url.startswith((f"{address}/", f"blob:{address}/", "data:image/")) for url in asked)


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    with browsing(tmp_path_factory.mktemp("shipped")) as address:
        yield address


@pytest.fixture
def page(chromium, shipped):
    with page_at(chromium, shipped) as opened:
        yield opened


def picture(page) -> str:
    """Return the selected direction's picture as an address that holds its pixels."""
    return page.evaluate(
        """async () => {
            const image = document.getElementById("shifted"), canvas = document.createElement("canvas");
            await image.decode();
            [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
            canvas.getContext("2d").drawImage(image, 0, 0);
            return canvas.toDataURL();
        }"""
    )


def settled_picture(page) -> str:
    page.locator("#twins:not(.pending)").wait_for()
    return picture(page)


def changed_picture(page, act) -> str:
    """Return the picture after `act` has led to another one."""
    before = page.get_attribute("#shifted", "src")
    act()
    expect(page.locator("#shifted")).not_to_have_attribute("src", before)
    return settled_picture(page)


def slide(page, slider: str, value: float) -> None:
    page.locator(slider).fill(str(value))


def has_strip(page, row) -> bool:
    return row.locator("img[src]").count() == 1


def test_the_page_shows_all_directions_and_the_chosen_one(page):
    assert page.locator("#list .row").count() == 64
    assert page.inner_text("#number") == "25"
    assert page.locator("#list .badge:visible").count() == 1
    assert page.inner_text("#count") == "64 directions"


def test_strips_are_drawn_when_they_come_into_sight(page):
    first, last = page.locator("#list .row").first, page.locator("#list .row").last
    first.locator("img[src]").wait_for()
    assert not has_strip(page, last)
    last.scroll_into_view_if_needed()
    last.locator("img[src]").wait_for()


@pytest.mark.parametrize("slider", ["#alpha", "#seed"])
def test_a_slider_changes_the_picture(page, slider):
    before = picture(page)
    assert changed_picture(page, lambda: slide(page, slider, 3)) != before


def test_the_newest_place_of_a_slider_is_what_is_shown(page):
    shown = changed_picture(page, lambda: slide(page, "#alpha", -7.5))
    for value in (1, 2, 3, 4, 5, 6, -7.5):
        slide(page, "#alpha", value)
    assert settled_picture(page) == shown


def test_the_reach_redraws_the_strips_in_sight(page):
    strip = page.locator("#list .row img").first
    page.locator("#list .row img[src]").first.wait_for()
    before = strip.get_attribute("src")
    slide(page, "#reach", 2)
    expect(strip).not_to_have_attribute("src", before)


def test_mask_rule_and_second_direction_change_the_picture(page):
    seen = [picture(page)]
    seen.append(changed_picture(page, lambda: page.select_option("#rule", "light-dark")))
    seen.append(changed_picture(page, lambda: page.uncheck("#mask")))
    page.select_option("#second", "39")
    seen.append(changed_picture(page, lambda: slide(page, "#second-alpha", 5)))
    assert len(set(seen)) == len(seen)


def test_finding_and_sorting(page):
    numbers = page.locator("#list .index")
    page.fill("#find", "39")
    assert numbers.all_text_contents() == ["39"]
    assert page.inner_text("#count") == "1 of 64 directions"
    page.fill("#find", "")
    page.select_option("#sort", "number")
    assert numbers.all_text_contents()[:3] == ["0", "1", "2"]
    page.click("#order")
    assert numbers.first.text_content() == "63"


def test_the_list_is_used_by_keys_alone(page):
    page.focus("#find")
    for _ in range(4):  # sorting, its order, reach, seed
        page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    focused = "document.activeElement.dataset.index"
    assert page.evaluate(focused) == "25"
    page.keyboard.press("ArrowDown")
    below = page.evaluate(focused)
    assert below != "25"
    assert page.inner_text("#number") == "25"
    changed_picture(page, lambda: page.keyboard.press("Enter"))
    assert page.inner_text("#number") == below
    assert page.locator("[aria-selected=true]").get_attribute("data-index") == below
    page.keyboard.press("End")
    assert page.evaluate(f"document.activeElement === document.querySelector('#list').lastElementChild && {focused}")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"


def test_a_click_on_a_frame_takes_its_alpha(page):
    row = page.locator("#list .row").nth(2)
    strip = row.locator(".strip").bounding_box()
    row.locator(".strip").click(position={"x": 2, "y": strip["height"] / 2})
    assert page.inner_text("#number") == row.locator(".index").inner_text()
    assert page.input_value("#alpha") == "-6"


def test_a_photo_comes_back_with_its_mask(page):
    page.click("text=Try a photo")
    page.set_input_files("#file", PHOTO)
    page.wait_for_selector("#found-mask[src]")
    sources = {kind: page.get_attribute(f"#found-{kind}", "src") for kind in ("photo", "mask", "soft")}
    assert len(set(sources.values())) == 3
    share = int(re.findall(r"\d+", page.inner_text("#share"))[0])
    assert 15 < share < 40
    assert "toolkit predict flower.jpg --segmenter flowers64" in page.inner_text("#status")


def test_the_page_fits_a_phone(chromium, shipped):
    with page_at(chromium, shipped) as opened:
        opened.set_viewport_size({"width": 360, "height": 740})
        assert opened.evaluate("document.documentElement.scrollWidth") <= 360
        opened.locator("#list .row").nth(5).click()
        opened.click("text=Back to the list")
        assert opened.locator("#list .row").nth(5).evaluate("row => row === document.activeElement")


def test_dark_is_dark(chromium, shipped):
    with page_at(chromium, shipped, color_scheme="dark") as opened:
        assert opened.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(16, 19, 24)"


def test_a_refusal_is_one_line_on_the_page(chromium, shipped, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_text("no picture")
    opened = chromium.new_page()
    opened.goto(shipped)
    opened.wait_for_selector("#shifted[src]")
    opened.click("text=Try a photo")
    opened.set_input_files("#file", broken)
    opened.wait_for_selector("#status.wrong")
    assert opened.inner_text("#status").startswith("cannot read the photo broken.png (")
    opened.close()


def test_a_shipped_set_is_copied_named_and_chosen_and_found_again(chromium, tmp_path):
    copy = tmp_path / "flowers64-directions"
    with browsing(tmp_path) as address, page_at(chromium, address) as page:
        assert page.is_disabled("#choose")
        page.click("#copy")
        page.fill("#new-name", "darker ground")
        page.keyboard.press("Enter")
        expect(page.locator("#name")).to_have_text("darker_ground")
        slide(page, "#alpha", -3.5)
        page.click("#choose")
        expect(page.locator("#status")).to_contain_text("chose darker_ground, -3.50")
        assert "toolkit segment flowers64-directions" in page.inner_text("#status")
    assert DirectionSet.load(copy).choice == Choice(25, -1, 3.5, mask_rule="mean_thr")
    assert (copy / "human_annotation.txt").read_text() == "25: darker_ground\n"
    with browsing(tmp_path, "flowers64-directions") as address, page_at(chromium, address) as page:
        assert page.inner_text("#name") == "darker_ground"
        assert page.input_value("#alpha") == "-3.5"
        page.fill("#find", "darker")
        assert page.locator("#list .row").count() == 1
