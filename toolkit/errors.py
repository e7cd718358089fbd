"""The one exception for everything a user can put right."""


class UserError(Exception):
    """One line: what came, what was expected, what to do. The command line prints it and exits with status 2."""
