"""Settings: frozen dataclasses whose fields carry their help, unit and range, checked when they are made.

This module imports neither torch nor numpy, so that the command line can show defaults at once.
"""

import dataclasses
import json
import math
import typing
from collections.abc import Collection
from pathlib import Path
from typing import Any, ClassVar, Self

from toolkit.errors import UserError
from toolkit.files.writing import write_text
from toolkit.untrusted.text import LARGEST_TOML, parse_toml, read_text


def setting(
    default: Any,
    help: str,  # noqa: A002 (the word typer uses for it)
    *,
    minimum: float | None = None,
    above: float | None = None,
    maximum: float | None = None,
    choices: Collection[str] | None = None,
    watches: bool = False,
) -> Any:
    """Return a dataclass field with a help text and a range: >= `minimum`, > `above`, <= `maximum`.

    `choices` are the names it may have, such as a table of them (toolkit.plug_ins). One that `watches` says how often a
    run is looked at or saved, which changes nothing of what comes out.
    """
    metadata = {"help": help, "minimum": minimum, "above": above, "maximum": maximum, "choices": choices}
    return dataclasses.field(default=default, metadata={**metadata, "watches": watches})


_ITS_OWN: Any = object()


def same_as(settings_class: "type[Settings]", name: str, default: Any = _ITS_OWN) -> Any:
    """Return a dataclass field with help, range and, unless another is given, default of the field `name` there."""
    field = next(field for field in dataclasses.fields(settings_class) if field.name == name)
    return dataclasses.field(default=field.default if default is _ITS_OWN else default, metadata=field.metadata)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Base of all settings: checks every field's type and range on construction, reads and writes TOML."""

    kind: ClassVar[str] = "settings"

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):
            value = _coerced(field.name, getattr(self, field.name), hints[field.name])
            object.__setattr__(self, field.name, value)
            _check_range(field.name, value, field.metadata)

    def as_dict(self) -> dict[str, Any]:
        """Return the values by name."""
        return dataclasses.asdict(self)

    def defining(self) -> dict[str, Any]:
        """Return by name the values that decide what comes out: all but those that only watch."""
        watching = {field.name for field in dataclasses.fields(self) if field.metadata.get("watches")}
        return {name: value for name, value in self.as_dict().items() if name not in watching}

    @classmethod
    def from_dict(cls, values: dict[str, Any], source: str = "the settings") -> Self:
        """Return settings with these values; UserError naming a field that does not exist."""
        names = [field.name for field in dataclasses.fields(cls)]
        unknown = sorted(set(values) - set(names))
        if unknown:
            raise UserError(f"{source} holds unknown settings {', '.join(unknown)}; known are {', '.join(names)}")
        return cls(**values)

    def save(self, path: Path) -> None:
        """Write the values as `as_toml` gives them."""
        write_text(path, self.as_toml(Path(path).name))

    def as_toml(self, file: str) -> str:
        """Return the values as the TOML of a `file`, each field's help as a comment; `None` is a commented line."""
        lines = [f"# {self.kind} settings; run again with --config {file}"]
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            lines.append(f"\n# {field.metadata.get('help', '')}")
            lines.append(f"# {field.name} = (not set)" if value is None else f"{field.name} = {_as_toml(value)}")
        return "\n".join(lines) + "\n"


def _as_toml(value: Any) -> str:
    # JSON's strings and numbers are TOML's, but for surrogate pairs and the one control character JSON lets through.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def read_toml(path: Path) -> dict[str, Any]:
    """Return the table in a TOML file; UserError when it is missing or is not TOML (see toolkit.untrusted.text)."""
    return parse_toml(read_text(path, "TOML settings file", LARGEST_TOML), str(path))


def flag_of(name: str) -> str:
    """Return the command line's flag for the field `name`."""
    return "--" + name.replace("_", "-")


def _coerced(name: str, value: Any, hint: Any) -> Any:
    kinds = typing.get_args(hint) or (hint,)
    if value is None and type(None) in kinds:
        return value
    if float in kinds and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    plain = tuple(kind for kind in kinds if isinstance(kind, type) and kind is not type(None))
    if isinstance(value, bool) is (bool in plain) and isinstance(value, plain):
        return value
    expected = " or ".join(kind.__name__ for kind in plain)
    raise UserError(f"{name} is {value!r}, but has to be {expected}")


def _check_range(name: str, value: Any, limits: Any) -> None:
    if value is None or isinstance(value, bool):
        return
    flag = flag_of(name)
    choices = limits.get("choices")  # never counted: a table would look through what is installed
    if choices is not None and value not in choices:
        raise UserError(f"{flag} is {value!r}; choose one of {', '.join(choices)}")
    if not isinstance(value, int | float):
        return
    if not math.isfinite(value):
        raise UserError(f"{flag} is {value}, but has to be a finite number")
    if limits.get("minimum") is not None and value < limits["minimum"]:
        raise UserError(f"{flag} is {value}, but has to be at least {limits['minimum']}")
    if limits.get("above") is not None and value <= limits["above"]:
        raise UserError(f"{flag} is {value}, but has to be more than {limits['above']}")
    if limits.get("maximum") is not None and value > limits["maximum"]:
        raise UserError(f"{flag} is {value}, but has to be at most {limits['maximum']}")
