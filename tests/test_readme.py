"""What the README says to type exists."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from cli.app import app
from cli.listing import former_flags, renewed

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
_JOINED = README.replace("\\\n", " ")
COMMANDS = sorted({m.strip() for m in re.findall(r"(?:^\$ |^|`)(toolkit [a-z-]+[^`#\n]*)", _JOINED, re.MULTILINE)})


def test_there_are_commands_to_check():
    assert len(COMMANDS) > 10


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_and_flag_exists(line):
    words = shlex.split(line)
    commands = typer.main.get_command(app).commands
    assert words[1] in commands, line
    words[2:] = renewed(words[2:], former_flags(commands[words[1]].callback), [])
    known = {flag for parameter in commands[words[1]].params for flag in parameter.opts + parameter.secondary_opts}
    assert {word for word in words[2:] if word.startswith("--")} <= known


def test_every_picture_and_file_it_names_exists():
    for name in re.findall(r"\]\(([^)h][^)]*)\)", README):
        assert (ROOT / name).exists(), name


def test_the_two_commands_stand_there_word_for_word_and_ci_runs_the_second():
    install = "python3 -m venv .uv && .uv/bin/pip install uv && .uv/bin/uv run"
    assert f"\n{install} toolkit demo\n" in README
    assert f"\n{install} pytest\n" in README
    assert f"\n{install} pytest\n" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_the_library_example_runs(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    shipped = ROOT / "assets" / "segmenters" / "flowers64.safetensors"
    code = code.replace('"my-segmenter"', repr(str(shipped)))
    code = code.replace('"photo.jpg"', repr(str(ROOT / "assets" / "photos" / "flower.jpg")))
    names: dict = {}
    exec(code, names)
    assert tuple(names["images"].shape) == (8, 3, 64, 64)
    assert 0.1 < names["mask"].mean() < 0.5
