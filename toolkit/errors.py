"""The one exception for everything a user can put right."""

from toolkit.untrusted.printable import one_line

_LONGEST = 4000  # characters of a message: what a damaged file holds may be longer than any screen


class UserError(Exception):
    """One line: what came, what was expected, what to do. The command line prints it and exits with status 2.

    Names and values from files often stand in it; their control characters are written as escapes.
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message, _LONGEST))


class TeamError(UserError):
    """Another process of a run is gone; what the reason was, that one has told."""
