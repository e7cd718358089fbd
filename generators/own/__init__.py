"""Generators of one's own: wrapped, looked up, checked, trusted or not, and files that hold programs."""

from typing import Any


def __getattr__(name: str) -> Any:
    if name == "OwnGenerator":  # on demand: the rest of this room must not bring torch in
        from generators.own.wrapper import OwnGenerator

        return OwnGenerator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
