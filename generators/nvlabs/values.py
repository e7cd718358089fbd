"""Tables and plain values in such a pickle, made of inert records (toolkit.untrusted.inert_pickles)."""

from collections.abc import Iterator
from typing import Any

from toolkit.untrusted import pickled_arrays, pickled_tensors
from toolkit.untrusted.inert_records import Made, Name, Odd, is_call
from toolkit.untrusted.pickled_tensors import TensorReader

PERSISTENT_OBJECT = ("torch_utils.persistence", "_reconstruct_persistent_obj")
TABLES = (("dnnlib.util", "EasyDict"), ("dnnlib", "EasyDict"), ("collections", "OrderedDict"))
SETS = (("builtins", "set"), ("__builtin__", "set"))
ALLOWED = {PERSISTENT_OBJECT, *TABLES, *SETS, *pickled_tensors.ALLOWED, *pickled_arrays.ALLOWED}

_MOST_VALUES = 10_000
_DEEPEST = 32  # tables in tables
_LONGEST_ARRAY = 1000  # numbers


def unknown_names(value: Any, allowed: set[tuple[str, str]]) -> Iterator[Name]:
    """Yield every global in a value, however deep, that is none of those allowed."""
    waiting, seen = [value], {id(value)}
    while waiting:
        held = waiting.pop()
        if isinstance(held, Name) and (held.module, held.name) not in allowed:
            yield held
        new = [inner for inner in _inner(held) if id(inner) not in seen]
        seen.update(map(id, new))
        waiting += new


def _inner(value: Any) -> list[Any]:
    if isinstance(value, Made):
        pairs = [one for pair in value.items for one in pair]
        return [value.what, *value.arguments, value.state, *pairs, *value.members]
    if isinstance(value, Odd):
        return [value.value]
    if isinstance(value, dict):
        return [*value, *value.values()]
    return list(value) if isinstance(value, list | tuple) else []


def table(value: Any, what: str) -> dict[str, Any]:
    """Return a table of any of the kinds such files hold; ValueError naming `what` for anything else."""
    if is_call(value, *TABLES) and not (value.arguments or value.members or value.state):
        value = {name if type(name) is str else None: held for name, held in value.items}
    if type(value) is not dict:
        raise ValueError(f"{what} is no table")
    if not all(type(name) is str for name in value):
        raise ValueError(f"a name in {what} is no text")
    return value


def members(value: Any, what: str) -> list[str]:
    """Return the texts in a set; ValueError naming `what` for anything else."""
    if not is_call(value, *SETS) or value.items or value.state is not None or len(value.arguments) > 1:
        raise ValueError(f"{what} is no set")
    found = [*(value.arguments[0] if value.arguments else ()), *value.members]
    if not all(type(member) is str for member in found):
        raise ValueError(f"{what} holds what is no text")
    return found


class PlainValues:
    """Makes plain values (numbers, texts, lists and tables of them) of records; a bounded number of them."""

    def __init__(self, reader: TensorReader) -> None:
        self._reader = reader
        self._left = _MOST_VALUES

    def plain(self, value: Any, depth: int = 0) -> Any:
        """Return the value, NumPy's numbers and arrays as Python's; ValueError where it is no plain one."""
        self._left -= 1
        if self._left < 0 or depth > _DEEPEST:
            raise ValueError("it holds too many values, or one in itself")
        if value is None or type(value) in (bool, int, float, str):
            return value
        if type(value) in (list, tuple):
            return [self.plain(one, depth + 1) for one in value]
        if type(value) is dict or is_call(value, *TABLES):
            return {name: self.plain(held, depth + 1) for name, held in table(value, "a table").items()}
        if is_call(value, *SETS):
            return sorted(members(value, "a set"))
        if is_call(value, *pickled_arrays.SCALAR):
            return pickled_arrays.scalar(value, self._reader.content)
        if is_call(value, *pickled_arrays.ARRAYS):
            array = pickled_arrays.array(value, self._reader.content)
            if array.size <= _LONGEST_ARRAY:
                return array.tolist()
        raise ValueError("it holds a value that is no plain one")
