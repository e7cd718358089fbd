"""The guard at the edge: every text file from outside is read here, with bounds on what it may hold.

Sizes, counts and depths are checked before memory is asked for, and whatever a parser raises becomes one line.
"""

import contextlib
import json
import math
import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from toolkit.errors import UserError

# The longest file written here is the record of photos' latents: a hundred bytes and five values a photo, of which the
# largest public collections have a million. A value takes up to a hundred bytes once parsed.
LARGEST_JSON = 256_000_000  # bytes
_MOST_VALUES = 10_000_000
LARGEST_TOML = 100_000  # bytes; ours have a few thousand, and tomllib takes the square of a key's length
LARGEST_LABELS = 1_000_000  # bytes
_DEEPEST = 64  # tables in tables; what walks through them later does so recursively
_INT64 = 2**63
_DIGITS = 18  # that any number of 64 bits can have


@contextlib.contextmanager
def guarded(refusal: str, advice: str) -> Iterator[None]:
    """Turn whatever a parser inside raises into UserError: `refusal`, the parser's reason, `advice`.

    Parsers of damaged files raise far more kinds than they document, a stack that is too deep among them.
    """
    try:
        yield
    except (UserError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except OSError as error:
        raise UserError(f"{refusal} ({error.strerror or reason_of(error)}); {advice}") from error
    except BaseException as error:  # what panics in a parser written in Rust is no Exception
        raise UserError(f"{refusal} ({reason_of(error)}); {advice}") from error


def reason_of(error: BaseException) -> str:
    """Return the first line of what an error says, or what kind it is."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, MemoryError):
        return "it asks for more memory than there is"
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]


def existing_file(path: Path, what: str) -> Path:
    """Return `path`; UserError saying `what` was looked for when there is no such file, or no plain one.

    A pipe or a device is none: reading it might never end.
    """
    path = Path(path)
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # ValueError: names with a zero byte
        raise UserError(f"no {what} at {path}; check the path") from None
    if stat.S_ISDIR(mode):
        raise UserError(f"{path} is a folder, but {what} is a file; name the file itself")
    if not stat.S_ISREG(mode):
        raise UserError(f"no {what} at {path}: it is a pipe or a device; check the path")
    return path


def is_there(path: Path) -> bool:
    """Return whether there is anything at `path`; for a name that no disk can have, False rather than OSError."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def read_text(path: Path, what: str, largest: int) -> str:
    """Return the UTF-8 text in the file `path`, less the byte order mark that Windows' editors put before it.

    UserError when it is missing, no file, not UTF-8, or too large.
    """
    path = existing_file(path, what)
    try:
        with path.open("rb") as handle:
            content = handle.read(largest + 1)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    if len(content) > largest:
        raise UserError(f"{path} has more than {largest / 1e6:g} MB, too many for {what}; check that it is the one")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a {what} ({error}); check that it is UTF-8 text and the right file") from error


def parse_json(text: str, source: str) -> Any:
    """Return the value in a JSON text; UserError when it is none, nested deeply, or holds numbers beyond 64 bits.

    `source` says where the text is from.
    """
    if text.count(",") + text.count("[") + text.count("{") > _MOST_VALUES:
        raise UserError(f"{source} holds more than {_MOST_VALUES} values; check that it is the right file")
    with guarded(f"{source} is not a JSON file", "check that it is the file you meant"):
        return bounded(_DECODER.decode(text), source, finite=True)


def parse_toml(text: str, source: str) -> dict[str, Any]:
    """Return the table in a TOML text; UserError as for `parse_json`."""
    with guarded(f"{source} is not a TOML settings file", "write lines like steps = 100"):
        return bounded(tomllib.loads(text), source)


def bounded(value: Any, source: str, finite: bool = False) -> Any:
    """Return `value` after checking its depth and its numbers; UserError for what cannot be worked with."""
    waiting = [(value, 0)]
    while waiting:
        held, depth = waiting.pop()
        if isinstance(held, int) and not -_INT64 <= held < _INT64:
            raise UserError(f"{source} holds a whole number of more than 64 bits; correct it there")
        if finite and isinstance(held, float) and not math.isfinite(held):
            raise UserError(f"{source} holds a number beyond all bounds; correct it there")
        if isinstance(held, dict | list | tuple):
            if depth == _DEEPEST:
                raise UserError(f"{source} is nested more than {_DEEPEST} deep; check that it is the right file")
            waiting += [(inner, depth + 1) for inner in (held.values() if isinstance(held, dict) else held)]
    return value


def whole_number(text: str) -> int | None:
    """Return the whole number >= 0 that `text` writes in decimal digits, or None for any other text.

    Python's own reading raises ValueError for some thousand digits.
    """
    digits = text.strip().lstrip("0") or "0"
    return int(text) if text.strip().isdecimal() and len(digits) <= _DIGITS else None


def _not_finite(text: str) -> float:
    raise ValueError(f"it holds {text}, which is no number")


_DECODER = json.JSONDecoder(parse_constant=_not_finite)
