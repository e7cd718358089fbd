"""Names people gave to directions: `human_annotation.txt`, one `index: label` a line."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from toolkit.errors import UserError
from toolkit.files.writing import write_text
from toolkit.untrusted.printable import is_printable
from toolkit.untrusted.text import LARGEST_LABELS, read_text, whole_number


def read_annotations(path: Path) -> dict[str, int]:
    """Return label -> direction index of an annotation file; UserError naming a malformed line."""
    return parse_annotations(read_text(path, "human_annotation.txt", LARGEST_LABELS), str(path))


def parse_annotations(text: str, source: str = "the annotations") -> dict[str, int]:
    """Return label -> direction index of `index: label` lines; blank lines are skipped.

    Spaces within a label become underscores. A label used again gets `_(1)`, `_(2)`, so that no direction is
    lost. UserError with the number of a malformed line.
    """
    labels: dict[str, int] = {}
    repeats: Counter[str] = Counter()
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        digits, colon, label = line.partition(":")
        index, name = whole_number(digits), normalised(label)
        if not colon or index is None or not name or not is_printable(name):
            raise UserError(f"{source}, line {number} is {line!r}, but has to be like 12: zoom; mend that line")
        labels[_unused(name, labels, repeats)] = index
    return labels


def normalised(label: str) -> str:
    """Return a label as one word: no space around it, underscores for the spaces within."""
    return "_".join(label.split())


def _unused(label: str, taken: Mapping[str, int], repeats: "Counter[str]") -> str:
    """Return the label with the first number that makes it new; `repeats` counts how often each was used again."""
    name = label
    while name in taken:
        repeats[label] += 1
        name = f"{label}_({repeats[label]})"
    return name


def write_annotations(path: Path, labels: Mapping[str, int]) -> None:
    """Write label -> direction index as `index: label` lines, by index; they read back as the same labels."""
    ordered = sorted(labels.items(), key=lambda item: item[1])
    write_text(path, "".join(f"{index}: {normalised(label)}\n" for label, index in ordered))


def annotations_beside(path: Path) -> Path:
    """Return where the labels of the set in the file `path` are written."""
    return path.parent / "human_annotation.txt"
