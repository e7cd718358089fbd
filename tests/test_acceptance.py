"""Which filter most synthetic masks fail is said in one line, with the value that lets them pass."""

import dataclasses
import json
from collections import Counter

import numpy as np
import pytest
import torch
from cli_runs import ran, refused
from PIL import Image
from seg_toy import DiscGenerator, contrast_shift

from generators.scene import SceneGenerator
from segmentation.synthesis.acceptance import Acceptance, UnfilledError, accepted
from segmentation.synthesis.synthesizer import MaskSynthesizer, PriorSource, SyntheticBatch
from segmentation.unet.settings import SegmentationSettings
from toolkit.command_line import as_flags
from toolkit.directions import Choice, DirectionSet
from toolkit.streams import Stream

SETTINGS = SegmentationSettings(batch=8, min_area=0.03, seed=3)


def acceptance(areas, **changes):
    """Return the acceptance of masks of these areas, which all have two shades."""
    settings = dataclasses.replace(SETTINGS, **changes)
    small = sum(area < settings.min_area for area in areas)
    large = sum(area >= settings.area_bound for area in areas)
    counts = Counter(drawn=len(areas), accepted=len(areas) - small - large, min_area=small, max_area=large)
    return accepted(counts, Counter(int(1000 * area + 1e-9) for area in areas), settings)


def synthesizer(**changes):
    generator = DiscGenerator()
    settings = dataclasses.replace(SETTINGS, **changes)
    return MaskSynthesizer(generator, contrast_shift(), settings, PriorSource(generator))


def discs(count, synthesizer):
    """Return the true masks of the first samples drawn."""
    return DiscGenerator().disc(synthesizer.source.draw(count, Stream(SETTINGS.seed, "synthesis")))


def test_masks_that_are_too_large_name_the_bound_and_a_value():
    found = acceptance([0.1] * 38 + [0.55] * 12 + [0.63] * 20 + [0.77] * 20 + [0.9] * 10).ease()
    assert (found.setting, found.share, found.value) == ("max_area", 0.62, 0.8)
    assert as_flags(found.line) == (
        "62% of the masks cover more than --max-area 0.5 of the image (median 0.55); pass --max-area 0.8, or try "
        "another direction"
    )
    assert "more than max_area=0.5 of" in found.line


def test_masks_that_are_too_small_name_the_bound_and_a_value():
    found = acceptance([0.0] * 10 + [0.0125] * 60 + [0.2] * 30).ease()
    assert (found.setting, found.share, found.value) == ("min_area", 0.7, 0.01)
    assert as_flags(found.line) == (
        "70% of the masks cover less than --min-area 0.03 of the image (median 0.012); pass --min-area 0.01, or try "
        "another direction"
    )


@pytest.mark.parametrize(
    ("area", "setting", "text"),
    [(0.98, "max_area", "try another direction or a smaller --alpha"), (0.0, "min_area", "a larger --alpha")],
)
def test_masks_of_all_or_nothing_are_no_fault_of_a_bound(area, setting, text):
    found = acceptance([area] * 6 + [0.2] * 4).ease()
    assert (found.setting, found.value) == (setting, None)
    assert as_flags(found.line).endswith(text)
    assert "which no bound mends" in found.line


@pytest.mark.parametrize("area", [0.5, 0.51, 0.6, 0.799, 0.8, 0.94])
def test_the_value_given_lets_the_masks_pass(area):
    value = acceptance([area] * 10).ease().value
    assert value > area
    assert acceptance([area] * 10, max_area=value).accepted == 10


@pytest.mark.parametrize("area", [0.002, 0.0099, 0.01, 0.0299])
def test_the_smaller_value_given_lets_the_masks_pass(area):
    value = acceptance([area] * 10).ease().value
    assert 0 < value <= area
    assert acceptance([area] * 10, min_area=value).accepted == 10


def test_no_filter_is_named_while_most_samples_pass():
    many = acceptance([0.2] * 51 + [0.6] * 49)
    assert many.ease() is None
    assert many.ease(least=0).setting == "max_area"
    assert acceptance([0.2] * 10).ease(least=0) is None
    assert Acceptance(0, 0, {"max_area": 0}, {}, SETTINGS).ease(least=0) is None


def test_each_reason_is_counted_and_areas_are_those_of_all_masks_drawn():
    source = synthesizer(min_area=0.08, max_area=0.15)
    source.batch(8)
    found = source.acceptance
    areas = discs(found.drawn, source).flatten(1).double().mean(dim=1)
    assert found.rejected["min_area"] == int((areas < 0.08).sum()) > 0
    assert found.rejected["max_area"] == int((areas >= 0.15).sum()) > 0
    assert found.accepted + sum(found.rejected.values()) == found.drawn
    assert list(found.rejected) == ["min_area", "max_area", "histogram_filter"]
    assert found.area(0.5) == pytest.approx(torch.quantile(areas, 0.5, interpolation="lower").item(), abs=1e-3)
    assert found.as_dict()["areas"]["p90"] >= found.as_dict()["areas"]["median"] == found.area(0.5)


def test_a_batch_that_cannot_be_filled_says_what_to_ease_and_the_value_helps():
    with pytest.raises(
        UnfilledError, match=r"only 0 of 8 samples after 3 attempts .* too small 1, too large 23, of one"
    ) as raised:
        synthesizer(max_area=0.031, max_attempts=3).batch(8)
    assert "\n" not in str(raised.value)
    eased = raised.value.acceptance.ease()
    assert f"pass --max-area {eased.value}" in as_flags(raised.value.marked)
    assert len(synthesizer(max_area=eased.value, max_attempts=3).batch(8)) == 8


def test_an_unfilled_batch_counts_itself_and_not_the_samples_before():
    source = synthesizer(max_area=0.2)
    source.batch(8)
    source.settings = dataclasses.replace(source.settings, max_attempts=2)
    with pytest.raises(UnfilledError) as raised:  # sooner or later
        SyntheticBatch.cat([source.batch(8) for _ in range(100)])
    assert raised.value.acceptance.drawn == 16 < source.acceptance.drawn
    assert sum(raised.value.acceptance.areas.values()) == 16


def test_images_of_one_shade_name_the_flag_that_lets_them_pass():
    counts = Counter(drawn=10, accepted=2, histogram_filter=8)
    found = accepted(counts, Counter({200: 10}), SETTINGS).ease()
    assert (found.setting, found.share, found.value) == ("histogram_filter", 0.8, False)
    assert "80% of the shifted images are of one shade; pass --no-histogram-filter" in as_flags(found.line)
    assert "pass histogram_filter=False" in found.line


def test_states_saved_before_areas_were_counted_are_read():
    source = synthesizer()
    source.batch(8)
    state = source.state_dict()
    del state["areas"]
    source.load_state_dict(state)
    assert source.acceptance.area(0.5) == 0
    assert source.acceptance.drawn > 0


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Return a direction set of small images whose masks cover .04 to .3."""
    generator, card = SceneGenerator(image_size=32), {"source": {"generator": "scene@image_size=32"}}
    path, vectors = tmp_path_factory.mktemp("scene") / "directions.safetensors", generator.contrast_direction()[None]
    DirectionSet(vectors, "scene", "known", ("contrast",), choice=Choice(0, 1, 3.0), card=card).save(path)
    return path


@pytest.mark.parametrize("command", ["synthesize", "segment"])
def test_the_commands_say_it_when_they_start_and_keep_it(command, scene, tmp_path):
    few = {
        "synthesize": ("--samples", 24, "--batch", 24),
        "segment": ("--steps", 2, "--batch", 12, "--width", 4, "--validation-samples", 0),
    }[command]
    printed = ran(command, scene, *few, "--min-area", 0, "--max-area", 0.08, "--out", tmp_path / "out")
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["drawn"] == result["accepted"] + sum(result["rejected"].values())
    assert result["areas"]["p10"] < 0.08 < result["areas"]["median"] < result["areas"]["p90"]
    assert result["ease"]["setting"] == "max_area"
    assert result["areas"]["median"] < result["ease"]["value"] < 0.5
    assert "note: " in printed
    assert "of the masks cover more than --max-area 0.08 of the image (median 0." in " ".join(printed.split())


@pytest.mark.parametrize(("flags", "bound", "noted"), [((), 0.08, True), (("--max-area", 0.5), 0.5, False)])
def test_pairs_keep_to_the_bound_that_the_choice_records_unless_one_is_set(flags, bound, noted, scene, tmp_path):
    found = DirectionSet.load(scene)
    dataclasses.replace(found, choice=Choice(0, 1, 3.0, max_area=0.08)).save(tmp_path / "close.safetensors")
    few = ("--samples", 24, "--batch", 24, "--min-area", 0)
    printed = ran("synthesize", tmp_path / "close.safetensors", *few, *flags, "--out", tmp_path / "out")
    settings = json.loads((tmp_path / "out" / "manifest.json").read_text())["settings"]
    assert settings["max_area"] == bound
    assert ("masks stay below --max-area 0.08 of the image, as recorded with the choice" in printed) == noted
    masks = [np.asarray(Image.open(path)) > 0 for path in (tmp_path / "out" / "masks").iterdir()]
    assert len(masks) == 24
    assert max(mask.mean() for mask in masks) < bound
    if not noted:
        assert max(mask.mean() for mask in masks) > 0.08


def test_what_is_recorded_where_nothing_is_set_is_the_usual_bound(scene, tmp_path):
    ran("synthesize", scene, "--samples", 4, "--batch", 4, "--out", tmp_path / "out")
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["settings"]["max_area"] == 0.5


def test_the_command_that_gives_up_names_the_flag(scene, tmp_path):
    bound = ("--max-area", 0.001, "--max-attempts", 1)
    said = refused("synthesize", scene, "--samples", 4, *bound, "--out", tmp_path / "out")
    assert "the masks cover more than --max-area 0.001 of the image (median" in said
    assert "; pass --max-area 0." in said
