"""Names people gave to directions: `human_annotation.txt`, one `index: label` a line."""

from collections.abc import Mapping
from pathlib import Path

from toolkit.errors import UserError
from toolkit.files import write_text


def read_annotations(path: Path) -> dict[str, int]:
    """Return label -> direction index of an annotation file; UserError naming a malformed line."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read annotations from {path} ({error}); name a human_annotation.txt") from error
    return parse_annotations(text, str(path))


def parse_annotations(text: str, source: str = "the annotations") -> dict[str, int]:
    """Return label -> direction index of `index: label` lines; blank lines are skipped.

    Spaces within a label become underscores. A label used again gets `_(1)`, `_(2)`, so that no direction is
    lost. UserError with the number of a malformed line.
    """
    labels: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        index, colon, label = line.partition(":")
        if not colon or not index.strip().isdecimal() or not label.strip():
            raise UserError(f"{source}, line {number} is {line!r}, but has to be like 12: zoom; mend that line")
        labels[_unused(normalised(label), labels)] = int(index)
    return labels


def normalised(label: str) -> str:
    """Return a label as one word: no space around it, underscores for the spaces within."""
    return "_".join(label.split())


def _unused(label: str, taken: Mapping[str, int]) -> str:
    if label not in taken:
        return label
    repeat = 1
    while f"{label}_({repeat})" in taken:
        repeat += 1
    return f"{label}_({repeat})"


def write_annotations(path: Path, labels: Mapping[str, int]) -> None:
    """Write label -> direction index as `index: label` lines, by index; they read back as the same labels."""
    ordered = sorted(labels.items(), key=lambda item: item[1])
    write_text(path, "".join(f"{index}: {normalised(label)}\n" for label, index in ordered))
