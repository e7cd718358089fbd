"""What the environment says of several processes, in the names torchrun gives it; no torch here."""

import os

from toolkit.errors import UserError, named
from toolkit.untrusted.text import whole_number


def world_size() -> int:
    """Return how many processes this one was started with, 1 if nothing is said."""
    return _told("WORLD_SIZE", "1")


def rank() -> int:
    """Return this process's number among all, from 0; UserError where there are several and nothing is said."""
    return 0 if world_size() == 1 else _told("RANK")


def local_rank() -> int:
    """Return this process's number on its machine, from 0."""
    return _told("LOCAL_RANK", "0")


def _told(name: str, otherwise: str = "") -> int:
    told = os.environ.get(name, otherwise)
    number = whole_number(told)
    if number is None or (name == "WORLD_SIZE" and number == 0):
        raise UserError(
            f"the environment says WORLD_SIZE={os.environ.get('WORLD_SIZE')} and {name}={told}; start with torchrun or "
            f"{named('processes')}, or unset WORLD_SIZE"
        )
    return number
