"""What installed packages add to the command line: commands, and the flags of commands whose choices they extend.

A package adds a command by an entry point of the group `latent_toolkit.commands` that names a function with typer's
annotations (see toolkit.plug_ins). Names are listed without importing anything; a command's code is imported when it is
run, or its own --help is asked for.
"""

from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand

from cli.listing import INSTALLED, add_command
from toolkit.plug_ins import Table, offers


def _fault(entry: Any) -> str | None:
    return None if callable(entry) else f"it is {type(entry).__name__}, but has to be a function"


PLUGGED_IN: Table[Callable[..., Any]] = Table("command", {}, _fault, group="commands")


def listed(name: str) -> TyperCommand | None:
    """Return what help shows of the plugged-in command `name`, which is not imported for it; None if there is none."""
    offer = PLUGGED_IN.offered().get(name)
    if offer is None:
        return None
    package = "an installed package" if offer[0].dist is None else offer[0].dist.name
    return TyperCommand(name, help=f"(a plug-in of {package})", rich_help_panel=INSTALLED)


def with_plug_ins(name: str | None, command: Any) -> Any:
    """Return the command that is to run, with all that installed packages add to it."""
    if name is None:
        return command
    if name in PLUGGED_IN and command.callback is None:
        return _made(name, PLUGGED_IN[name])
    extended = getattr(command.callback, "with_plug_ins", None)
    if extended is None or not any(offers(group) for group in ("methods", "mask_rules", "deformators")):
        return command
    return _made(name, extended())


def _made(name: str, function: Callable[..., Any]) -> Any:
    app = typer.Typer(add_completion=False)
    add_command(app, name, function)
    return typer.main.get_command(app)
