"""The one exception for everything a user can put right."""


class UserError(Exception):
    """One line: what came, what was expected, what to do. The command line prints it and exits with status 2."""


class TeamError(UserError):
    """Another process of a run is gone; what the reason was, that one has told."""
