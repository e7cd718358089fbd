"""The networks in such a pickle: modules in modules, each with its class's name, its source and its state."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from generators.nvlabs.values import PERSISTENT_OBJECT, members, table
from toolkit.untrusted.inert_records import is_call
from toolkit.untrusted.pickled_tensors import TensorReader

_DEEPEST = 32  # modules in modules; the generators have four
_MOST = 10_000  # modules and tensors


@dataclass(frozen=True)
class Module:
    """One module: its class's name, the version of the container, its attributes. Its source is not among them."""

    class_name: str
    version: int
    state: dict[str, Any]

    @classmethod
    def of(cls, value: Any) -> "Module":
        """Return the module in a record; ValueError where it is none."""
        if not is_call(value, PERSISTENT_OBJECT) or len(value.arguments) != 1 or value.state is not None:
            raise ValueError("it holds a module that is none")
        held = table(value.arguments[0], "a module")
        name, version = held.get("class_name"), held.get("version")
        if held.get("type") != "class" or type(name) is not str or type(version) is not int:
            raise ValueError("it holds a module that is none")
        return cls(name, version, table(held.get("state"), f"the state of {name}"))

    def part(self, name: str) -> dict[str, Any]:
        """Return one of the tables in the state, by its name."""
        held = table(self.state.get(name), f"{name} of {self.class_name}")
        if not all(inner and "." not in inner for inner in held):
            raise ValueError(f"{name} of {self.class_name} holds a name that cannot be")
        return held


class ModuleTree:
    """A module and all below it."""

    def __init__(self, value: Any, reader: TensorReader) -> None:
        self._value, self._reader = value, reader
        self._left = _MOST
        self.versions: set[int] = set()

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return all parameters and persistent buffers by name, as torch's own state dict has them.

        ValueError naming the entry for one that is no tensor, and for modules that have no end.
        """
        found: dict[str, torch.Tensor] = {}
        for name, value in self._entries(self._value, "", 0):
            if name in found:
                raise ValueError(f"{name} is there twice")
            try:
                found[name] = self._reader.tensor(value)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error
        return found

    def _entries(self, value: Any, prefix: str, depth: int) -> Iterator[tuple[str, Any]]:
        self._count()
        if depth > _DEEPEST:
            raise ValueError("its modules are nested too deeply")
        module = Module.of(value)
        self.versions.add(module.version)
        unsaved = members(module.state["_non_persistent_buffers_set"], "a set of buffers") if _has(module) else []
        buffers = {name: held for name, held in module.part("_buffers").items() if name not in unsaved}
        for entries in (module.part("_parameters"), buffers):
            for name, held in entries.items():
                self._count()
                if held is not None:
                    yield prefix + name, held
        for name, inner in module.part("_modules").items():
            if inner is not None:
                yield from self._entries(inner, f"{prefix}{name}.", depth + 1)

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise ValueError("it has too many modules and tensors")


def _has(module: Module) -> bool:
    """Return whether buffers may be unsaved, which torch before 1.6 did not know."""
    return "_non_persistent_buffers_set" in module.state
