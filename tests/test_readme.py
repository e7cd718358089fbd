"""What the README and the pages of the documentation say to type exists."""

import functools
import re
import shlex
from pathlib import Path

import pytest
import typer
from PIL import Image

import toolkit
from cli.app import app

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands_in(page: Path) -> set[str]:
    """Return the command lines of a page, continued lines joined."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    found = re.findall(r"(?:^\$ |^|`)(toolkit [a-z][a-z-]*[^`#\n]*)", text, re.MULTILINE)
    return {line.strip() for line in found}


COMMANDS = sorted(set().union(*map(commands_in, PAGES)))


def test_there_are_commands_to_check():
    assert len(COMMANDS) > 40


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_and_flag_exists(line):
    words = shlex.split(line)
    commands = typer.main.get_command(app).commands
    assert words[1] in commands, line
    known = {flag for parameter in commands[words[1]].params for flag in parameter.opts + parameter.secondary_opts}
    assert {word for word in words[2:] if word.startswith("--")} <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_picture_and_file_it_names_exists(page):
    for name in re.findall(r"\]\(([^)#h][^)#]*)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert name.startswith("generated/") or (page.parent / name).exists(), name


def test_the_readme_is_short_enough_to_be_read():
    assert len(README.splitlines()) <= 180


def test_the_two_commands_stand_there_word_for_word_and_ci_runs_the_second():
    install = "python3 -m venv .uv && .uv/bin/pip install uv && .uv/bin/uv run"
    assert f"\n{install} toolkit demo\n" in README
    assert f"\n{install} pytest\n" in README
    assert f"\n{install} pytest\n" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_the_library_example_runs_the_chain_in_ten_lines(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    monkeypatch.chdir(tmp_path)
    for name in ("flowers102/jpg", "flowers17/images", "flowers17/masks"):
        Path(name).mkdir(parents=True)
    pictures = toolkit.render(toolkit.sample("flowers64", 12), "flowers64")
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(f"flowers102/jpg/{number}.png")
        Image.fromarray(picture).save(f"flowers17/images/{number}.png")
        Image.fromarray(picture[..., 0] > 127).save(f"flowers17/masks/{number}.png")
    Image.fromarray(pictures[0]).save("photo.jpg")
    shorter = {
        "discover": {"directions": 16, "samples": 128},
        "pick": {"samples": 8, "compared": 4, "lengths": 1, "finalists": 2},
        "segment": {"steps": 2, "batch": 4, "width": 4, "validation_count": 4},
        "self_train": {"rounds": 1, "steps": 2, "batch": 4, "width": 4, **EVERY_MASK_FITS},
    }
    for verb, settings in shorter.items():
        monkeypatch.setattr(toolkit, verb, functools.partial(getattr(toolkit, verb), **settings), raising=False)
    names: dict = {}
    exec(code, names)
    assert names["directions"].choice is not None
    assert names["mask"].shape == (64, 64)
    assert Path("direction.gif").stat().st_size > 1000
    assert Path("segmenter/segmenter.safetensors").is_file()


EVERY_MASK_FITS = {"agreement": 0.0, "min_area": 0.0, "max_area": 1.0, "held_out": 0.0}
