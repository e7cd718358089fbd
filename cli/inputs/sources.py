"""Opening the generators that commands name: the only names whose code may run unasked are typed ones."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cli.inputs.hub_names import settled

if TYPE_CHECKING:
    from generators.protocol import Generator
    from toolkit.directions import DirectionSet
    from toolkit.provenance import GeneratorSource


def open_typed(name: str, weights: Path | None = None) -> "Generator":
    """Return the generator that the user named on the command line: the only names whose code may run unasked.

    A line on stderr says so the first time that code runs.
    """
    from cli.runs.processes import prints
    from generators.catalogue import open_generator
    from generators.own.trust import Typed

    return open_generator(name, weights, Typed(_say) if prints() else Typed(remember=False))


def _say(line: str) -> None:
    typer.echo(line, err=True)


def generator_of(
    directions: "DirectionSet", name: str | None, weights: Path | None
) -> "tuple[Generator, dict[str, str]]":
    """Return the generator a direction set was found on, or the one named instead, and what runs record about it.

    UserError when the set's latent space has another size, or it moves layers that the generator has not.
    """
    return set_and_generator(directions, name, weights, None)[1:]


def set_and_generator(
    directions: "DirectionSet", name: str | None, weights: Path | None, layers: str | None
) -> "tuple[DirectionSet, Generator, dict[str, str]]":
    """Return a set whose directions move the layers named, if they are, and what `generator_of` returns.

    UserError for layers that the generator has not.
    """
    from generators.protocol import fitting

    generator, inputs = named_or_recorded(name, weights, directions.origin)
    return fitting(directions, generator, layers), generator, inputs


def named_or_recorded(
    name: str | None, weights: Path | None, origin: "GeneratorSource"
) -> "tuple[Generator, dict[str, str]]":
    """Return the generator that the user named, else the one that a set names as its origin, and its record."""
    from generators.recorded import generator_inputs, open_recorded

    if name is None:
        settled(origin.generator, "generators")  # with a bar
        return open_recorded(origin, weights)
    return open_typed(name, weights), generator_inputs(name, weights)
