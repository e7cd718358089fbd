"""What the README says to type exists."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image

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


# What the library example runs with here: sizes alone, each of which has to stand in the README.
SMALLER = {
    'discover("flowers64")': 'discover("flowers64", samples=128, directions=6, batch=64)',
    "toolkit.pick(": "toolkit.pick(samples=8, compared=8, lengths=1, directions=",
    "directions=directions, out": "directions=directions, frames=3, out",
    "segment(directions, out": "segment(directions, steps=60, batch=8, width=8, rate=5e-3, validation_count=0, out",
    '(segmenter, "flowers102/jpg")': '(segmenter, "flowers102/jpg", rounds=1, steps=2, batch=4, width=4, agreement=0.0,'
    " ground=0.3, min_area=0.0, max_area=1, max_border=1, held_out=0.2)",
}


def test_the_library_example_of_ten_lines_does_the_chain(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(code.splitlines()) <= 10
    for written, smaller in SMALLER.items():
        assert written in code
        code = code.replace(written, smaller)
    photo = Image.open(ROOT / "assets" / "photos" / "flower.jpg")
    monkeypatch.chdir(tmp_path)
    photo.save("photo.jpg")
    for folder in ("flowers102/jpg", "flowers17/images", "flowers17/masks"):
        Path(folder).mkdir(parents=True)
    for index in range(12):
        photo.crop((25 * index, 0, 25 * index + 300, 400)).save(f"flowers102/jpg/{index}.jpg")
    photo.resize((96, 64)).save("flowers17/images/1.png")
    Image.fromarray(np.tri(64, 96, dtype=np.uint8) * 255).save("flowers17/masks/1.png")
    names: dict = {}
    exec(code, names)
    assert names["mask"].shape == (photo.height, photo.width)
    assert names["mask"].dtype == bool
    with Image.open("direction.gif") as walk:
        assert walk.n_frames > 1
    assert (tmp_path / "segmenter" / "segmenter.safetensors").is_file()
