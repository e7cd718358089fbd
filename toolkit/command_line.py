"""How the command line spells what libraries name: a setting as a flag, a command as a line to copy.

The one module below `cli` that knows: texts name a setting with `toolkit.errors.named`, and hint at a command with
`command`.
"""

import shlex

from toolkit.errors import NAMED, Line


def flag_of(name: str) -> str:
    """Return the command line's flag for the setting or argument `name`."""
    return "--" + name.replace("_", "-")


def as_flags(text: str) -> str:
    """Return a text with the names that `toolkit.errors.named` marked in it as flags."""
    marked = text.marked if isinstance(text, Line) else text
    return NAMED.sub(lambda found: flag_of(found[1]) + (f" {found[2]}" if found[2] is not None else ""), marked)


def command(*words: object) -> str:
    """Return `toolkit` and the words as one line, quoted where a shell needs it."""
    return shlex.join(["toolkit", *map(str, words)])
