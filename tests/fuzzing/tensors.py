"""Damage to files of numbers: arrays, weights, artefacts, checkpoint bundles, archives. Checksums are made to fit."""

import io
import json
import tarfile
import warnings
import zipfile
import zlib
from random import Random
from typing import Any

import numpy as np
import torch

from .mutations import TEXTS, any_of, damaged_bytes, damaged_json, encoded

HUGE = (10**6, 10**9, 2**31, 2**40, 2**62)


def damaged_npy(rng: Random, content: bytes) -> bytes:
    """Return a `.npy` file whose header says something else, its numbers left as they are."""
    data = content[content.index(b"\n") + 1 :]
    kinds = ["<f4", ">f4", "<f2", "<f8", "<c8", "|b1", "|O", "<U3", "<U0", "|V0", "<i8", "<u1", "|S0", "M8[s]", "<f16"]
    fields = {
        "descr": repr(rng.choice([*kinds, [("a", "<f4")], ("<f4", (1000, 1000)), [("a", "<f4", 10**9)], 7, None])),
        "fortran_order": rng.choice(["True", "False", "None", "0"]),
        "shape": repr(
            rng.choice(
                [
                    (),
                    (0, 16),
                    (4,),
                    (4, 16, 1),
                    (-1, 16),
                    (True, 16),
                    (2.0, 16),
                    (rng.choice(HUGE), 16),
                    (1,) * 70,
                    [4, 16],
                ]
            )
        ),
    }
    whole = {"descr": "'<f4'", "fortran_order": "False", "shape": "(4, 16)"}
    changed = rng.choice(list(whole))
    said = {**whole, changed: fields[changed]}
    header = "{" + ", ".join(f"'{key}': {value}" for key, value in said.items()) + "}"
    header = rng.choice(
        [header, header, header, header + " " * 70_000, "(" * 9000, "{" * 5000, "[" + "0," * 4000 + "]"]
    )
    version = rng.choice([1, 1, 2, 3, 9])
    width = 2 if version == 1 else 4
    length = len(header) + 1
    if rng.random() < 0.1:
        length = rng.choice([0, 1, 2**15, 2**31 - 1])
    return (
        b"\x93NUMPY"
        + bytes([version, 0])
        + (length % 256**width).to_bytes(width, "little")
        + header.encode()
        + b"\n"
        + data
    )


def odd_tensor(rng: Random, like: torch.Tensor) -> Any:
    """Return what a state dict should not hold in the place of `like`."""
    shape = tuple(like.shape)
    ways = [
        lambda: torch.zeros(1).expand(rng.choice(HUGE[:3]), 3),
        lambda: torch.zeros(1).expand(shape) if shape else torch.zeros(0),
        lambda: torch.empty(shape, device="meta"),
        lambda: torch.empty(rng.choice(HUGE), device="meta"),
        lambda: torch.quantize_per_tensor(torch.zeros(shape or (1,)), 0.1, 0, torch.qint8),
        lambda: torch.zeros(
            shape, dtype=rng.choice([torch.complex64, torch.bool, torch.uint8, torch.int32, torch.int64])
        ),
        lambda: torch.zeros(shape).to(torch.float8_e4m3fn),
        lambda: torch.zeros(shape, dtype=rng.choice([torch.float16, torch.bfloat16, torch.float64])),
        lambda: torch.zeros(shape or (1,)).to_sparse(),
        lambda: torch.sparse_coo_tensor(torch.zeros(1, 1, dtype=torch.int64), torch.ones(1), (rng.choice(HUGE),)),
        lambda: torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)]),
        lambda: torch.full(shape, rng.choice([float("nan"), float("inf"), 3e38, 1e-45])),
        lambda: torch.zeros([rng.choice([0, 1, 2, 7]) for _ in range(rng.choice([0, 1, 2, 4, 5]))]),
        lambda: torch.zeros(0, rng.choice(HUGE)),
        lambda: like.T if like.dim() == 2 else like.flatten(),
        lambda: rng.choice([None, 1, -1.5, "x", b"x", [like], {"a": like}, (like,) * 3, 2**200, {}, [], True]),
        lambda: _nested(rng.choice([3, 40, 500])),
        lambda: _doubling(rng.choice([5, 30])),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that some kinds are in beta, or will go
        return rng.choice(ways)()


def _nested(depth: int) -> Any:
    held: Any = torch.zeros(1)
    for _ in range(depth):
        held = [held]
    return held


def _doubling(depth: int) -> Any:
    """Return lists in lists, each twice in the next: few in memory, and without end to whoever walks through them."""
    held: Any = [1]
    for _ in range(depth):
        held = [held, held]
    return held


def damaged_state(rng: Random, held: Any) -> Any:
    """Return a state dict, or what else was pickled, with one of its entries odd, gone, renamed, or among others."""
    if isinstance(held, torch.Tensor):
        return odd_tensor(rng, held)
    if not isinstance(held, dict) or not held:
        return rng.choice([None, 3, [held], {"state_dict": held}])
    key = rng.choice(list(held))
    act = rng.randrange(8)
    rest = {name: value for name, value in held.items() if name != key}
    if act == 0:
        return rest
    if act == 1:
        return {**rest, rng.choice([*TEXTS, 3, None, ("a", 1), f"{key}."]): held[key]}
    if act == 2:
        return {**held, rng.choice(TEXTS): odd_tensor(rng, torch.zeros(2))}
    if act == 3:
        return rng.choice(
            [{"state_dict": held}, [held], {**held, **{f"x{i}": 0 for i in range(3000)}}, list(held.values())]
        )
    value = held[key]
    if isinstance(value, dict) and value:
        return {**rest, key: damaged_state(rng, value)}
    return {**rest, key: odd_tensor(rng, value if isinstance(value, torch.Tensor) else torch.zeros(2))}


def damaged_pickle(rng: Random, content: bytes) -> bytes:
    """Return a `.pt` file of something else than `content` holds, in either of torch's formats."""
    held = torch.load(io.BytesIO(content), weights_only=True)
    written = io.BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.save(damaged_state(rng, held), written, _use_new_zipfile_serialization=rng.random() < 0.7)
    except Exception:  # not every kind of tensor can be saved in the older format
        return damaged_zip(rng, content)
    return written.getvalue()


def damaged_zip(rng: Random, content: bytes) -> bytes:
    """Return an archive with one member damaged, gone, there twice, or all of them packed; checksums fit."""
    if not content.startswith(b"PK"):  # torch's older format
        return damaged_bytes(rng, content)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    index = rng.randrange(len(members))
    name, inner = members[index]
    packing = zipfile.ZIP_STORED
    act = rng.randrange(6)
    if act == 0:
        members.pop(index)
    elif act == 1:
        packing = zipfile.ZIP_DEFLATED
    elif act == 2:
        members[index] = name, bytes(rng.choice([0, 1, 10**6, 10**8]))
        packing = zipfile.ZIP_DEFLATED
    else:
        members[index] = name, damaged_bytes(rng, inner)
    if rng.random() < 0.1:
        members.append(members[0])
    written = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(written, "w", packing) as archive:
        warnings.simplefilter("ignore")  # of names that are there twice
        for name, inner in members:
            archive.writestr(name, inner)
    return written.getvalue()


def damaged_safetensors(rng: Random, content: bytes) -> bytes:
    """Return a safetensors file with its header, or the card in it, damaged as JSON."""
    length = int.from_bytes(content[:8], "little")
    header, data = content[8 : 8 + length].decode(), content[8 + length :]
    said = json.loads(header)
    if rng.random() < 0.6 and "card" in said.get("__metadata__", {}):
        said["__metadata__"]["card"] = (
            damaged_json(rng, said["__metadata__"]["card"]).encode("utf-8", "replace").decode()
        )
        header = json.dumps(said)
    else:
        header = damaged_json(rng, header)
    new = encoded(header)
    claimed = rng.choice([len(new)] * 8 + [0, 2**31, 2**63, len(new) + 1])
    return claimed.to_bytes(8, "little") + new + data


def damaged_tar(rng: Random, content: bytes) -> bytes:
    """Return a tar with one header's fields changed and its checksum right again, or members of other kinds."""
    held = bytearray(content)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        starts = [member.offset for member in archive.getmembers()]
    start = rng.choice(starts)
    field, width = rng.choice([(0, 100), (124, 12), (156, 1), (157, 100), (257, 8), (345, 155)])
    values = [
        b"../up",
        b"/abs",
        b"a\0b",
        b"77777777777\0",
        b"\x80" + b"\xff" * 11,
        b"5",
        b"1",
        b"x",
        b"g",
        b"L",
        b"S",
        b"-1",
    ]
    held[start + field : start + field + width] = rng.choice([*values, rng.randbytes(width)])[:width].ljust(
        width, b"\0"
    )
    held[start + 148 : start + 156] = b" " * 8
    held[start + 148 : start + 156] = b"%06o\0 " % sum(held[start : start + 512])
    return bytes(held)


def packed(damage: Any) -> Any:
    """Return damage to what a gzip file holds."""

    def within(rng: Random, content: bytes) -> bytes:
        packer = zlib.compressobj(wbits=31)
        return packer.compress(damage(rng, zlib.decompress(content, wbits=47))) + packer.flush()

    return within


def damaged_png(rng: Random, content: bytes) -> bytes:
    """Return a PNG with one chunk damaged, gone or twice there; checksums fit."""
    chunks, place = [], 8
    while place < len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        chunks.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + length]))
        place += 12 + length
    index = rng.randrange(len(chunks))
    kind, inner = chunks[index]
    chunks[index : index + 1] = rng.choice([[], [chunks[index]] * 2, *[[(kind, damaged_bytes(rng, inner))]] * 4])
    written = content[:8]
    for kind, inner in chunks:
        written += len(inner).to_bytes(4, "big") + kind + inner + zlib.crc32(kind + inner).to_bytes(4, "big")
    return written


def array_of(rng: Random) -> np.ndarray:
    """Return an array of any kind and up to five dimensions, a few numbers."""
    kinds = ["<f4", "<f8", "<i4", "u1", "<c8", "?", "<i8", "<f2"]
    return np.zeros([rng.choice([0, 1, 2, 5]) for _ in range(rng.randrange(6))], rng.choice(kinds))


PACKED_ARRAYS = any_of(damaged_zip, damaged_zip, damaged_bytes)
NPY = any_of(damaged_npy, damaged_npy, damaged_bytes)
PICKLE = any_of(damaged_pickle, damaged_pickle, damaged_pickle, damaged_zip, damaged_bytes)
SAFETENSORS = any_of(damaged_safetensors, damaged_safetensors, damaged_safetensors, damaged_bytes)
TAR = any_of(damaged_tar, damaged_tar, damaged_bytes)
PACKED_TAR = any_of(packed(TAR), damaged_bytes)
