"""Tensors in plain pickles (not in files of torch.save), made of inert records: their numbers are read, nothing else.

torch puts the storage of such a tensor there as a file of its format before 1.6: five pickles (a magic number, the
version, the machine, the storage by a persistent id, the list of its keys), then a count and the numbers.
"""

import codecs
import io
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from toolkit.untrusted.inert_pickles import read_pickle
from toolkit.untrusted.inert_records import PERSISTENT, Made, Name, Stretch, is_call

PARAMETER = ("torch._utils", "_rebuild_parameter")
PARAMETER_WITH_STATE = ("torch._utils", "_rebuild_parameter_with_state")
TENSOR = ("torch._utils", "_rebuild_tensor_v2")
STORAGE = ("torch.storage", "_load_from_bytes")
ENCODED = ("_codecs", "encode")  # bytes in protocol 2, which has none
ALLOWED = {PARAMETER, PARAMETER_WITH_STATE, TENSOR, STORAGE, ENCODED}

_MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001
_DTYPES = {
    "DoubleStorage": torch.float64, "FloatStorage": torch.float32, "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32,
    "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8, "BoolStorage": torch.bool,
}  # fmt: skip
_MOST_STEPS = 1000  # of the pickles around a storage, which have some thirty
_MOST_DIMENSIONS = 16
_PIECE = 1_000_000  # bytes decoded at a time


@dataclass(frozen=True)
class _Storage:
    """`numbers` of one kind that lie in `file` from `place` on."""

    file: io.BufferedIOBase
    place: int
    numbers: int
    dtype: torch.dtype


class TensorReader:
    """Makes tensors of the records in one pickle, whose `file` of `size` bytes is open.

    All of them together may have twice the bytes of the file: each record can be named any number of times.
    """

    def __init__(self, file: io.BufferedIOBase, size: int) -> None:
        self._file, self._size = file, size
        self._left = 2 * size

    def tensor(self, value: Any) -> torch.Tensor:
        """Return the tensor, or parameter, in a record; ValueError for anything else, and one that is not all there."""
        for _ in range(2):  # a parameter is a call of its own around a tensor
            if is_call(value, PARAMETER, PARAMETER_WITH_STATE):
                value = _argument(value, 0)
        if not is_call(value, TENSOR) or value.state is not None:
            raise ValueError("it is no tensor")
        storage, offset, size, stride = (_argument(value, index) for index in range(4))
        if not is_call(storage, STORAGE):
            raise ValueError("it has no storage of its own")
        return self._view(self._storage(_argument(storage, 0)), offset, _sizes(size), _sizes(stride))

    def content(self, value: Any) -> bytes | bytearray:
        """Return the bytes in a record."""
        if is_call(value, ENCODED):
            return self._encoded(value)
        if isinstance(value, Stretch) and not value.is_text:
            self._spend(value.length)
            self._file.seek(value.place)
            return self._file.read(value.length)
        if not isinstance(value, bytes):
            raise ValueError("it holds no bytes")
        return value

    def _view(self, storage: _Storage, offset: Any, size: tuple[int, ...], stride: tuple[int, ...]) -> torch.Tensor:
        count = math.prod(size)
        if type(offset) is not int or offset < 0 or len(size) != len(stride):
            raise ValueError("its sizes are none")
        # Strides of 0 would give any number of values to one number in the file.
        span = 1 + sum((number - 1) * step for number, step in zip(size, stride, strict=True)) if count else 0
        if count > storage.numbers or offset + span > storage.numbers:
            raise ValueError("it is larger than its storage")
        self._spend(max(span, count) * storage.dtype.itemsize)
        flat = torch.empty(span, dtype=storage.dtype)
        storage.file.seek(storage.place + offset * storage.dtype.itemsize)
        if storage.file.readinto(flat.view(torch.uint8).numpy().data) != flat.nbytes:
            raise ValueError("it is cut short")
        return flat.as_strided(size, stride).contiguous()

    def _storage(self, held: Any) -> _Storage:
        """Return where the numbers of a storage lie."""
        if isinstance(held, Stretch) and not held.is_text:
            return _storage_in(self._file, held.place, held.place + held.length)
        content = self.content(held)
        return _storage_in(io.BytesIO(content), 0, len(content))

    def _encoded(self, value: Made) -> bytes | bytearray:
        text, coding = _argument(value, 0), _argument(value, 1)
        if coding not in ("latin1", "latin-1"):
            raise ValueError("its bytes are encoded in another way")
        if isinstance(text, str):
            return text.encode("latin-1")
        if not (isinstance(text, Stretch) and text.is_text):
            raise ValueError("it holds no bytes")
        self._spend(text.length)
        self._file.seek(text.place)
        decoder, held, left = codecs.getincrementaldecoder("utf-8")(), bytearray(), text.length
        while left:
            piece = self._file.read(min(left, _PIECE))
            left -= len(piece)
            held += decoder.decode(piece, final=not left).encode("latin-1")
        return held

    def _spend(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise ValueError("it names far more numbers than there are in the file")


def _argument(value: Made, index: int) -> Any:
    if index >= len(value.arguments):
        raise ValueError("a part of it is missing")
    return value.arguments[index]


def _sizes(value: Any) -> tuple[int, ...]:
    """Return sizes or strides."""
    if not isinstance(value, tuple) or len(value) > _MOST_DIMENSIONS:
        raise ValueError("its sizes are none")
    if not all(type(number) is int and 0 <= number < 2**48 for number in value):
        raise ValueError("its sizes are none")
    return value


def _storage_in(file: io.BufferedIOBase, start: int, end: int) -> _Storage:
    """Return the storage in what torch wrote between `start` and `end`."""
    file.seek(start)
    magic, version, machine, held, keys = (read_pickle(file, end, _MOST_STEPS) for _ in range(5))
    if magic != _MAGIC or version != _VERSION:
        raise ValueError("its storage has another format")
    if not isinstance(machine, Mapping) or machine.get("little_endian") is not True:
        raise ValueError("its storage is of another kind of machine")
    dtype, name, numbers = _described(held)
    place = file.tell() + 8
    if keys != [name] or place + numbers * dtype.itemsize != end:
        raise ValueError("its storage has another size")
    if struct.unpack("<q", file.read(8)) != (numbers,):
        raise ValueError("its storage has another size than it says")
    return _Storage(file, place, numbers, dtype)


def _described(held: Any) -> tuple[torch.dtype, str, int]:
    """Return kind, key and count of the numbers of a storage, of its persistent id."""
    if not (isinstance(held, Made) and held.what is PERSISTENT):
        raise ValueError("its storage is none")
    described = held.arguments[0]
    if not isinstance(described, tuple) or len(described) not in (5, 6) or described[5:] not in ((), (None,)):
        raise ValueError("its storage is none")
    word, kind, name, _, numbers = described[:5]
    if not isinstance(kind, Name) or kind.module not in ("torch", "torch.storage") or kind.name not in _DTYPES:
        raise ValueError(f"its storage has another kind of numbers, {kind}")
    if word != "storage" or type(name) is not str or type(numbers) is not int or not 0 <= numbers < 2**48:
        raise ValueError("its storage is none")
    return _DTYPES[kind.name], name, numbers
