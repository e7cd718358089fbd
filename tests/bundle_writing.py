"""TensorFlow checkpoint bundles written by hand, also broken ones that TensorFlow would not write."""

from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path

import numpy as np
from google_crc32c import value as crc32c

from generators.tensorflow.bundle import _DTYPES, _masked

NUMBERS = {np.dtype(name): number for number, name in _DTYPES.items()}
MAGIC = bytes.fromhex("57fb808b247547db")


def write_bundle(
    prefix: Path,
    variables: Mapping[str, np.ndarray],
    shards: int = 1,
    entries_a_block: int = 16,
    header: bytes = b"",
    compression: int = 0,
) -> Path:
    """Return the index of a bundle of `variables`, dealt out to the shards in turn; `header` overrides its fields."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    entries = [(b"", b"\x08" + varint(shards) + b"\x1a\x02\x08\x01" + header)]
    files = [prefix.with_name(f"{prefix.name}.data-{i:05}-of-{shards:05}").open("wb") for i in range(shards)]
    for count, name in enumerate(sorted(variables)):
        value = np.asarray(variables[name])
        raw = value.tobytes()
        handle = files[count % shards]
        entries.append((name.encode(), _entry(value, count % shards, handle.tell(), raw)))
        handle.write(raw)
    for handle in files:
        handle.close()
    index = prefix.with_name(f"{prefix.name}.index")
    index.write_bytes(table(entries, entries_a_block, compression))
    return index


def table(entries: list[tuple[bytes, bytes]], entries_a_block: int = 16, compression: int = 0) -> bytes:
    """Return a LevelDB table of sorted (key, value) pairs."""
    content, handles = b"", []
    for start in range(0, len(entries), entries_a_block):
        part = entries[start : start + entries_a_block]
        block = _block(part, compression)
        handles.append((part[-1][0], varint(len(content)) + varint(len(block) - 5)))
        content += block
    footer = b""
    for block in (_block([], 0), _block(handles, 0)):
        footer += varint(len(content)) + varint(len(block) - 5)
        content += block
    return content + footer.ljust(40, b"\0") + MAGIC


def varint(value: int) -> bytes:
    """Return seven bits a byte, lowest first."""
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def _block(entries: list[tuple[bytes, bytes]], compression: int) -> bytes:
    block, before = b"", b""
    for key, value in entries:
        shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, key, strict=False)))
        block += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        before = key
    block += (0).to_bytes(4, "little") + (1).to_bytes(4, "little") + bytes([compression])
    return block + _masked(crc32c(block)).to_bytes(4, "little")


def _entry(value: np.ndarray, shard: int, offset: int, raw: bytes) -> bytes:
    dims = [b"\x08" + varint(n) if n else b"" for n in value.shape]
    shape = b"".join(b"\x12" + varint(len(dim)) + dim for dim in dims)
    numbers = b"\x18" + varint(shard) + b"\x20" + varint(offset) + b"\x28" + varint(len(raw))
    checksum = b"\x35" + _masked(crc32c(raw)).to_bytes(4, "little")
    return b"\x08" + varint(NUMBERS[value.dtype]) + b"\x12" + varint(len(shape)) + shape + numbers + checksum
