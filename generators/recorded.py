"""What runs and direction sets record about their generator, and the generator that such a record names."""

import os
import shlex
from pathlib import Path

from generators.catalogue import code_of, open_generator, weights_file
from generators.own.factories import find_factory
from generators.own.programs import program_card
from generators.own.trust import is_known
from generators.protocol import Generator
from generators.published.biggan_deep.config import config_path
from generators.spec import join_spec, split_spec
from toolkit.errors import UserError, named
from toolkit.files.writing import sha256_of
from toolkit.hub.fetching import pinned
from toolkit.hub.reference import is_reference
from toolkit.provenance import GeneratorSource

UNKNOWN = "GENERATOR"  # stands in a line to copy for code that never ran here


def generator_inputs(name: str, weights: Path | None = None) -> dict[str, str]:
    """Return what a run records about its generator: files by absolute path and digest, other names as they are.

    What is on the hub is named with its file and commit.
    """
    path = weights_file(name, weights)
    plain, options = split_spec(name)
    if is_reference(plain) and find_factory(plain) is None:  # a module of one's own may be called hub
        name = join_spec(pinned(plain, "generators"), options)
    if path is None:
        return GeneratorSource(name).as_dict()
    card = program_card(path) or config_path(path)
    # Links are not followed: in Hugging Face's cache they lead to a file beside which there is no configuration.
    place = Path(os.path.abspath(plain))
    inside = place.exists() and Path(os.path.abspath(path)).is_relative_to(place)
    return GeneratorSource(
        join_spec(str(place), options) if weights is None and inside else name,
        sha256_of(path)[:16],
        None if card is None or not card.is_file() else sha256_of(card)[:16],
        None if weights is None else str(weights.resolve()),
    ).as_dict()


def open_recorded(source: GeneratorSource, weights: Path | None = None) -> tuple[Generator, dict[str, str]]:
    """Return the generator that a direction set names as its source, and what runs record about it.

    `weights` go before those that the set names. Its code runs only where it is known: the name is out of a file.
    UserError where the generator is not at hand, or another file than the directions were found on.
    """
    name, weights = _recorded(source, weights)
    return open_generator(name, weights), generator_inputs(name, weights)


def _recorded(source: GeneratorSource, weights: Path | None) -> tuple[str, Path | None]:
    name = source.generator or ""
    if source.missing is not None:  # a published folder names weights by their place on its authors' machine
        raise UserError(
            f"the generator of the set, {name}, is not here; give {named('generator', missing_words(source.missing))}"
        )
    weights = weights or (None if source.weights is None else Path(source.weights))
    plain = split_spec(name)[0]
    if Path(plain).is_absolute() and not Path(plain).exists():
        raise UserError(f"the generator of the set, {name}, is not there any more; give {named('generator', 'FILE')}")
    _require_same_file(source, name, weights)
    return name, weights


def _require_same_file(source: GeneratorSource, name: str, weights: Path | None) -> None:
    """Raise UserError where `name`, which a set records, is another file than the recorded one, or has another card."""
    recorded, card = source.generator_digest, source.generator_card_digest
    if recorded is None:
        return
    current = GeneratorSource(**generator_inputs(name, weights))
    if current.generator_digest in (None, recorded) and card in (None, current.generator_card_digest):
        return
    code, word = code_of(name), shlex.quote(name)
    trusted = "" if code is None else f" if you trust the code in {code.place}"
    raise UserError(
        f"{name} is another file than the directions were found on; discover again, or give "
        f"{named('generator', word)} to use it all the same{trusted}"
    )


def words_for(name: str) -> str:
    """Return what a line to copy may hold for a generator's name out of a file: never code unknown so far."""
    try:
        code = code_of(name)
    except UserError:  # code that is not here
        return UNKNOWN
    return name if code is None or is_known(code) else UNKNOWN


def missing_words(text: str) -> str:
    """Return what a line to copy may hold for what a card has as `missing`: FILE and its options.

    Nothing else that a card says: whoever copies a line from the screen should not run what a file came up with.
    """
    return text if split_spec(text)[0] == "FILE" else "FILE"
