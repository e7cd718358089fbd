"""PNG files written strip by strip: no more of a picture is held than its strip, and little time is spent on it.

Pillow's encoder tries five filters on each row, which takes most of its time, and wants the whole picture first. Here
each row is filtered by the one above it, and compressed by ISA-L where it is installed, whose fastest level makes files
of the same size at a fifth of the time; else by zlib. Every reader of PNG reads either to the same pixels.
"""

import io
import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import numpy as np

isal_zlib: Any
try:
    from isal import isal_zlib
except ImportError:  # there is none for every processor
    isal_zlib = None

_START = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPES = {1: 0, 3: 2, 4: 6}  # by channels: grey, RGB, RGBA
_UP = 2  # the filter that takes a row's difference to the one above
_STRIP_PIXELS = 2**17  # filtered at a time, which a processor's cache holds
_SMALLEST_CHUNK = 2**16  # bytes of all but the last


def rows_of(pixels: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the rows of a picture (H, W) or (H, W, C), some at a time."""
    rows = max(1, _STRIP_PIXELS // pixels.shape[1])
    for top in range(0, len(pixels), rows):
        yield pixels[top : top + rows]


def write_png(file: BinaryIO, shape: tuple[int, ...], parts: Iterable[np.ndarray]) -> None:
    """Write a picture uint8 of `shape` (H, W) or (H, W, C) with 3 or 4 channels, given in parts (h, W, ...) of rows."""
    channels = shape[2] if len(shape) == 3 else 1
    file.write(
        _START + _chunk(b"IHDR", struct.pack(">IIBBBBB", shape[1], shape[0], 8, _COLOUR_TYPES[channels], 0, 0, 0))
    )
    waiting = b""
    for piece in _compressed(parts, shape[1] * channels):
        waiting += piece
        if len(waiting) >= _SMALLEST_CHUNK:
            file.write(_chunk(b"IDAT", waiting))
            waiting = b""
    file.write(_chunk(b"IDAT", waiting) + _chunk(b"IEND", b""))


def png_bytes(pixels: np.ndarray) -> bytes:
    """Return a picture uint8 (H, W) or (H, W, C) as the content of a PNG file."""
    file = io.BytesIO()
    write_png(file, pixels.shape, rows_of(pixels))
    return file.getvalue()


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(name)))


def _compressed(parts: Iterable[np.ndarray], width: int) -> Iterator[bytes]:
    """Yield what a stream of rows of `width` bytes, filtered, is compressed to."""
    stream = _stream()
    above = np.zeros((1, width), np.uint8)
    for part in parts:
        for rows in rows_of(part.reshape(len(part), width)):
            filtered = np.empty((len(rows), width + 1), np.uint8)
            filtered[:, 0] = _UP
            np.subtract(rows[:1], above, out=filtered[:1, 1:])
            np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
            yield stream.compress(filtered)
            above = rows[-1:].copy()
    yield stream.flush()


def _stream() -> Any:
    if isal_zlib is not None:
        return isal_zlib.compressobj(1)
    return zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_RLE)
