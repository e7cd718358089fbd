"""Codes and colours as flags name them. Nothing beyond the standard library: settings check their values with it."""

import re
from dataclasses import dataclass

from toolkit.errors import UserError

_RANGE = re.compile(r"(\d{1,6})(?:-(\d{1,6}))?")
_COLOUR = re.compile(r"#([0-9a-fA-F]{6})")
_LARGEST = 65_535
_SHOWN = 8


@dataclass(frozen=True)
class Codes:
    """What a flag names: codes (palette indices or grey levels), colours 0xRRGGBB, or the alpha channel."""

    numbers: frozenset[int] = frozenset()
    colours: frozenset[int] = frozenset()
    alpha: bool = False

    def among(self, kind: str) -> frozenset[int]:
        """Return them as codes of a kind of file: a grey level is also the colour of three such channels."""
        if kind in ("colour", "photo"):
            return self.colours | {number * 0x010101 for number in self.numbers if number < 256}
        return self.numbers | {colour & 255 for colour in self.colours if colour % 0x010101 == 0}


def parse_codes(text: str, flag: str) -> Codes:
    """Return what `text` names: numbers and ranges, colours as #rrggbb, all comma-separated; or alpha, or none.

    UserError, naming `flag`, for anything else.
    """
    words = [word.strip() for word in text.split(",")]
    if words in (["alpha"], ["none"]):
        return Codes(alpha=words == ["alpha"])
    numbers: set[int] = set()
    colours: set[int] = set()
    for word in words:
        if match := _COLOUR.fullmatch(word):
            colours.add(int(match[1], 16))
        elif (match := _RANGE.fullmatch(word)) and int(match[1]) <= int(match[2] or match[1]) <= _LARGEST:
            numbers.update(range(int(match[1]), int(match[2] or match[1]) + 1))
        else:
            raise UserError(f"{flag} is {text!r}; give codes as 1,2 or 1-20, colours as #ff0000, alpha or none")
    return Codes(frozenset(numbers), frozenset(colours))


def shown(codes: "set[int] | frozenset[int]", kind: str) -> str:
    """Return codes of a kind of file as text, as flags take them; only the first of many."""
    ordered = sorted(codes)
    words = [f"#{code:06x}" if kind in ("colour", "photo") else str(code) for code in ordered[:_SHOWN]]
    rest = len(ordered) - len(words)
    if rest:
        return f"{', '.join(words)} and {rest} more"
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
