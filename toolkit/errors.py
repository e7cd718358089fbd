"""The one exception for everything a user can put right, weak points of results, and how texts name settings.

Libraries speak of values: `min_area is 0.6 and max_area 0.5`. The command line shows the same as its flags
(toolkit.command_line), and nothing else is changed in the text, whatever a path or a value in it looks like.
"""

import re
import sys
from dataclasses import dataclass
from typing import Any

from toolkit.untrusted.printable import one_line

_LONGEST = 4000  # characters of a message: what a damaged file holds may be longer than any screen
# Characters for private use, which no message holds otherwise, stand around each name until the text is shown.
_OPENS, _WORDS, _CLOSES = "\ue000", "\ue001", "\ue002"
NAMED = re.compile(f"{_OPENS}([a-z0-9_]+)(?:=([^{_WORDS}{_CLOSES}]*))?(?:{_WORDS}([^{_CLOSES}]*))?{_CLOSES}")


def named(name: str, value: object = None, words: str = "") -> str:
    """Return a setting's or argument's name, or name and value, for a text that is shown as names or as flags.

    Where it is shown as names, `words` are shown instead, if there are any.
    """
    shown = name if value is None else f"{name}={value}"
    return f"{_OPENS}{shown}{_WORDS + words if words else ''}{_CLOSES}"


OUT = named("out", words="output folder")


def plain(text: str) -> str:
    """Return a text with its names as code has them: `min_area`, or `device=cpu`."""
    return NAMED.sub(lambda found: found[3] or found[1] + (f"={found[2]}" if found[2] is not None else ""), text)


class Line(str):
    """A line for the user, with its names as code has them; `marked` is the text in which `named` has put them."""

    marked: str

    def __new__(cls, marked: str) -> "Line":
        """Return the line for a text with marked names."""
        line = super().__new__(cls, plain(marked))
        line.marked = marked
        return line


class UserError(Exception):
    """One line: what was passed, what was expected, what to do. The command line prints it and exits with status 2.

    Names and values from files often stand in it; their control characters are written as escapes. `marked` is the text
    in which the command line finds the names that `named` has put there.
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(plain(message), _LONGEST))
        marked = one_line(message, sys.maxsize)
        self.marked = marked if len(marked) <= _LONGEST else str(self)


class TeamError(UserError):
    """Another process of a run is gone; that one has said why."""


@dataclass(frozen=True)
class WeakPoint:
    """One reason not to trust a result: what it is about, what was seen, what to try; one that `failed` is of no use.

    `about` is a stage of a run, or the figure that is wrong.
    """

    about: str
    what: str
    advice: str
    failed: bool = False

    @classmethod
    def read(cls, entry: Any) -> "WeakPoint":
        """Return one as result.json has it; UserError for something else."""
        try:
            return cls(**entry)
        except TypeError as error:
            raise UserError(f"{entry!r} is no weak point of a run; delete its result.json to make it again") from error

    @property
    def line(self) -> str:
        """Return what was seen and what to try, as one line."""
        return f"{self.what}; {self.advice}"
