"""How large the tensors of a file in torch's format before 1.6 say they are, found without making any of them.

Such a file is five pickles and then the numbers; torch asks for the memory of every tensor while it reads the fourth.
"""

import io
import pickle
from pathlib import Path
from typing import Any

_LARGEST_NUMBER = 16  # bytes
_SIZES = {
    "Double": 8, "Float": 4, "Half": 2, "BFloat16": 2, "Long": 8, "Int": 4, "Short": 2, "Char": 1, "Byte": 1, "Bool": 1,
}  # fmt: skip


class BoundedFile(io.BufferedReader):
    """A file of which nobody reads more than it has: for a damaged length memory would be asked for first."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self.bytes = path.stat().st_size

    def read(self, size: int | None = -1) -> bytes:
        """Return up to `size` bytes, all that are left if it is negative or None."""
        return super().read(size if size is None else min(size, self.bytes))


class _Anything:
    """Stands for whatever a pickle names; nothing of it is imported or called."""

    def __init__(self, *values: Any, **named: Any) -> None: ...

    def __call__(self, *values: Any, **named: Any) -> "_Anything":
        return self

    def __setstate__(self, state: Any) -> None: ...

    def __setitem__(self, key: Any, value: Any) -> None: ...

    def append(self, value: Any) -> None: ...

    add = extend = append


class _Sizes(pickle._Unpickler):  # the one in C asks for memory by damaged numbers
    """Collects the bytes of every storage that a pickle names, by key."""

    def __init__(self, file: BoundedFile) -> None:
        super().__init__(file, encoding="latin-1")  # of files that Python 2 wrote
        self.storages: dict[Any, int] = {}

    def find_class(self, module: str, name: str) -> Any:
        return type(name, (_Anything,), {})

    def persistent_load(self, saved: Any) -> Any:
        _, kind, key, _, numbers, *_ = saved
        size = _SIZES.get(kind.__name__.removesuffix("Storage"), _LARGEST_NUMBER)
        self.storages[key] = max(self.storages.get(key, 0), size * numbers)
        return _Anything()


def require_old_sizes(file: BoundedFile) -> None:
    """Raise any Exception unless `file` has as many bytes as the tensors that it names, and names no other."""
    for _ in range(3):  # a magic number, the version, what machine it was written on
        _Sizes(file).load()
    table = _Sizes(file)
    table.load()
    keys = _Sizes(file).load()
    if set(keys) != set(table.storages) or len(keys) != len(table.storages):
        raise ValueError("its tensors are not the ones it lists")
    if any(size < 0 for size in table.storages.values()) or sum(table.storages.values()) > file.bytes:
        raise ValueError("its tensors are larger than it is")
