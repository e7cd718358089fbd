"""The commands that naturally come next, written as a shell takes them."""

from pathlib import Path

from toolkit.command_line import command

# Short enough for a CPU: a minute or two for images of 64 pixels, where the papers' 12,000 steps take half a day.
_SHORT = (
    *("--width", "32", "--batch", "32", "--steps", "300", "--rate", "2e-3", "--decay-every", "200"),
    *("--min-area", "0.03", "--augment"),
)


def generator_words(name: str | None, weights: Path | None = None) -> list[str]:
    """Return the words that name the same generator in the next command; none where none was named."""
    named = [] if name is None else ["--generator", name]
    return named if weights is None else [*named, "--weights", str(weights)]


def segment_command(directions: object, *words: str, rule: str | None = None) -> str:
    """Return the command that trains a segmenter on a set, with flags that suit this machine."""
    from toolkit.compute.engine import choose_engine

    rules = [] if rule is None else ["--mask-rule", rule]
    short = _SHORT if choose_engine().device.type == "cpu" else ()
    return command("segment", directions, *words, "--out", "segmenter", *rules, *short)
