"""The page of `toolkit browse` in a browser without a screen, on what is shipped."""

import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import small_stylegan2
import torch

import toolkit
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


ALPHA = "#alpha-25"  # the slider of the chosen direction
TYPED = "#sliders input[type=number]"


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


@pytest.mark.parametrize("slider", [ALPHA, "#seed", "#images"])
def test_a_number_changes_the_picture(page, slider):
    before = picture(page)
    assert changed_picture(page, lambda: slide(page, slider, 3)) != before


def test_the_newest_place_of_a_slider_is_what_is_shown(page):
    shown = changed_picture(page, lambda: slide(page, ALPHA, -7.5))
    for value in (1, 2, 3, 4, 5, 6, -7.5):
        slide(page, ALPHA, value)
    assert settled_picture(page) == shown


def test_a_slider_and_the_number_beside_it_are_one(page):
    number = page.locator(TYPED)
    slide(page, ALPHA, -7.5)
    assert number.input_value() == "-7.5"
    shown = changed_picture(page, lambda: number.fill("2.25"))  # between two places of the slider
    assert page.input_value(ALPHA) in ("2.2", "2.3")
    assert "at +2.25" in page.get_attribute("#shifted", "alt")
    assert changed_picture(page, lambda: number.fill("20")) != shown  # beyond the slider's end, which moves
    assert page.input_value(ALPHA) == "20"
    slide(page, "#reach", 3)
    assert page.input_value("#reach-number") == "3"


@pytest.mark.parametrize(
    ("field", "wrong", "kept"), [(TYPED, "101", "6"), (TYPED, "", "6"), ("#seed", "1.5", "0"), ("#images", "9", "5")]
)
def test_a_number_that_cannot_be_is_marked_and_gives_way(page, field, wrong, kept):
    before = page.get_attribute("#shifted", "src")
    page.fill(field, wrong)
    assert page.get_attribute(field, "aria-invalid") == "true"
    page.focus("#find")
    assert page.input_value(field) == kept
    assert page.get_attribute(field, "aria-invalid") is None
    assert page.get_attribute("#shifted", "src") == before


def test_any_seed_can_be_typed(page):
    seen = [changed_picture(page, partial(page.fill, "#seed", str(seed))) for seed in (2**31 - 1, 123456)]
    seen.append(changed_picture(page, lambda: page.click("#another")))
    assert len(set(seen)) == 3
    assert page.input_value("#seed") not in ("0", "123456")


def test_the_reach_redraws_the_strips_in_sight(page):
    strip = page.locator("#list .row img").first
    page.locator("#list .row img[src]").first.wait_for()
    before = strip.get_attribute("src")
    slide(page, "#reach", 2)
    expect(strip).not_to_have_attribute("src", before)


def test_mask_rule_and_more_directions_change_the_picture(page):
    seen = [picture(page)]
    seen.append(changed_picture(page, lambda: page.select_option("#rule", "light-dark")))
    seen.append(changed_picture(page, lambda: page.uncheck("#mask")))
    assert page.is_disabled("[data-save=mask]")
    for number in ("39", "5"):
        seen.append(changed_picture(page, partial(page.select_option, "#add", number)))
    seen.append(changed_picture(page, lambda: slide(page, "#alpha-39", 5)))
    assert len(set(seen)) == len(seen)
    assert page.locator(".slider").count() == 3
    back = [changed_picture(page, partial(page.click, f"[aria-label='Remove direction {n}']")) for n in ("39", "5")]
    assert back[-1] == seen[2]
    assert page.locator(".slider").count() == 1


def test_rows_are_added_and_removed_and_change_places(page):
    row = page.locator("#list .row").nth(3)
    number = row.locator(".index").inner_text()
    changed_picture(page, lambda: row.locator(".plus").click())
    assert page.inner_text("#number") == "25"  # still the selected one
    assert page.locator(".slider").count() == 2
    both = settled_picture(page)
    row.locator(".who").click()
    assert page.inner_text("#number") == number
    labels = page.locator(".slider label").all_inner_texts()
    assert [label.split()[0] for label in labels] == [number, "25"]
    assert settled_picture(page) == both  # the same sum
    changed_picture(page, lambda: page.locator("#list [data-index='25'] .plus").click())
    assert page.locator(".slider").count() == 1


def test_no_more_directions_than_the_server_takes(page):
    for number in (1, 2, 3, 4, 5, 6, 7):
        page.select_option("#add", str(number))
    assert page.locator(".slider").count() == 8
    assert page.is_disabled("#add")
    page.locator("#list .row .plus:visible").last.click()
    expect(page.locator("#status.wrong")).to_contain_text("8 directions are moved along, which is the most")
    assert page.locator(".slider").count() == 8


@pytest.mark.parametrize(("kind", "start"), [("picture", b"\x89PNG"), ("mask", b"\x89PNG"), ("animation", b"GIF89a")])
def test_what_is_shown_is_saved(page, kind, start):
    page.select_option("#add", "39")
    page.locator(TYPED).nth(1).fill("2.5")
    with page.expect_download() as saving:
        page.click(f"[data-save={kind}]")
    ending = "gif" if kind == "animation" else "png"
    assert saving.value.suggested_filename == f"seed0_direction_25+6_39+2.5_{kind}.{ending}"
    assert Path(saving.value.path()).read_bytes().startswith(start)
    expect(page.locator("#status")).to_contain_text(f"saved {saving.value.suggested_filename}")


def dropped(page, photo: Path) -> None:
    """Drop a photo on the page, as from a folder of files."""
    content = list(photo.read_bytes())
    transfer = page.evaluate_handle(
        """([content, name]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(content)], name, { type: "image/jpeg" }));
            return transfer;
        }""",
        [content, photo.name],
    )
    page.dispatch_event("#list", "dragover", {"dataTransfer": transfer})
    page.dispatch_event("#list", "drop", {"dataTransfer": transfer})


def test_a_photo_is_moved_by_the_sliders(page):
    page.locator("#list .row img[src]").first.wait_for()
    strip = page.get_attribute("#list .row img >> nth=0", "src")
    of_seed = picture(page)
    seen = [changed_picture(page, lambda: dropped(page, PHOTO))]
    assert page.inner_text("#held-name") == "flower.jpg"
    assert page.locator(".labels span").all_inner_texts() == ["photo", "before", "after", "mask"]
    expect(page.locator("#list .row img").first).not_to_have_attribute("src", strip)
    error = float(page.inner_text("#error").split()[1])
    seen.append(changed_picture(page, lambda: slide(page, ALPHA, -4)))
    page.fill("#steps", "20")
    seen.append(changed_picture(page, lambda: page.press("#steps", "Enter")))
    assert page.inner_text("#error").endswith("after 20 steps")
    assert float(page.inner_text("#error").split()[1]) < error
    with page.expect_download() as saving:
        page.click("[data-save=picture]")
    assert saving.value.suggested_filename == "photo_direction_25-4_picture.png"
    changed_picture(page, lambda: page.click("#let-go"))
    assert changed_picture(page, lambda: slide(page, ALPHA, 6)) == of_seed
    assert len({*seen, of_seed}) == 4


def test_every_control_has_a_name(page):
    page.select_option("#add", "39")
    page.set_input_files("#own-file", PHOTO)
    page.wait_for_selector("#held:visible")
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select")].filter((control) =>
            !control.closest("[hidden]") && !control.getAttribute("aria-label")
            && ![...(control.labels ?? [])].some((label) => label.innerText.trim())
            && !(control.tagName === "BUTTON" && control.innerText.trim())).map((control) => control.outerHTML)"""
    )
    assert nameless == []


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
    for _ in range(4):  # sorting, its order, reach, its number
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
    page.keyboard.press("ArrowDown")
    changed_picture(page, lambda: page.keyboard.press("+"))
    assert page.locator(".slider").count() == 2
    page.keyboard.press("End")
    assert page.evaluate(f"document.activeElement === document.querySelector('#list').lastElementChild && {focused}")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"


def test_a_click_on_a_frame_takes_its_alpha(page):
    row = page.locator("#list .row").nth(2)
    strip = row.locator(".strip").bounding_box()
    row.locator(".strip").click(position={"x": 2, "y": strip["height"] / 2})
    assert page.inner_text("#number") == row.locator(".index").inner_text()
    assert page.input_value(TYPED) == "-6"


def test_a_photo_comes_back_with_its_mask(page):
    page.click("text=Segment a photo")
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
        opened.set_input_files("#own-file", PHOTO)
        opened.wait_for_selector("#held:visible")
        for number in ("39", "5"):
            opened.select_option("#add", number)
        assert opened.evaluate("document.documentElement.scrollWidth") <= 360
        top = "document.getElementById('{}').getBoundingClientRect().top"
        assert opened.evaluate(f"{top.format('detail')} < {top.format('list')}")
        opened.focus("#back")  # the detail comes first to the keyboard too
        assert (
            opened.evaluate("document.activeElement.compareDocumentPosition(document.getElementById('find'))") & 4
        )  # Node.DOCUMENT_POSITION_FOLLOWING
        opened.locator("#list .row").nth(5).click()
        opened.click("#back")
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
    opened.click("text=Segment a photo")
    opened.set_input_files("#file", broken)
    opened.wait_for_selector("#status.wrong")
    assert opened.inner_text("#status").startswith("cannot read the photo broken.png (")
    opened.close()


def test_sliders_say_how_many_deviations_where_the_set_records_them(chromium, tmp_path):
    scores = {"sigma": [0.5, 2.0], "centre": [0.0, 0.0]}
    DirectionSet(torch.eye(2, 16), "scene", "ganspace", scores=scores).save(tmp_path / "d.safetensors")
    with browsing(tmp_path, "d.safetensors") as address, page_at(chromium, address) as page:
        assert page.locator(".slider label").inner_text() == "0 · +2 σ"
        changed_picture(page, lambda: slide(page, "#alpha-0", -0.7))
        assert page.locator(".slider label").inner_text() == "0 · -1.4 σ"


def test_a_shipped_set_is_copied_named_and_chosen_and_found_again(chromium, tmp_path):
    copy = tmp_path / "flowers64-directions"
    with browsing(tmp_path) as address, page_at(chromium, address) as page:
        assert page.is_disabled("#choose")
        page.click("#copy")
        page.fill("#new-name", "darker ground")
        page.keyboard.press("Enter")
        expect(page.locator("#name")).to_have_text("darker_ground")
        assert page.locator(".slider label").inner_text() == "25 darker_ground"
        slide(page, ALPHA, -3.5)
        page.click("#choose")
        expect(page.locator("#status")).to_contain_text("chose darker_ground, -3.50")
        assert "toolkit segment flowers64-directions" in page.inner_text("#status")
    assert DirectionSet.load(copy).choice == Choice(25, -1, 3.5, mask_rule="mean_thr")
    assert (copy / "human_annotation.txt").read_text() == "25: darker_ground\n"
    with browsing(tmp_path, "flowers64-directions") as address, page_at(chromium, address) as page:
        assert page.inner_text("#name") == "darker_ground"
        assert page.input_value(TYPED) == "-3.5"
        page.fill("#find", "darker")
        assert page.locator("#list .row").count() == 1


@pytest.fixture(scope="module")
def styled(tmp_path_factory):
    """The address of a page on a StyleGAN2, its set of three directions moving layers 0 to 3."""
    folder = tmp_path_factory.mktemp("styled")
    small_stylegan2.write(folder / "tiny.pt")
    found = toolkit.discover(folder / "tiny.pt", "random", directions=3, layers="0-3", device="cpu")
    found.save(folder / "set" / "directions.safetensors")
    with browsing(folder, "set") as address:
        yield address


def test_each_slider_has_its_layers(chromium, styled):
    with page_at(chromium, styled) as page:
        field = page.locator(".slider .layers")
        assert field.input_value() == "0-3"
        shown = changed_picture(page, lambda: field.fill("6"))
        assert changed_picture(page, lambda: field.fill("6,7")) != shown
        before = page.get_attribute("#shifted", "src")
        for wrong in ("8", "6,", "3-1", "x", ""):
            field.fill(wrong)
            assert field.get_attribute("aria-invalid") == "true"
        page.focus("#find")
        assert field.input_value() == "6,7"
        assert page.get_attribute("#shifted", "src") == before
        added = changed_picture(page, partial(page.select_option, "#add", "2"))
        assert page.locator(".slider .layers").nth(1).input_value() == "0-3"
        assert changed_picture(page, partial(page.locator(".slider .layers").nth(1).fill, "all")) != added
        page.click("#choose")
        expect(page.locator("#status")).to_contain_text("at layers 6-7")


def test_truncation_and_mixed_styles_are_live(chromium, styled):
    with page_at(chromium, styled) as page:
        assert page.input_value("#psi-number") == "1"
        strip = page.locator("#list .row img").first
        page.locator("#list .row img[src]").first.wait_for()
        before = strip.get_attribute("src")
        half = changed_picture(page, lambda: slide(page, "#psi", 0.5))
        assert page.input_value("#psi-number") == "0.5"
        expect(strip).not_to_have_attribute("src", before)
        mixed = changed_picture(page, partial(page.fill, "#mix", "0-5"))
        assert mixed != half
        assert changed_picture(page, partial(page.fill, "#donor", "7")) != mixed
        assert changed_picture(page, partial(page.fill, "#mix", "")) == half


def test_what_styles_alone_have_is_hidden_for_other_generators(page):
    for hidden in ("#truncation", "#mixing", "#heads", ".slider .layers"):
        assert page.locator(hidden).is_hidden()
