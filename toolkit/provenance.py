"""What a file says of the generator it was made with."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from toolkit.errors import UserError


@dataclass(frozen=True)
class GeneratorSource:
    """A generator by its name with options, 16 letters of the digests of its file and of that file's card, its weights.

    `weights` is the path of weights named beside the generator. `missing` stands in place of weights that are not at
    hand: what to name instead, FILE and its options. What a file does not say is None.
    """

    generator: str | None = None
    generator_digest: str | None = None
    generator_card_digest: str | None = None
    weights: str | None = None
    missing: str | None = None

    @classmethod
    def of(cls, card: Mapping[str, Any]) -> Self:
        """Return what the table `source` in a card says, of the names known here; UserError for no table of texts."""
        source = card.get("source", {})
        if not isinstance(source, Mapping):
            raise UserError(f"the source of a generator is {source!r}, but has to be a table; make the file again")
        known = {field.name: source[field.name] for field in fields(cls) if source.get(field.name) is not None}
        for name, value in known.items():
            if not isinstance(value, str):
                raise UserError(f"the {name} of a source is {value!r}, but has to be a text; make the file again")
        return cls(**known)

    def as_dict(self) -> dict[str, str]:
        """Return what is known, by name, as a card or the record of a run holds it."""
        return {name: value for name, value in vars(self).items() if value is not None}
