"""Settings: frozen dataclasses whose fields carry their help, unit and range, checked when they are made.

This module imports neither torch nor numpy, so that the command line can show defaults at once.
"""

import dataclasses
import json
import math
import typing
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from toolkit.command_line import as_flags, flag_of
from toolkit.errors import UserError, named
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
    was: str | None = None,
) -> Any:
    """Return a dataclass field with a help text and a range: >= `minimum`, > `above`, <= `maximum`.

    `choices` are the names it may have, such as a table of them (toolkit.plug_ins). One that `watches` says how often a
    run is looked at or saved, which changes nothing of what comes out. `was` is the field's name of before, which files
    and flags may still hold.
    """
    metadata = {"help": help, "minimum": minimum, "above": above, "maximum": maximum, "choices": choices}
    return dataclasses.field(default=default, metadata={**metadata, "watches": watches, "was": was})


def require_parts(batch: int, micro_batch: int | None) -> None:
    """Raise UserError for parts of a batch that are larger than the batch itself."""
    if micro_batch is not None and micro_batch > batch:
        raise UserError(
            f"{named('micro_batch')} is {micro_batch} and {named('batch')} {batch}: nothing would be split; give a "
            f"smaller {named('micro_batch')}, or omit it"
        )


_ITS_OWN: Any = object()


def same_as(settings_class: "type[Settings]", name: str, default: Any = _ITS_OWN) -> Any:
    """Return a dataclass field with help, range and, unless another is given, default of the field `name` there."""
    field = next(field for field in dataclasses.fields(settings_class) if field.name == name)
    return dataclasses.field(default=field.default if default is _ITS_OWN else default, metadata=field.metadata)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Base of all settings: checks every field's type and range on construction, reads and writes TOML.

    `presets` are named sets of values, each holding the same fields; the first is the one that the defaults are.
    """

    kind: ClassVar[str] = "settings"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.__repr__ = Settings.__repr__  # type: ignore[method-assign]  # before dataclass gives it one of all fields

    def __repr__(self) -> str:
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        changed = ", ".join(f"{name}={value!r}" for name, value in self.as_dict().items() if value != defaults[name])
        return f"{type(self).__name__}({changed})"

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
    def preset(cls, name: str, **changes: Any) -> Self:
        """Return the settings of a preset, with `changes`; UserError for a name that is none."""
        if name not in cls.presets:
            raise UserError(f"there is no preset {name!r}; choose one of {', '.join(cls.presets)}")
        return cls.from_dict({**cls.presets[name], **changes}, f"preset {name}")

    @classmethod
    def of(cls, settings: Self | None, preset: str | None, changes: Mapping[str, Any]) -> Self:
        """Return `settings`, or else those of `preset`, or else the defaults, with `changes`.

        A class without presets has its defaults. UserError for settings of another class and for unknown names.
        """
        if settings is not None and not isinstance(settings, cls):
            raise UserError(f"settings are {settings!r} ({type(settings).__name__}), but {cls.__name__} are needed")
        values = {} if settings is None else settings.as_dict()
        if settings is None and preset is not None and cls.presets:
            values = cls.preset(preset).as_dict()
        return cls.from_dict({**values, **changes}, "the call")

    @property
    def preset_name(self) -> str | None:
        """Return the preset whose values these are, None where they are of none."""
        own = self.as_dict()
        return next((name for name, values in self.presets.items() if values.items() <= own.items()), None)

    @classmethod
    def renamed(cls) -> dict[str, str]:
        """Return by their names of before the fields that are called otherwise now."""
        return {field.metadata["was"]: field.name for field in dataclasses.fields(cls) if field.metadata.get("was")}

    @classmethod
    def up_to_date(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return values by today's names of their fields; what is no field stays as it is."""
        names = cls.renamed()
        return {names.get(name, name): value for name, value in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str = "the settings") -> Self:
        """Return settings with these values, fields' names of before included; UserError naming an unknown one."""
        values = cls.up_to_date(values)
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
        lines = [f"# {self.kind} settings; run again with {flag_of('config')} {file}"]
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            lines.append(f"\n# {as_flags(field.metadata.get('help', ''))}")
            lines.append(f"# {field.name} = (not set)" if value is None else f"{field.name} = {_as_toml(value)}")
        return "\n".join(lines) + "\n"


def _as_toml(value: Any) -> str:
    # JSON's strings and numbers are TOML's, but for surrogate pairs and the one control character JSON lets through.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def read_toml(path: Path) -> dict[str, Any]:
    """Return the table in a TOML file; UserError when it is missing or is not TOML (see toolkit.untrusted.text)."""
    return parse_toml(read_text(path, "TOML settings file", LARGEST_TOML), str(path))


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
    shown = named(name)
    choices = limits.get("choices")  # never counted: a table would look through what is installed
    if choices is not None and value not in choices:
        raise UserError(f"{shown} is {value!r}; choose one of {', '.join(choices)}")
    if not isinstance(value, int | float):
        return
    if not math.isfinite(value):
        raise UserError(f"{shown} is {value}, but has to be a finite number")
    if limits.get("minimum") is not None and value < limits["minimum"]:
        raise UserError(f"{shown} is {value}, but has to be at least {limits['minimum']}")
    if limits.get("above") is not None and value <= limits["above"]:
        raise UserError(f"{shown} is {value}, but has to be more than {limits['above']}")
    if limits.get("maximum") is not None and value > limits["maximum"]:
        raise UserError(f"{shown} is {value}, but has to be at most {limits['maximum']}")
