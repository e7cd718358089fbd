"""Pickles put together by hand, a piece of bytes a value: for what no training would write."""

import pickle
import struct
from collections.abc import Mapping

import numpy as np

STORAGES = {"<f4": "FloatStorage", "<f8": "DoubleStorage", "<f2": "HalfStorage", "<i8": "LongStorage"}
MARK = "ran-something"  # the folder that a call of `marker` would make


def whole(value: bytes) -> bytes:
    return b"\x80\x03" + value + b"."


def text(value: str) -> bytes:
    held = value.encode()
    return b"X" + struct.pack("<I", len(held)) + held


def number(value: float | None) -> bytes:
    return pickle.dumps(value, 2)[2:-1]


def raw(value: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(value)) + value


def named(name: str) -> bytes:
    module, _, inner = name.rpartition(".")
    return f"c{module}\n{inner}\n".encode()


def tuple_of(*values: bytes) -> bytes:
    return b"(" + b"".join(values) + b"t"


def called(name: str, *values: bytes) -> bytes:
    return named(name) + tuple_of(*values) + b"R"


def table(values: Mapping[str, bytes]) -> bytes:
    return b"}(" + b"".join(text(name) + value for name, value in values.items()) + b"u"


def marker() -> bytes:
    """A call that leaves a mark where it is made."""
    return called("os.mkdir", text(MARK))


def storage(array: np.ndarray, *, numbers: int | None = None, kind: str | None = None, extra: bytes = b"") -> bytes:
    """Numbers as torch pickles them; `extra` stands in their own pickle, in front of what it holds."""
    count = array.size if numbers is None else numbers
    described = tuple_of(
        text("storage"), named(kind or f"torch.{STORAGES[array.dtype.str]}"), text("7"), text("cpu"), number(count)
    )
    machine = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    parts = [pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, machine)]
    parts += [whole(extra + described + b"Q"), pickle.dumps(["7"], 2), struct.pack("<q", count), array.tobytes()]
    return called("torch.storage._load_from_bytes", raw(b"".join(parts)))


def tensor(
    array: np.ndarray, size: tuple | None = None, stride: tuple | None = None, offset: int = 0, held: bytes = b""
) -> bytes:
    size = array.shape if size is None else size
    stride = tuple(step // array.itemsize for step in array.strides) if stride is None else stride
    sizes = [tuple_of(*map(number, one)) for one in (size, stride)]
    empty = called("collections.OrderedDict")
    built = called(
        "torch._utils._rebuild_tensor_v2", held or storage(array), number(offset), *sizes, number(False), empty
    )
    return called("torch._utils._rebuild_parameter", built, number(True), empty)


def module(
    parameters: Mapping[str, bytes] | None = None,
    modules: Mapping[str, bytes] | None = None,
    *,
    version: int = 6,
    class_name: str = "Generator",
    source: str = "raise RuntimeError('executed')\n",
    **state: bytes,
) -> bytes:
    held = {
        "_parameters": table(parameters or {}),
        "_buffers": table({}),
        "_modules": table(modules or {}),
        "_init_kwargs": table({}),
        **state,
    }
    return called(
        "torch_utils.persistence._reconstruct_persistent_obj",
        table(
            {
                "type": text("class"),
                "version": number(version),
                "module_src": text(source * 60),
                "class_name": text(class_name),
                "state": table(held),
            }
        ),
    )
