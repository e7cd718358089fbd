"""File names that are not Unicode, written so that they can be read back.

On Linux a name is bytes, which Python keeps in a string as lone surrogates where they are no UTF-8. Text files, other
programs' JSON readers and screens refuse those. Written down, such a byte is `\\xNN`, and a backslash of such a name
`\\x5c`. A carriage return, which readers of tables take for the end of a line, is `\\x0d`; any other name is written as
it is.
"""

import codecs
import re
import sys

_HANDLER = "toolkit.files.names"
_ESCAPE = re.compile(r"\\x([0-9a-f]{2})|\\u(d[89a-f][0-9a-f]{2})")


def written_name(name: str) -> str:
    """Return a file name as text that every program can read; `read_back` returns the name."""
    if "\\" in name and (_ESCAPE.search(name) or not _is_unicode(name)):
        name = name.replace("\\", "\\x5c")
    return writable(name).replace("\r", "\\x0d")


def read_back(text: str) -> str:
    """Return the file name that `written_name` wrote."""

    def character(match: re.Match[str]) -> str:
        byte, surrogate = match.groups()
        if surrogate:
            return chr(int(surrogate, 16))
        return chr(int(byte, 16) if int(byte, 16) < 128 else 0xDC00 + int(byte, 16))

    return _ESCAPE.sub(character, text)


def writable(text: str) -> str:
    """Return text with lone surrogates escaped, for files, screens and others that take Unicode only."""
    return text.encode("utf-8", _HANDLER).decode()


def name_bytes(name: str) -> bytes:
    """Return bytes that differ for different names, whatever the system; those of UTF-8 for ordinary ones."""
    return name.encode("utf-8", "surrogatepass")


def print_every_name() -> None:
    """Have the screen show what its encoding lacks as an escape, where it would end the command with a traceback."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors=_HANDLER)


def _is_unicode(name: str) -> bool:
    return not any(0xD800 <= ord(letter) <= 0xDFFF for letter in name)


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    shown = (f"\\x{ord(one) - 0xDC00:02x}" if 0xDC80 <= ord(one) <= 0xDCFF else _plain(one) for one in letters)
    return "".join(shown), error.end


def _plain(letter: str) -> str:
    return letter.encode("ascii", "backslashreplace").decode()


codecs.register_error(_HANDLER, _escaped)
