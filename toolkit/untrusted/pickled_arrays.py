"""Numbers and arrays of NumPy in plain pickles, made of inert records (toolkit.untrusted.inert_pickles)."""

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from toolkit.untrusted.inert_records import Made, is_call

# NumPy moved its internals from core to _core in 2.0; files keep the name of the one that wrote them.
_CORES = ("numpy.core.multiarray", "numpy._core.multiarray")
KIND = ("numpy", "dtype")
ARRAY = ("numpy", "ndarray")
SCALAR = tuple((core, "scalar") for core in _CORES)
RECONSTRUCT = tuple((core, "_reconstruct") for core in _CORES)
# How an array stands in protocol 5, which Python 3.14 writes unless told otherwise.
FROM_BUFFER = (("numpy.core.numeric", "_frombuffer"), ("numpy._core.numeric", "_frombuffer"))
ARRAYS = (*RECONSTRUCT, *FROM_BUFFER)
ALLOWED = {KIND, ARRAY, *SCALAR, *ARRAYS}

_CODE = re.compile("b1|[iu][1248]|f[248]")
_MOST_DIMENSIONS = 16

Content = Callable[[Any], bytes | bytearray]


def scalar(value: Made, content_of: Content) -> bool | int | float:
    """Return the number in the record of a NumPy scalar, as Python's own; ValueError where it is none."""
    if len(value.arguments) != 2:
        raise ValueError("it holds a number that is none")
    kind, held = value.arguments
    return _filled(_kind(kind), 1, content_of(held)).item()


def array(value: Made, content_of: Content) -> np.ndarray:
    """Return the array in its record; ValueError where it is none, or one of other things than numbers."""
    shape, kind, in_columns, held = _parts(value)
    if not isinstance(shape, tuple) or len(shape) > _MOST_DIMENSIONS:
        raise ValueError("it holds an array without a shape")
    if not all(type(size) is int and 0 <= size < 2**48 for size in shape):
        raise ValueError("it holds an array without a shape")
    flat = _filled(_kind(kind), math.prod(shape), content_of(held))
    return flat.reshape(shape, order="F" if in_columns else "C")


def _parts(value: Made) -> tuple[Any, Any, bool, Any]:
    """Return shape, kind, whether it is stored by columns, and what holds the numbers."""
    if is_call(value, *RECONSTRUCT) and isinstance(value.state, tuple) and len(value.state) == 5:
        return value.state[1], value.state[2], value.state[3] is True, value.state[4]
    if is_call(value, *FROM_BUFFER) and len(value.arguments) == 4 and value.state is None:
        held, kind, shape, order = value.arguments
        return shape, kind, order == "F", held
    raise ValueError("it holds an array that is none")


def _kind(value: Any) -> np.dtype:
    """Return the kind of numbers in a record, which holds its code, and the order of its bytes as its state."""
    if not (is_call(value, KIND) and value.arguments and isinstance(value.state, tuple) and len(value.state) > 1):
        raise ValueError("it holds numbers of no kind")
    code, order = value.arguments[0], value.state[1]
    if type(code) is not str or not _CODE.fullmatch(code) or order not in ("<", ">", "|", "="):
        raise ValueError("it holds an array of other things than numbers")
    return np.dtype(code).newbyteorder(order)


def _filled(kind: np.dtype, count: int, held: bytes | bytearray) -> np.ndarray:
    if len(held) != count * kind.itemsize:
        raise ValueError("it holds an array of another size than it says")
    return np.frombuffer(held, kind)
