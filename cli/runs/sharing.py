"""How many processes share a command, on which machines, and how often they are started again."""

import re
from typing import Any

import typer

from toolkit.compute.ranks import world_size
from toolkit.untrusted.text import whole_number

_FORM = "N, or N@restarts=2@machine=1/3@meet=HOST:PORT: machine 1 of 3, the first of which is reached at HOST"
_MEETING = re.compile(r"(?P<host>[\w.\-]+|\[[0-9A-Fa-f:.]+\]):(?P<port>\d{1,5})")
_LARGEST_PORT = 65_535


class Processes(int):
    """A number of processes on this machine, which is number `machine`, from 0, of `machines` that meet at `meet`."""

    machine: int = 0
    machines: int = 1
    meet: tuple[str, int] | None = None
    restarts: int = 0

    @property
    def total(self) -> int:
        """Return the number of processes on all machines."""
        return self * self.machines

    @classmethod
    def parse(cls, text: Any) -> "Processes":
        """Return what `N@restarts=R@machine=I/M@meet=HOST:PORT` says; typer.BadParameter for what says nothing."""
        try:
            return cls._said(*str(text).split("@"))
        except ValueError as error:
            raise typer.BadParameter(f"{str(text)!r} is not {_FORM}") from error

    @classmethod
    def _said(cls, count: str, *options: str) -> "Processes":
        processes = cls(_number(count, 1))
        for name, _, value in (option.partition("=") for option in options):
            if name not in _OPTIONS:
                raise ValueError(name)
            _OPTIONS[name](processes, value)
        if (processes.machines > 1) != (processes.meet is not None):
            raise ValueError("machines have to meet")
        return processes


def starts_others(processes: int) -> bool:
    """Return whether this process only starts those that work, and needs no torch for it."""
    return world_size() == 1 and isinstance(processes, Processes) and processes.total > 1


def _number(text: str, least: int, most: int | None = None) -> int:
    number = whole_number(text)
    if number is None or number < least or (most is not None and number > most):
        raise ValueError(text)
    return number


def _set_restarts(processes: Processes, value: str) -> None:
    processes.restarts = _number(value, 0)


def _set_machine(processes: Processes, value: str) -> None:
    number, _, count = value.partition("/")
    processes.machines = _number(count, 1)
    processes.machine = _number(number, 1, processes.machines) - 1


def _set_meeting(processes: Processes, value: str) -> None:
    found = _MEETING.fullmatch(value)
    if found is None:
        raise ValueError(value)
    processes.meet = found["host"], _number(found["port"], 1, _LARGEST_PORT)


_OPTIONS = {"restarts": _set_restarts, "machine": _set_machine, "meet": _set_meeting}
