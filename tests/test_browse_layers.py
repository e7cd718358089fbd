"""Edits by layer, truncation and mixed styles of a style-based generator on the page of `toolkit browse`, over HTTP."""

import json

import numpy as np
import pytest
import small_stylegan2
import torch
from test_browse import browser, on_page, pixels, run  # noqa: F401 (fixtures)

from cli.browse.app import Page
from cli.browse.pictures import Pictures, webp
from cli.browse.set import BrowsedSet
from discovery.charts import frames
from generators.layered import mixed
from toolkit.compute.engine import choose_engine
from toolkit.directions import DirectionSet
from toolkit.pictures.pixels import grid, resized_to, to_bytes
from toolkit.streams import Stream

LAYERS = small_stylegan2.LAYERS


def mask(*numbers):
    return torch.tensor([number in numbers for number in range(LAYERS)])


@pytest.fixture
def file(tmp_path):
    """The file of a set whose first direction moves layers 0 to 3."""
    vectors = Stream(1, "vectors").normal(3, 8)
    DirectionSet(vectors, "stylegan2", "known").moving(mask(0, 1, 2, 3), 0).save(tmp_path / "directions.safetensors")
    return tmp_path / "directions.safetensors"


@pytest.fixture
def styled(file):
    """A browser on the page of that set."""
    pictures = Pictures(small_stylegan2.generator(), choose_engine("cpu", "fp32"))
    yield from on_page(Page(BrowsedSet.open(file.parent), pictures, None, "", None, "no encoder"))


def rows(generator, *latents):
    """Return what the page shows of latents, a row each."""
    with torch.inference_mode():
        images = [to_bytes(resized_to(generator(one), 160)) for one in latents]
    return grid(np.concatenate(images), columns=len(images[0]), gap=0)


def assert_shown(picture, expected):
    encoded = pixels(webp(expected)).astype(int)
    assert np.abs(picture - encoded).max() < 16
    assert np.abs(picture - encoded).mean() < 0.5


def test_the_page_knows_layers_and_truncation(styled):
    described = json.loads(styled.get("/api/set"))
    assert (described["num_layers"], described["psi"]) == (LAYERS, 1.0)
    assert [one["layers"] for one in described["directions"]] == ["0-3", "all", "all"]


def test_each_slider_moves_its_layers_and_they_add_up(styled, file):
    generator, found = small_stylegan2.generator(), DirectionSet.load(file)
    w = generator.sample(5, Stream(0, "browse"))
    by_hand = w.z[:, None].repeat(1, LAYERS, 1)
    by_hand[:, [1, 2]] += 3 * found.vectors[0]
    by_hand[:, [6]] -= 2 * found.vectors[1]
    shown = styled.picture("/api/shifted", direction=[0, 1], alpha=[3, -2], layers=["1-2", "6"])
    assert_shown(shown, rows(generator, w, type(w)(by_hand)))
    own = styled.picture("/api/shifted", direction=0, alpha=3)
    assert_shown(own, rows(generator, w, w.shifted(found.shift(0, 3.0))))
    everywhere = styled.picture("/api/shifted", direction=0, alpha=3, layers="all")
    assert_shown(everywhere, rows(generator, w, w.shifted(3 * found.vectors[0])))
    assert np.abs(own - everywhere.astype(int)).mean() > 1


def test_truncation_is_live(styled, file):
    generator = small_stylegan2.generator()
    less, found = generator.restyled(0.3), DirectionSet.load(file)
    w = less.sample(5, Stream(0, "browse"))
    shown = styled.picture("/api/shifted", direction=0, alpha=3, psi=0.3)
    assert_shown(shown, rows(generator, w, w.shifted(found.shift(0, 3.0))))
    strip = styled.picture("/api/strip/1", reach=4, psi=0)
    shifts = [found.shift(1, alpha) for alpha in torch.linspace(-4, 4, 9).tolist()]
    mean = type(w)(generator.mean[None])
    assert_shown(strip, grid(to_bytes(frames(generator, mean, shifts)), columns=9, gap=0))
    whole = styled.picture("/api/shifted", direction=0, alpha=3)
    assert np.abs(whole - shown.astype(int)).mean() > 1
    assert (styled.picture("/api/shifted", direction=0, alpha=3, psi=1) == whole).all()


def test_a_samples_layers_come_from_another(styled):
    generator = small_stylegan2.generator()
    first, second = generator.sample(5, Stream(0, "browse")), generator.sample(1, Stream(9, "browse"))
    w = mixed(first, second, mask(4, 5), LAYERS)
    shown = styled.picture("/api/shifted", direction=0, alpha=0, mix="4-5", donor=9)
    assert_shown(shown, rows(generator, w, w))


def test_a_choice_keeps_the_layers_of_its_slider(styled, file):
    answer = styled.post("/api/choose", direction=1, alpha=2.5, rule="lighting", layers="5-7")
    assert "chose direction_1, +2.50 at layers 5-7" in answer["message"]
    assert [one["layers"] for one in answer["set"]["directions"]] == ["0-3", "5-7", "all"]
    assert torch.equal(DirectionSet.load(file).layers[1], mask(5, 6, 7))
    styled.post("/api/choose", direction=1, alpha=2.5, rule="lighting", layers="all")
    assert DirectionSet.load(file).layers[1].all()
    styled.post("/api/choose", direction=0, alpha=2.5, rule="lighting")
    assert torch.equal(DirectionSet.load(file).layers[0], mask(0, 1, 2, 3))


def test_what_is_saved_is_edited_by_layer_too(styled):
    query = "direction=0&alpha=3&rule=lighting&images=1&tab=a&layers="
    first, second = (styled.ask(f"/api/save/picture?{query}{layers}")[1] for layers in ("1", "7"))
    assert first != second


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("layers=8", "--layers names 8, but there are 8 layers, 0 to 7"),
        ("layers=low", "--layers is 'low', but has to be numbers and ranges"),
        ("layers=0&layers=1", "1 directions have 2 layers; give each one its own"),
        (f"layers={'0,' * 50}0", "layers: "),
        ("psi=2.5", "psi: "),
        ("psi=nan", "psi: "),
        ("mix=9", "--layers names 9"),
        ("donor=-1&mix=1", "donor: "),
    ],
)
def test_layers_and_truncation_that_are_none(styled, query, words):
    assert words in styled.refused(f"/api/shifted?direction=0&alpha=1&tab=a&{query}")


def test_generators_without_layers_have_none_on_the_page(browser):  # noqa: F811
    described = json.loads(browser.get("/api/set"))
    assert (described["num_layers"], described["psi"]) == (None, None)
    asked = "/api/shifted?direction=0&alpha=1&tab=a"
    assert "scene takes no latent for each layer" in browser.refused(f"{asked}&layers=0")
    assert "scene takes no latent for each layer" in browser.refused(f"{asked}&mix=0")
    assert "scene has no truncation by psi" in browser.refused(f"{asked}&psi=0.5")
