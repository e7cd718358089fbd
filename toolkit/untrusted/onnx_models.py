"""ONNX files from outside: what is in one is looked through before any runtime sees it.

A file is read as the protocol buffers that it consists of (onnx.proto), in plain Python. What is let through holds its
weights itself, has no program but a chain of the operators of a convolutional network, none of which can loop, name
another file or ask for memory out of proportion, and is the file that was written, to the bit.
"""

import hashlib
import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from toolkit.errors import UserError
from toolkit.untrusted.foreign import naming_others
from toolkit.untrusted.text import existing_file, guarded

LARGEST = 1_000_000_000  # bytes; the published U-Net has 54 million
DIGEST = "graph_sha256"  # the entry of the metadata that a graph is held against
_OPERATORS = frozenset(
    ("Conv", "ConvTranspose", "Relu", "MaxPool", "Resize", "Shape", "Sub", "Concat", "Pad", "Sigmoid", "Squeeze")
) | {"Cast", "QuantizeLinear", "DequantizeLinear"}
_MOST_NODES = 1000
_MOST = {b"Resize": 4, b"ConvTranspose": 4, b"Pad": 4, b"Concat": 8}  # of those that make features larger
_LARGEST_SIDE = 16_384  # of a weight's axis: channels
_LARGEST_NUMBER = 3  # of a node's attributes: kernels, strides, axes
_DOUBLING = struct.pack("<4f", 1, 1, 2, 2)

# Fields by number. A table's other fields, such as functions, subgraphs and other files, are refused.
_MODEL = {1: "ir", 2: "by", 3: "version", 4: "domain", 5: "model", 6: "doc", 7: "graph", 8: "opset", 14: "metadata"}
_GRAPH = {1: "node", 2: "name", 5: "weight", 10: "doc", 11: "input", 12: "output", 13: "values"}
_NODE = {1: "input", 2: "output", 3: "name", 4: "kind", 5: "attribute", 6: "doc", 7: "domain"}
_ATTRIBUTE = {1: "name", 2: "float", 3: "int", 4: "text", 7: "floats", 8: "ints", 20: "type"}
_WEIGHT = {1: "dims", 2: "type", 4: "floats", 5: "int32s", 8: "name", 9: "raw", 12: "doc"}
_EXTERNAL = (13, 14)
_OPSET = {1: "domain", 2: "version"}
_ENTRY = {1: "key", 2: "value"}
_INT64 = 7

Value = int | memoryview


@dataclass(frozen=True)
class OnnxFile:
    """The bytes of a model that may be run, and the texts in its metadata."""

    content: bytes
    metadata: Mapping[str, str]


def read_model(path: Path) -> OnnxFile:
    """Return a model written by this toolkit; UserError for any other file, and one that is damaged."""
    what = "ONNX model"
    existing_file(path, what)
    if path.stat().st_size > LARGEST:
        raise UserError(f"{path} has more than {LARGEST / 1e6:g} MB, too many for an {what}; check that it is the one")
    with (
        guarded(f"{path} is not an ONNX model of a segmenter", "export the segmenter again"),
        naming_others(path, f"an {what}"),
    ):
        content = path.read_bytes()
        model = list(_fields(memoryview(content), _MODEL))
        metadata = _metadata(model)
        graphs = [_part(value) for name, value in model if name == "graph"]
        if len(graphs) != 1 or DIGEST not in metadata:
            raise ValueError("this toolkit has not written it")
        if hashlib.sha256(graphs[0]).hexdigest() != metadata[DIGEST]:
            raise ValueError("it is damaged: its graph is not the one that was written")
        _check_graph(graphs[0])
    return OnnxFile(content, metadata)


def _metadata(model: list[tuple[str, Value]]) -> dict[str, str]:
    entries: dict[str, str] = {}
    for name, value in model:
        if name == "metadata":
            entry = {part: bytes(_part(text)).decode() for part, text in _fields(_part(value), _ENTRY)}
            if entry.get("key") in entries:
                raise ValueError(f"it has two entries {entry.get('key')!r}")
            entries[entry.get("key", "")] = entry.get("value", "")
    return entries


def _check_graph(graph: memoryview) -> None:
    """Raise ValueError for a graph that does anything beyond what a segmenter's does."""
    weights: dict[bytes, memoryview] = {}
    nodes: list[tuple[bytes, list[bytes]]] = []
    for name, value in _fields(graph, _GRAPH):
        if name == "weight":
            label, raw = _weight(_part(value))
            if label in weights:
                raise ValueError(f"it has two weights {label.decode()!r}")
            weights[label] = raw
        elif name == "node":
            nodes.append(_node(_part(value)))
    counts = Counter(kind for kind, _ in nodes)
    if len(nodes) > _MOST_NODES or any(counts[kind] > most for kind, most in _MOST.items()):
        raise ValueError("it has more operators than a segmenter")
    for kind, inputs in nodes:
        if kind == b"Resize" and bytes(weights.get(inputs[-1], b"")) != _DOUBLING:
            raise ValueError("it enlarges by something else than two")


def _node(node: memoryview) -> tuple[bytes, list[bytes]]:
    """Return the operator of a node and the names of its inputs."""
    kind, inputs = b"", []
    for name, value in _fields(node, _NODE):
        if name == "kind":
            kind = bytes(_part(value))
        elif name == "input":
            inputs.append(bytes(_part(value)))
        elif name == "domain" and len(_part(value)):
            raise ValueError("it needs operators beyond those of ONNX")
        elif name == "attribute":
            _check_attribute(_part(value))
    if kind.decode() not in _OPERATORS:
        raise ValueError(f"it has the operator {kind.decode()!r}, which no segmenter has")
    return kind, inputs


def _check_attribute(attribute: memoryview) -> None:
    for name, value in _fields(attribute, _ATTRIBUTE):
        if name == "type":
            continue
        numbers = [value] if isinstance(value, int) else _packed(value) if name == "ints" else []
        if any(number > _LARGEST_NUMBER for number in numbers):
            raise ValueError("an operator has a number that no segmenter's has")


def _weight(weight: memoryview) -> tuple[bytes, memoryview]:
    """Return name and bytes of a weight; ValueError for axes that are too long, and shapes that are computed with."""
    label, raw, kind, dims = b"", memoryview(b""), 0, []
    for name, value in _fields(weight, _WEIGHT):
        if name == "dims":
            dims += [value] if isinstance(value, int) else list(_packed(value))
        elif name == "type" and isinstance(value, int):
            kind = value
        elif name == "name":
            label = bytes(_part(value))
        elif name == "raw":
            raw = _part(value)
    if any(side > _LARGEST_SIDE for side in dims):
        raise ValueError(f"a weight has {max(dims)} channels, too many for a segmenter")
    if kind == _INT64 and any(number not in (0, 1) for number in memoryview(bytes(raw)).cast("q")):
        raise ValueError("it computes with other sizes than a segmenter's")
    return label, raw


def _fields(table: memoryview, known: Mapping[int, str]) -> Iterator[tuple[str, Value]]:
    """Yield name and value of a table's fields; ValueError for one that is not known, or cut off."""
    place = 0
    while place < len(table):
        key, place = _number(table, place)
        number, kind = key >> 3, key & 7
        value: Value
        if kind == 0:
            value, place = _number(table, place)
        else:
            size, place = _number(table, place) if kind == 2 else ({1: 8, 5: 4}[kind], place)
            if size > len(table) - place:
                raise ValueError("it is cut off")
            value, place = table[place : place + size], place + size
        if number not in known:
            outside = known is _WEIGHT and number in _EXTERNAL
            raise ValueError(
                "it keeps weights in another file" if outside else f"it has a field {number} that no segmenter's has"
            )
        yield known[number], value


def _number(table: memoryview, place: int) -> tuple[int, int]:
    """Return the number that begins at a place, seven bits a byte, and the place behind it."""
    number = shift = 0
    while place < len(table) and shift < 70:
        byte = table[place]
        number |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return number, place
    raise ValueError("it is cut off")


def _packed(value: memoryview) -> Iterator[int]:
    place = 0
    while place < len(value):
        number, place = _number(value, place)
        yield number


def _part(value: Value) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number stands where a text or table should")
    return value
