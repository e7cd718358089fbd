"""The commands that naturally come next, written as a shell takes them."""

from pathlib import Path

from cli.runs.progress import console
from toolkit.command_line import command


def print_outcome(*written: object, following: str) -> None:
    """Print what a command wrote, and the command that naturally comes next."""
    console.print(f"wrote {', '.join(map(str, written))}")
    console.print(f"next: {following}")


def generator_words(name: str | None, weights: Path | None = None) -> list[str]:
    """Return the words that name the same generator in the next command; none where none was named."""
    named = [] if name is None else ["--generator", name]
    return named if weights is None else [*named, "--weights", str(weights)]


def segment_command(directions: object, *words: str, rule: str | None = None) -> str:
    """Return the command that trains a segmenter on a set, with the preset that suits this machine."""
    rules = [] if rule is None else ["--mask-rule", rule]
    return command("segment", directions, *words, "--out", "segmenter", *rules, *_preset())


def discover_command(*words: object, out: object = "directions") -> str:
    """Return the command that looks for a generator's directions, with the preset that suits this machine."""
    return command("discover", *words, "--out", out, *_preset())


def _preset() -> list[str]:
    from toolkit.compute.engine import choose_engine

    return ["--preset", "quick"] if choose_engine().device.type == "cpu" else []
