"""What a pickle holds besides plain values, as records that do nothing (see toolkit.untrusted.inert_pickles)."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True, eq=False)
class Name:
    """A global that a pickle names: a class or function, which is not looked up."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(slots=True, eq=False)
class Made:
    """What a pickle has called: `what` with `arguments`, and what it has put into the result since."""

    what: "Name | Made"
    arguments: tuple[Any, ...]
    state: Any = None
    items: list[tuple[Any, Any]] = field(default_factory=list)
    members: list[Any] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Stretch:
    """Bytes that lie in the file, `length` from `place` on; of a text they are its UTF-8."""

    place: int
    length: int
    is_text: bool


@dataclass(slots=True, eq=False)
class Odd:
    """A key of a table, or a member of a set, that is no text; equal to none but itself."""

    value: Any


PERSISTENT = Name("", "persistent id")  # what stands for objects that lie outside of the pickle


def key(value: Any) -> Any:
    """Return what stands for a key: texts alone are compared, since others take time and stack without bounds."""
    return value if type(value) is str else Odd(value)


def is_call(value: Any, *functions: tuple[str, str]) -> bool:
    """Return whether a value is a record of a call of one of these functions, each (module, name)."""
    return (
        isinstance(value, Made) and isinstance(value.what, Name) and (value.what.module, value.what.name) in functions
    )
