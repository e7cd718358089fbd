"""Text from files, requests and file names, made fit for a screen: no character in it steers a terminal."""

import re

# C0 and C1 controls, line and paragraph separators, marks that turn the direction of writing, and halves of surrogate
# pairs (in which Python keeps the bytes of file names that are not UTF-8). Joiners, as in many emoji, stay.
_STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def is_printable(text: str) -> bool:
    """Return whether `text` holds no control character and can be written as UTF-8."""
    return _STEERING.search(text) is None


def printable(text: str, keep: str = "") -> str:
    """Return `text` with what would steer a terminal written as an escape such as `\\x1b`; `keep` stays."""
    return _STEERING.sub(lambda match: match[0] if match[0] in keep else _escape(match[0]), text)


def one_line(text: str, longest: int) -> str:
    """Return `text` as one line of at most `longest` printable characters: parts joined by spaces, the middle cut."""
    line = printable(" ".join(text.splitlines()) if "\n" in text else text)
    if len(line) <= longest:
        return line
    half = (longest - 5) // 2
    return f"{line[:half]} ... {line[-half:]}"


def _escape(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # a byte of a file name, written as toolkit.files.names writes it
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
