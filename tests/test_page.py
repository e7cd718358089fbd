"""The page of a discovery run says what is true after its set was named, ranked or chosen from."""

import json

import pytest

from discovery.page import refresh_page
from tests.cli_runs import DISCOVER, ran


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page") / "run"
    ran("discover", "--generator", "scene", "--out", folder, *DISCOVER)
    return folder


def test_a_page_is_written_again_as_it_was(run):
    before = (run / "report.html").read_bytes()
    assert refresh_page(run)
    assert (run / "report.html").read_bytes() == before


def test_the_page_follows_a_name_a_choice_and_a_ranking(run):
    page = run / "report.html"
    assert f"Next: toolkit pick {run} ranks them" in page.read_text()
    ran("label", run, 2, "dark_ground")
    assert "dark_ground" in page.read_text()
    ran("pick", run, "--direction", "dark_ground", "--alpha", -2)
    text = page.read_text()
    assert "Chosen: dark_ground, -2.00." in text
    assert "ranks them as background darkeners and chooses one" not in text
    assert f"Next: toolkit segment {run} --out segmenter --preset quick trains a segmenter along it on a CPU" in text
    printed = ran("pick", run, "--samples", 6, "--num-alphas", 1, "--finalists", 3)
    text = page.read_text()
    assert "Ranked as background darkeners" in text
    picked = json.loads((run / "pick.json").read_text())["candidates"]
    places = [
        text.index(f"<td>{place}</td><td>{c['name']}</td><td>{c['sign']}</td>") for place, c in enumerate(picked, 1)
    ]
    assert places == sorted(places)
    assert f"Chosen: {picked[0]['name']}, {picked[0]['sign'] * picked[0]['alpha']:+.2f}; its masks" in text
    assert "order: best first: finalists whose masks agree most with what all have in common" in printed


def test_what_is_no_run_of_a_discovery_has_no_page(tmp_path):
    assert not refresh_page(tmp_path)
    for name in ("report.html", "run.json", "directions.safetensors"):
        (tmp_path / name).touch()
    (tmp_path / "result.json").write_text('{"steps": 3}')  # of before
    assert not refresh_page(tmp_path)
    assert (tmp_path / "report.html").read_bytes() == b""
