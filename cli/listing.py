"""How a command is listed: its panel in `toolkit --help`, its examples, and the spellings its flags had before."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand

from cli.inputs.hub_names import settle
from cli.runs.processes import prints

START = "Start here"
DIRECTIONS = "Directions"
SEGMENTATION = "Segmentation"
GENERATORS = "Generators and latents"
FILES = "Files"
INSTALLED = "From installed packages"
CommandT = TypeVar("CommandT", bound=Callable[..., Any])


@dataclass(frozen=True)
class Listing:
    """Where help shows a command, lines that show how it is used, and {old flag: flag of today}."""

    panel: str
    examples: tuple[str, ...] = ()
    formerly: Mapping[str, str] = field(default_factory=dict)

    @property
    def epilog(self) -> str:
        """Return the examples as they end the command's help; typer takes an empty line for the end of a line."""
        return "\n\n".join(["Examples:", *self.examples]) if self.examples else ""


def listed_in(panel: str, *examples: str, formerly: Mapping[str, str] | None = None) -> Callable[[CommandT], CommandT]:
    """Return a decorator that says how a command is listed."""

    def decorate(command: CommandT) -> CommandT:
        command.listing = Listing(panel, examples, formerly or {})  # type: ignore[attr-defined]
        return command

    return decorate


def add_command(app: typer.Typer, name: str, function: Callable[..., Any]) -> None:
    """Add a command to the app, listed as `listed_in` said."""
    listing: Listing = getattr(function, "listing", Listing(INSTALLED))
    app.command(name, cls=_Command, rich_help_panel=listing.panel, epilog=listing.epilog)(function)


class _Command(TyperCommand):
    """Takes flags by their old spellings too, with a note on stderr, and artefacts on the hub by their references."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Return what is left of the words after the parameters were read."""
        notes: list[str] = []
        words = renewed(args, former_flags(self.callback), notes)
        if prints() and not ctx.resilient_parsing:
            for note in notes:
                typer.echo(note, err=True)
        return super().parse_args(ctx, words)

    def invoke(self, ctx: Any) -> Any:
        """Run the command, with what it was given of the hub at hand."""
        settle(ctx.params)
        return super().invoke(ctx)


def former_flags(command: Callable[..., Any] | None) -> dict[str, str]:
    """Return {old flag: flag of today} of a command, those of its settings included."""
    listing: Listing | None = getattr(command, "listing", None)
    return {**getattr(command, "renamed_flags", {}), **(listing.formerly if listing is not None else {})}


def renewed(words: Sequence[str], flags: Mapping[str, str], notes: list[str]) -> list[str]:
    """Return the words with flags as they are spelled today; a note for each old one is added to `notes`."""
    renamed: list[str] = []
    for position, word in enumerate(words):
        if word == "--":
            return [*renamed, *words[position:]]
        flag, equals, value = word.partition("=")
        new = flags.get(flag, flag)
        if new != flag:
            notes.append(f"note: {flag} is called {new} now; the old spelling works until the next release")
        renamed.append(new + equals + value)
    return renamed
