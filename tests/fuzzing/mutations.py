"""Damage to bytes and texts. Every function takes a seeded `random.Random` and returns something new."""

import json
import re
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

# As they stand in a text: what `json.dumps` would not write is what is wanted here.
NUMBERS = (
    "0", "-1", "-0.0", "1e999", "-1e999", "1e-320", "NaN", "Infinity", "9" * 5000, "-" + "9" * 5000, "0." + "1" * 5000,
    "9223372036854775807", "9223372036854775808", "18446744073709551616", "1e308", "0x" + "f" * 5000, "1" + "0" * 400,
)  # fmt: skip
TEXTS = (
    "", " ",
    "\x1b[31mred", "a\x00b", "\u202etxt.exe", "\ud800", "x" * 10_000, "../../up", "/", ".", "..", "\n", "0", "-1",
    "nan", "os:system@command=true", "a/b", "é" * 300, "9" * 5000, "con", "\x85", "\u2028",
)  # fmt: skip
DEEP = 100_000


def odd_json(rng: Random) -> str:
    """Return a JSON value (or what only looks like one) that nobody expects."""
    kind = rng.randrange(9)
    if kind < 3:
        return rng.choice(NUMBERS)
    if kind < 5:
        return json.dumps(rng.choice(TEXTS))
    depth = rng.choice([2, 65, 990, DEEP])
    return rng.choice(
        [
            "null",
            "true",
            "false",
            "[]",
            "{}",
            "[" * depth + "]" * depth,
            '{"a":' * depth + "1" + "}" * depth,
            "[" * depth,
        ]
    )


def damaged_json(rng: Random, text: str) -> str:
    """Return the JSON text with one value, key or table of it changed; whatever it was if it was none."""
    try:
        value = json.loads(text)
    except ValueError:
        return damaged_text(rng, text)
    marks: list[str] = []

    def mark(raw: str) -> str:
        marks.append(raw)
        return f"@@{len(marks) - 1}@@"

    changed = _changed(rng, value, mark)
    written = json.dumps(changed)
    for number, raw in enumerate(marks):
        written = written.replace(f'"@@{number}@@"', raw)
    return written


def _changed(rng: Random, value: Any, mark: Callable[[str], str]) -> Any:
    inner = value if isinstance(value, dict | list) else None
    if not inner or rng.random() < 0.15:
        return mark(odd_json(rng))
    if isinstance(inner, list):
        index = rng.randrange(len(inner))
        swapped = [*inner[:index], _changed(rng, inner[index], mark), *inner[index + 1 :]]
        return rng.choice([swapped, swapped, swapped, inner[:index], inner * 3])
    key = rng.choice(list(inner))
    rest = {name: one for name, one in inner.items() if name != key}
    act = rng.randrange(6)
    if act == 0:
        return rest
    if act == 1:
        return {**rest, rng.choice(TEXTS): inner[key]}
    if act == 2:
        return {**inner, rng.choice(TEXTS): mark(odd_json(rng))}
    return {**rest, key: _changed(rng, inner[key], mark)}


def damaged_lines(rng: Random, text: str) -> str:
    """Return the text with one of its lines damaged as JSON, gone, doubled, or in another place."""
    lines = text.splitlines()
    if not lines:
        return odd_json(rng)
    index = rng.randrange(len(lines))
    act = rng.randrange(4)
    new = [damaged_json(rng, lines[index])] if act < 2 else [] if act == 2 else [lines[index]] * rng.choice([2, 5000])
    return "\n".join([*lines[:index], *new, *lines[index + 1 :]]) + rng.choice(["\n", ""])


def damaged_toml(rng: Random, text: str) -> str:
    """Return the TOML text with one value or key changed."""
    lines = text.splitlines()
    places = [index for index, line in enumerate(lines) if "=" in line and not line.startswith("#")]
    if not places or rng.random() < 0.1:
        return damaged_text(rng, text)
    index = rng.choice(places)
    key, _, value = lines[index].partition("=")
    depth = rng.choice([3, 100, 1000, 20_000])
    values = [
        odd_json(rng), odd_json(rng), "[" * depth, "[" * depth + "]" * depth, "{a=" * depth + "1" + "}" * depth, "inf",
        "nan", "1979-05-27T07:32:00Z", "07:32:00", "0b" + "1" * 6000, '"""', "'''" + "x" * 1000, "true", value + value,
    ]  # fmt: skip
    keys = [key, key, key, ".".join("a" * min(depth, 5000)), f"{key}.x", '"\\u0000"', '""', f"[{key}]", "[" * depth]
    lines[index] = f"{rng.choice(keys)} = {rng.choice(values)}"
    return "\n".join(lines) + "\n"


def damaged_text(rng: Random, text: str) -> str:
    """Return the text with a run of digits, a word or a place in it replaced by something odd."""
    runs = list(re.finditer(r"\d+|\w+", text))
    odd = rng.choice([*NUMBERS, *TEXTS, "[" * DEEP, ": " * 1000])
    if runs and rng.random() < 0.7:
        run = rng.choice(runs)
        return text[: run.start()] + odd + text[run.end() :]
    place = rng.randrange(len(text) + 1)
    return text[:place] + odd + text[place:]


def encoded(text: str) -> bytes:
    """Return a text's bytes, halves of surrogate pairs too, which make it no UTF-8."""
    return text.encode("utf-8", "surrogatepass")


def damaged_bytes(rng: Random, content: bytes) -> bytes:
    """Return the bytes with some of them flipped, gone, doubled, overwritten or added."""
    held = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 2, 8])):
        _damage(rng, held)
    return bytes(held)


def _damage(rng: Random, held: bytearray) -> None:
    # Headers stand at the beginning, tables of contents at the end.
    size = len(held)
    place = min(size, rng.choice([rng.randrange(64), max(0, size - 1 - rng.randrange(64)), rng.randrange(size + 1)]))
    length = rng.choice([1, 1, 2, 4, 8, 64, 1000])
    act = rng.randrange(8)
    if act == 0 and place < size:
        held[place] ^= 1 << rng.randrange(8)
    elif act == 1:
        del held[place:]
    elif act == 2:
        del held[place : place + length]
    elif act == 3:
        held[place:place] = held[place : place + length] * rng.choice([1, 3, 50])
    elif act == 4:
        held[place : place + length] = bytes([rng.choice([0, 255, 127, 128])]) * length
    elif act == 5:
        held[place : place + length] = rng.randbytes(length)
    elif act == 6:
        number = rng.choice([0, 1, 2**31 - 1, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1])
        width, order = rng.choice([2, 4, 8]), rng.choice(["little", "big"])
        held[place : place + width] = (number % 256**width).to_bytes(width, order)
    else:
        held += rng.randbytes(length)


def any_of(*ways: Callable[[Random, bytes], bytes]) -> Callable[[Random, bytes], bytes]:
    """Return a way of damage that is one of `ways` each time."""

    def damage(rng: Random, content: bytes) -> bytes:
        return rng.choice(ways)(rng, content)

    return damage


def of_text(way: Callable[[Random, str], str]) -> Callable[[Random, bytes], bytes]:
    """Return a way of damage to texts as one to bytes."""
    return lambda rng, content: encoded(way(rng, content.decode("utf-8", "replace")))


JSON = any_of(of_text(damaged_json), of_text(damaged_json), of_text(damaged_json), damaged_bytes)
LINES = any_of(of_text(damaged_lines), of_text(damaged_lines), of_text(damaged_text), damaged_bytes)
TOML = any_of(of_text(damaged_toml), of_text(damaged_toml), of_text(damaged_toml), damaged_bytes)
LABELS = any_of(of_text(damaged_text), of_text(damaged_lines), damaged_bytes)
Damage = Callable[[Random, bytes], bytes]
Names = Sequence[str]
