"""Arrays of others in `.npy` and `.npz` files, read with bounds on what they may ask for; nothing in them is run."""

import io
import math
import warnings
import zipfile
from collections.abc import Collection
from pathlib import Path

import numpy as np
import torch

from toolkit.files.writing import existing_file
from toolkit.untrusted.foreign import naming_others
from toolkit.untrusted.text import guarded

_LARGEST = 128_000_000  # bytes of one array: 8192 directions of 2048 numbers, in 64 bits each
_LONGEST_HEADER = 10_000  # bytes, numpy's own bound


def read_array(path: Path, what: str) -> torch.Tensor:
    """Return the numbers in a `.npy` file as float32; UserError for anything else, and numbers that are not finite."""
    existing_file(path, what)
    with (
        guarded(f"cannot read {path} as {what}", "save it with numpy.save"),
        naming_others(path, what),
        path.open("rb") as handle,
    ):
        return _numbers(handle.read(_LARGEST + 1))


def read_arrays(path: Path, names: Collection[str], what: str) -> dict[str, torch.Tensor]:
    """Return those of `names` that a `.npz` file holds, as float32; UserError as for `read_array`.

    Others, however large, are not looked at.
    """
    existing_file(path, what)
    with (
        guarded(f"cannot read {path} as {what}", "make or download it again"),
        naming_others(path, what),
        zipfile.ZipFile(path) as archive,
    ):
        members = {f"{name}.npy" for name in names} & set(archive.namelist())
        return {member.removesuffix(".npy"): _numbers(_unpacked(archive, member)) for member in sorted(members)}


def _unpacked(archive: zipfile.ZipFile, member: str) -> bytes:
    with archive.open(member) as handle:
        return handle.read(_LARGEST + 1)


def _numbers(content: bytes) -> torch.Tensor:
    """Return the array that the bytes of a `.npy` file hold; ValueError for one that is not what it says."""
    if len(content) > _LARGEST:
        raise ValueError(f"it has more than {_LARGEST / 1e6:g} MB")
    handle = io.BytesIO(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of headers that Python 2 wrote
        version = np.lib.format.read_magic(handle)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, column_major, dtype = read(handle, max_header_size=_LONGEST_HEADER)
    if dtype.kind not in "fiu" or dtype.shape:
        raise ValueError(f"it holds {dtype}, not numbers")
    if math.prod(shape) * dtype.itemsize != len(content) - handle.tell():
        raise ValueError(f"it has more or fewer bytes than its shape {list(shape)} needs")
    array = np.frombuffer(content, dtype, offset=handle.tell()).reshape(shape, order="F" if column_major else "C")
    with np.errstate(over="ignore"):
        numbers = torch.from_numpy(array.astype(np.float32, order="C"))
    if not bool(torch.isfinite(numbers).all()):
        raise ValueError("it holds values that are no finite numbers")
    return numbers
