"""TensorFlow checkpoint bundles, read without TensorFlow.

A bundle is `PREFIX.index`, a LevelDB table (leveldb, doc/table_format.md) from variable names to BundleEntryProto
messages (tensorflow/core/protobuf/tensor_bundle.proto), beside shards of raw numbers `PREFIX.data-00000-of-00001`.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from google_crc32c import value as crc32c

from toolkit.errors import UserError
from toolkit.files.writing import existing_file
from toolkit.untrusted.text import guarded

_AGAIN = "download or copy it again"
_LARGEST_INDEX = 64_000_000  # bytes; BigBiGAN's has a hundred thousand
_MOST_DIMENSIONS = 32  # of numpy before 2.0
_MOST_KEY_BYTES = 64_000_000  # of all names together, each of which may repeat what the one before began with
_LONGEST_VARINT = 10  # bytes, of 64 bits
_FOOTER_BYTES = 48
_MAGIC = bytes.fromhex("57fb808b247547db")
_UNCOMPRESSED = 0
_BIG_ENDIAN = 1
_STRING, _BFLOAT16 = 7, 14  # numbers of tensorflow/core/framework/types.proto, as are the keys below
_DTYPES = {
    1: "<f4", 2: "<f8", 3: "<i4", 4: "u1", 5: "<i2", 6: "i1", 8: "<c8", 9: "<i8", 10: "?",
    _BFLOAT16: "<u2", 17: "<u2", 18: "<c16", 19: "<f2", 22: "<u4", 23: "<u8",
}  # fmt: skip


@dataclass(frozen=True)
class _Entry:
    dtype: int = 0
    shape: tuple[int, ...] = ()
    shard: int = 0
    offset: int = 0
    size: int = 0
    checksum: int = 0
    sliced: bool = False


class CheckpointBundle(Mapping[str, np.ndarray]):
    """The variables of one checkpoint by name, each read from its shard and checked when it is asked for.

    bfloat16 comes as float32, everything else in its own type. UserError for a damaged or foreign index, for
    big-endian files and compressed tables, for shards that are missing or cut; on access also for strings, variables
    stored in slices, and numbers whose checksum differs.
    """

    def __init__(self, index: Path) -> None:
        self.index = existing_file(index, "TensorFlow checkpoint index")
        if self.index.stat().st_size > _LARGEST_INDEX:
            self._damaged(self.index, f"it has more than {_LARGEST_INDEX / 1e6:g} MB")
        with guarded(f"{index} is damaged or no TensorFlow checkpoint file", _AGAIN):
            num_shards, self._entries = _read_index(self.index.read_bytes())
        stem = self.index.name.removesuffix(".index")
        # One by one: the first that is missing ends it, whatever number the index says.
        shards = (f"{stem}.data-{i:05}-of-{num_shards:05}" for i in range(num_shards))
        self._shards = [existing_file(self.index.with_name(name), "data shard of this checkpoint") for name in shards]
        self._require_whole_shards()

    @property
    def files(self) -> list[Path]:
        """Return the index and the data shards."""
        return [self.index, *self._shards]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __getitem__(self, name: str) -> np.ndarray:
        entry = self._entries[name]
        if entry.sliced:
            raise UserError(f"{self.index} keeps the variable {name} in slices; save it again without partitioning")
        if entry.dtype not in _DTYPES:
            what = "strings" if entry.dtype == _STRING else f"TensorFlow type {entry.dtype}"
            raise UserError(f"the variable {name} of {self.index} holds {what}, but only numbers can be read")
        dtype = np.dtype(_DTYPES[entry.dtype])
        if entry.size != math.prod(entry.shape) * dtype.itemsize:
            self._damaged(self.index, f"{name} has {entry.size} bytes for the shape {list(entry.shape)}")
        shard = self._shards[entry.shard]
        with shard.open("rb") as handle:
            handle.seek(entry.offset)
            raw = handle.read(entry.size)
        if _masked(crc32c(raw)) != entry.checksum:
            self._damaged(shard, f"the checksum differs for {name}")
        numbers = np.frombuffer(raw, dtype).reshape(entry.shape)
        if entry.dtype == _BFLOAT16:
            return (numbers.astype("<u4") << np.uint32(16)).view("<f4")
        return numbers

    def _require_whole_shards(self) -> None:
        sizes = [shard.stat().st_size for shard in self._shards]
        for name, entry in self._entries.items():
            if entry.shard >= len(sizes):
                self._damaged(self.index, f"{name} lies in shard {entry.shard} of {len(sizes)}")
            if entry.offset + entry.size > sizes[entry.shard]:
                self._damaged(self._shards[entry.shard], f"it ends before {name}")
        if sum(entry.size for entry in self._entries.values()) > sum(sizes):
            self._damaged(self.index, "its variables overlap")

    def _damaged(self, path: Path, reason: str) -> NoReturn:
        raise UserError(f"{path} is damaged or no TensorFlow checkpoint file ({reason}); {_AGAIN}")


def find_index(path: Path) -> Path:
    """Return the one checkpoint index that `path` is, or that lies anywhere below the folder `path`.

    UserError when there is none or several.
    """
    if not Path(path).is_dir():
        return Path(path)
    paths = sorted(Path(path).rglob("[!.]*.index"))
    if not paths:
        raise UserError(f"no TensorFlow checkpoint below {path}; it should hold variables/variables.index")
    if len(paths) > 1:
        raise UserError(
            f"{len(paths)} checkpoints below {path}, such as {paths[0]} and {paths[1]}; name one .index file"
        )
    return paths[0]


def _read_index(content: bytes) -> tuple[int, dict[str, _Entry]]:
    """Return the number of shards and the entries of an index; ValueError or IndexError when it is damaged."""
    table = dict(_table(content))
    header = {number: value for number, value, _ in _fields(table.pop(b"", b""))}
    if header.get(2) == _BIG_ENDIAN:
        raise ValueError("its numbers are big-endian, which is not supported")
    if not header.get(1):
        raise ValueError("it has no header")
    # Keys that begin with a zero byte are the slices of partitioned variables.
    return header[1], {key.decode(): _entry(value) for key, value in table.items() if not key.startswith(b"\0")}


def _entry(message: bytes) -> _Entry:
    names = {1: "dtype", 3: "shard", 4: "offset", 5: "size", 6: "checksum"}
    fields: dict[str, int] = {}
    shape: tuple[int, ...] = ()
    sliced = False
    for number, value, payload in _fields(message):
        if number in names:
            fields[names[number]] = value
        elif number == 2:
            shape = tuple(_dimension(part) for kind, _, part in _fields(payload) if kind == 2)
            if len(shape) > _MOST_DIMENSIONS:
                raise ValueError(f"a variable has {len(shape)} dimensions")
        elif number == 7:
            sliced = True
    return _Entry(**fields, shape=shape, sliced=sliced)


def _dimension(message: bytes) -> int:
    return next((value for number, value, _ in _fields(message) if number == 1), 0)  # zero is omitted from the file


def _fields(message: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield (field number, value, payload) of a protocol buffer message: a number or bytes, the other one empty."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        number, wire_type = tag >> 3, tag & 7
        value, payload = 0, b""
        if wire_type == 0:
            value, position = _varint(message, position)
        elif wire_type == 2:
            length, position = _varint(message, position)
            payload, position = message[position : position + length], position + length
        elif wire_type in (1, 5):
            width = 8 if wire_type == 1 else 4
            value, position = int.from_bytes(message[position : position + width], "little"), position + width
        else:
            raise ValueError(f"a message holds the unknown wire type {wire_type}")
        yield number, value, payload


def _table(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the (key, value) pairs of a LevelDB table in order."""
    footer = content[-_FOOTER_BYTES:]
    if len(footer) < _FOOTER_BYTES or not footer.endswith(_MAGIC):
        raise ValueError("the end of an index is missing")
    _, position = _handle(footer, 0)  # of the meta index, which is empty
    (offset, size), _ = _handle(footer, position)
    handles = [_handle(block, 0)[0] for _, block in _block(content, offset, size)]
    if sum(size for _, size in handles) > len(content):
        raise ValueError("its blocks overlap")
    for handle in handles:
        yield from _block(content, *handle)


def _handle(message: bytes, position: int) -> tuple[tuple[int, int], int]:
    offset, position = _varint(message, position)
    size, position = _varint(message, position)
    return (offset, size), position


def _block(content: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield the pairs of one block, whose keys leave out what they share with the key before."""
    block, compression = content[offset : offset + size], content[offset + size]
    stored = int.from_bytes(content[offset + size + 1 : offset + size + 5], "little")
    if _masked(crc32c(content[offset : offset + size + 1])) != stored:
        raise ValueError("the checksum of a block differs")
    if compression != _UNCOMPRESSED:
        raise ValueError("its table is compressed, which is not supported")
    num_restarts = int.from_bytes(block[-4:], "little")
    end = size - 4 * (num_restarts + 1)
    position, key, key_bytes = 0, b"", 0
    while position < end:
        shared, position = _varint(block, position)
        unshared, position = _varint(block, position)
        length, position = _varint(block, position)
        key = key[:shared] + block[position : position + unshared]
        position += unshared
        key_bytes += len(key)
        if key_bytes > _MOST_KEY_BYTES:
            raise ValueError("its names are too long")
        yield key, block[position : position + length]
        position += length


def _varint(message: bytes, position: int) -> tuple[int, int]:
    """Return (number, position behind it) of seven bits a byte, lowest first."""
    value = 0
    for index in range(_LONGEST_VARINT):
        byte = message[position + index]
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, position + index + 1
    raise ValueError("a number has more than 64 bits")


def _masked(checksum: int) -> int:
    """Return a checksum as LevelDB stores it: turned by 15 bits and moved by a constant."""
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF
