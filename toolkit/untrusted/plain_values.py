"""The guard of `.pt`/`.pth` files: what may be unpickled, and how much memory it may stand for.

A few bytes can name a tensor of any size: of stride 0, on no device, or of records that were packed a thousandfold. All
that is checked before anything touches the numbers.
"""

import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from toolkit.errors import UserError
from toolkit.untrusted.old_pickles import BoundedFile, require_old_sizes

_DEEPEST = 32
_MOST_VALUES = 1_000_000
_LARGEST_PICKLE = 32_000_000  # bytes; that of a checkpoint with ten thousand tensors has one million
_PACKED = 8  # how much smaller than its contents an archive may be: torch itself never packs, others do
_ALWAYS_FINE = 64_000_000  # bytes
_NESTING = (dict, OrderedDict, list, tuple, set)


def require_honest_sizes(path: Path) -> None:
    """Raise any Exception where `path` is damaged so that reading it would ask for far more memory than it has."""
    with BoundedFile(path) as handle:
        if handle.read(4) != b"PK\3\4":  # how torch distinguishes its own two formats
            handle.seek(0)
            require_old_sizes(handle)
            return
        with zipfile.ZipFile(handle) as archive:
            members = archive.infolist()
    if len({member.filename for member in members}) != len(members):
        raise ValueError("two of its members have one name")
    if sum(member.file_size for member in members) > max(_ALWAYS_FINE, _PACKED * path.stat().st_size):
        raise ValueError("it unpacks to far more than it has")
    if any(member.file_size > _LARGEST_PICKLE for member in members if member.filename.endswith(".pkl")):
        raise ValueError("its table of contents is too long")


def require_plain(held: Any, path: Path) -> None:
    """Raise UserError unless what `path` held is plain: tensors in memory, as large as the file says, a few deep."""
    storages: dict[int, int] = {}
    for name, value in _leaves(held, path):
        if isinstance(value, torch.Tensor):
            _require_dense(name, value, path)
            storages[value.untyped_storage()._cdata] = value.untyped_storage().nbytes()
        elif isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise UserError(f"{path} holds a whole number of more than 64 bits{_at(name)}; make or download it again")
    if sum(storages.values()) > max(_ALWAYS_FINE, _PACKED * path.stat().st_size):
        raise UserError(f"{path} names tensors far larger than it is itself; make or download it again")


def _leaves(held: Any, path: Path) -> Iterator[tuple[str, Any]]:
    """Yield (name, value) of everything in nested tables and lists; UserError where there is no end of them."""
    waiting: list[tuple[str, Any, int]] = [("", held, 0)]
    count = 0
    while waiting:
        name, value, depth = waiting.pop()
        count += 1
        if depth > _DEEPEST or count + len(waiting) > _MOST_VALUES:
            raise UserError(f"{path} is nested too deeply or holds too many values; it is no weights file")
        if not isinstance(value, _NESTING):
            yield name, value
        elif isinstance(value, Mapping):
            waiting += [
                (str(key)[:200] if isinstance(key, str) else name, one, depth + 1) for key, one in value.items()
            ]
        else:
            waiting += [(name, one, depth + 1) for one in value]


def _require_dense(name: str, tensor: torch.Tensor, path: Path) -> None:
    """Raise UserError for a tensor without numbers of its own in memory: sparse, quantised, on no device, expanded."""
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
        kind = "quantised" if tensor.is_quantized else "sparse" if tensor.device.type == "cpu" else "without values"
        raise UserError(f"{path} holds a tensor that is {kind}{_at(name)}; save it dense, in floating point")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise UserError(
            f"{path} holds a tensor {list(tensor.shape)[:8]} of fewer numbers than that{_at(name)}; save it with "
            "contiguous()"
        )


def _at(name: str) -> str:
    return f" ({name})" if name else ""
