"""Presets: the papers' settings and those for a CPU, what wins over them, and what is said of a long training."""

import dataclasses
import json

import pytest
import torch

from cli.runs.forecast import Forecasting, duration
from discovery.settings import DiscoverySettings
from segmentation.unet.settings import SegmentationSettings
from tests.cli_runs import DISCOVER, ran, refused
from toolkit.compute.engine import Engine
from toolkit.errors import UserError
from toolkit.settings import read_toml

CPU = Engine(torch.device("cpu"), bf16=False)
CLASSES = (DiscoverySettings, SegmentationSettings)


@pytest.mark.parametrize("settings_class", CLASSES)
def test_the_papers_preset_is_the_defaults_field_for_field(settings_class):
    assert settings_class.preset("paper") == settings_class()
    assert settings_class().preset_name == "paper"
    paper, quick = settings_class.presets.values()
    assert paper.keys() == quick.keys()  # so that no settings are of both
    assert settings_class.preset("quick", seed=3).preset_name == "quick"
    assert settings_class.preset("quick", steps=7).preset_name is None


@pytest.mark.parametrize("settings_class", CLASSES)
def test_an_unknown_preset_is_refused(settings_class):
    with pytest.raises(UserError, match="there is no preset 'fast'; choose one of paper, quick"):
        settings_class.preset("fast")


def test_a_preset_gives_the_bytes_of_its_flags_and_a_flag_wins_over_it(tmp_path):
    small = DISCOVER[DISCOVER.index("--batch") :]
    quick = ("--reconstructor", "lenet", "--deformator-rate", "1e-3", "--reconstructor-rate", "1e-3")
    ran("discover", "--generator", "scene", "--out", tmp_path / "a", "--preset", "quick", "--steps", 4, *small)
    ran("discover", "--generator", "scene", "--out", tmp_path / "b", *quick, "--steps", 4, *small)
    for name in ("directions.safetensors", "config.toml", "result.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert read_toml(tmp_path / "a" / "config.toml")["deformator_rate"] == 1e-3


def test_a_file_wins_over_the_preset_where_it_says_something(tmp_path):
    config = tmp_path / "mine.toml"
    config.write_text("steps = 3\ndirections = 4\nbatch = 4\nvalidation_batches = 1\n")
    arguments = ("discover", "--generator", "scene", "--out", tmp_path / "a", "--config", config)
    ran(*arguments, "--preset", "quick", "--precision", "fp32")
    saved = DiscoverySettings.from_dict(read_toml(tmp_path / "a" / "config.toml"))
    kept = DiscoverySettings.preset("quick", steps=3, directions=4, batch=4, validation_batches=1)
    assert saved == kept


def test_the_preset_is_recorded(tmp_path):
    out = tmp_path / "a"
    ran("discover", "--method", "random", "--generator", "scene", "--out", out)
    assert "preset" not in json.loads((out / "run.json").read_text())
    ran("discover", "--generator", "scene", "--out", tmp_path / "b", *DISCOVER)
    assert json.loads((tmp_path / "b" / "run.json").read_text())["preset"] is None
    from toolkit.files.runs import RunFolder

    RunFolder.open(tmp_path / "c", SegmentationSettings.preset("quick"), {}, "cpu").close()
    assert json.loads((tmp_path / "c" / "run.json").read_text())["preset"] == "quick"


def test_presets_that_do_not_fit_are_refused(tmp_path):
    words = ("discover", "--generator", "scene", "--out", tmp_path / "a", "--preset")
    assert refused(*words, "fast") == "--preset is 'fast'; choose one of paper, quick"
    assert refused(*words, "quick", "--method", "sefa") == ("--preset goes with --method deformator, not sefa; omit it")
    assert not (tmp_path / "a").exists()


def spoken(capsys, settings, seconds, engine=CPU, first=0):
    """Return what is said on stderr while steps of so many `seconds` each are taken."""
    now = [0.0]
    with Forecasting(settings, engine, clock=lambda: now[0]).bar("training", settings.steps, first) as advance:
        for number in range(10):
            now[0] = seconds * number
            advance()
    return capsys.readouterr().err


def test_a_long_training_says_so_once_and_names_the_preset_for_a_cpu(capsys):
    line = spoken(capsys, DiscoverySettings(), 10)
    assert line == (
        "note: the 99,996 steps take about 11.6 days on this CPU; --preset quick, in another --out, is made for one "
        "(6,500 steps). Ctrl-C stops, and the same command resumes\n"
    )
    assert spoken(capsys, DiscoverySettings(), 10, first=50_000).startswith(
        "note: the 49,996 steps take about 5.8 days"
    )
    assert (
        spoken(capsys, DiscoverySettings.preset("quick"), 10)
        == "note: the 6,496 steps take about 18 hours on this CPU\n"
    )


def test_a_short_training_and_one_on_a_gpu_say_nothing(capsys):
    assert spoken(capsys, DiscoverySettings(), 0.01) == ""
    on_gpu = dataclasses.replace(CPU, device=torch.device("cuda"))
    assert spoken(capsys, DiscoverySettings(), 10, on_gpu) == ""


@pytest.mark.parametrize(
    ("seconds", "words"), [(4000, "67 minutes"), (7200, "2 hours"), (100_000, "28 hours"), (200_000, "2.3 days")]
)
def test_times_in_words(seconds, words):
    assert duration(seconds) == words
