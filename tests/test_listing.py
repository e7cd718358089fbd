"""How commands are listed: panels, examples that parse, what shells complete, and old spellings of flags."""

import os
import shlex
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from cli.app import app
from cli.listing import DIRECTIONS, FILES, GENERATORS, SEGMENTATION, START, former_flags, renewed
from discovery.methods.settings import ContrastSettings
from discovery.settings import DiscoverySettings, PickSettings
from generators.compact.settings import GeneratorSettings
from segmentation.self_training.settings import SelfTrainingSettings
from segmentation.synthesis.settings import SynthesizeSettings
from segmentation.unet.settings import SegmentationSettings
from tests.cli_runs import DISCOVER, ran, refused
from toolkit.settings import read_toml

GROUP = typer.main.get_command(app)
COMMANDS = {name: command for name, command in GROUP.commands.items() if name != "weights"}
COMMANDS |= {f"weights {name}": command for name, command in GROUP.commands["weights"].commands.items()}
SETTINGS = (
    *(DiscoverySettings, PickSettings, ContrastSettings, GeneratorSettings, SelfTrainingSettings, SynthesizeSettings),
    SegmentationSettings,
)


def examples(command):
    return [line for line in (command.epilog or "").split("\n\n") if line.startswith("toolkit ")]


@pytest.mark.parametrize("name", [*COMMANDS, "weights"])
def test_help_ends_with_two_examples_that_fit_eighty_columns(name):
    command = COMMANDS.get(name, GROUP.commands.get("weights"))
    assert len(examples(command)) == 2
    shown = CliRunner().invoke(app, [*name.split(), "--help"], env={"COLUMNS": "80"}).output
    lines = [line.strip() for line in shown.splitlines()]
    assert all(example in lines for example in examples(command)), shown


@pytest.mark.parametrize("example", [line for command in COMMANDS.values() for line in examples(command)])
def test_every_example_parses_and_uses_no_old_spelling(example):
    words = shlex.split(example)[1:]
    command = GROUP.commands[words.pop(0)]
    if words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    command.make_context("toolkit", list(words))
    assert not {word.partition("=")[0] for word in words} & former_flags(command.callback).keys()


def test_every_example_is_of_its_own_command():
    for name, command in COMMANDS.items():
        assert any(example.startswith(f"toolkit {name}") for example in examples(command)), name


def test_help_lists_commands_in_panels():
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "80"}).output
    places = [shown.index(panel) for panel in (START, DIRECTIONS, SEGMENTATION, GENERATORS, FILES)]
    assert places == sorted(places)
    assert shown.index("│ demo ") < places[1] < shown.index("│ discover ") < places[2] < shown.index("│ segment ")
    assert "From installed packages" not in shown


def completed(*words):
    """Return what a shell is offered for the last of the words."""
    line = {"COMP_WORDS": " ".join(["toolkit", *words]), "COMP_CWORD": str(len(words))}
    environment = {**os.environ, "_TOOLKIT_COMPLETE": "complete_bash", **line}
    result = subprocess.run(
        [sys.executable, "-c", "from cli.app import main; main()"], env=environment, capture_output=True, text=True
    )
    return result.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("seg",), {"segment"}),
        (("discover", "--method", "s"), {"sefa"}),
        (("discover", "--preset", ""), {"paper", "quick"}),
        (("discover", "--deformator", "o"), {"ortho"}),
        (("segment", "flowers64", "--mask-rule", "l"), {"lighting", "light-dark"}),
        (("render-gif", "d", "--mask-rule", "m"), {"mean_thr"}),
        (("sample", "--generator", ""), {"flowers64", "scene", "bigbigan"}),
        (("predict", "x.jpg", "--segmenter", "f"), {"flowers64"}),
        (("predict", "x.jpg", "--device", "c"), {"cpu", "cuda"}),
        (("predict", "x.jpg", "--precision", ""), {"auto", "fp32", "bf16"}),
        (("video", "c.mp4", "--write", "c"), {"cutout", "composite"}),
        (("export", "d", "--layout", "b"), {"bg-direction"}),
    ],
)
def test_shells_complete_names(words, offered):
    assert set(completed(*words)) == offered


def test_old_spellings_are_renewed_with_a_note_each():
    notes = []
    flags = {"--reach": "--alpha", "--count": "--samples"}
    words = ["d", "--reach", "3", "--count=2", "--out", "x", "--", "--reach"]
    assert renewed(words, flags, notes) == ["d", "--alpha", "3", "--samples=2", "--out", "x", "--", "--reach"]
    assert notes == [
        "note: --reach is called --alpha now; the old spelling works until the next release",
        "note: --count is called --samples now; the old spelling works until the next release",
    ]


@pytest.mark.parametrize("name", COMMANDS)
def test_an_old_spelling_names_a_flag_that_is_there_and_is_none_itself(name):
    command = COMMANDS[name]
    known = {flag for parameter in command.params for flag in parameter.opts + parameter.secondary_opts}
    for old, new in former_flags(command.callback).items():
        assert old not in known
        assert new in known


def test_an_old_flag_works_and_says_so_on_stderr(tmp_path):
    ran("sample", "--generator", "scene", "--samples", 3, "--out", tmp_path / "new.npy")
    words = ["sample", "--generator", "scene", "--count", "3", "--out", str(tmp_path / "old.npy")]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert "note: --count is called --samples now" in result.stderr
    assert "--count" not in result.stdout
    assert (tmp_path / "new.npy").read_bytes() == (tmp_path / "old.npy").read_bytes()


@pytest.mark.parametrize("settings_class", SETTINGS)
def test_names_of_before_are_read_from_files(settings_class):
    defaults = settings_class().as_dict()
    names = settings_class.renamed()
    assert names
    before = {old: defaults[new] for old, new in names.items()}
    assert settings_class.from_dict(before) == settings_class()


def test_a_run_of_before_is_resumed_and_its_settings_file_is_read_with_a_note(tmp_path):
    words = ("discover", "--generator", "scene", "--out", tmp_path / "run", *DISCOVER, "--max-alpha", 5)
    ran(*words)
    config = tmp_path / "run" / "config.toml"
    old = config.read_text().replace("max_alpha", "shift_scale").replace("min_alpha", "min_shift")
    config.write_text(old)
    (tmp_path / "old.toml").write_text(old)
    assert "finished already" in ran(*words)
    assert read_toml(config)["max_alpha"] == 5
    config.write_text(old)
    assert "--max-alpha was 5.0, now 4.0" in refused(*words[:-1], 4)
    again = ["--out", str(tmp_path / "again"), "--config", str(tmp_path / "old.toml"), "--precision", "fp32"]
    result = CliRunner().invoke(app, ["discover", "--generator", "scene", *again], catch_exceptions=False)
    assert "note: shift_scale in" in result.stderr
    same = [(tmp_path / name / "directions.safetensors").read_bytes() for name in ("run", "again")]
    assert same[0] == same[1]


def test_the_segmenter_of_self_train_may_still_stand_before_the_photos(tmp_path):
    words = ["self-train", "flowers64", str(tmp_path / "none"), "--out", str(tmp_path / "o")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert "note: the segmenter is named as --segmenter flowers64 now" in result.stderr
    assert f"{tmp_path / 'none'}" in result.stderr.splitlines()[-1]
    assert "3 folders were passed" in refused("self-train", "a", "b", "c", "--out", tmp_path / "o")
