"""What the file of a direction set says of its directions, checked for the types that are written there."""

from collections.abc import Mapping
from typing import Any

from toolkit.untrusted.printable import is_printable


def require_described(made: list[Any], count: int, card: Mapping[str, Any]) -> None:
    """Raise TypeError unless what a file says of its `count` directions is of the types that are written.

    `made` are generator, method, names and scores, `card` is all else.
    """
    generator, method, names, scores = made
    wrong = {
        "generator": not isinstance(generator, str),
        "method": not isinstance(method, str),
        "names": not (isinstance(names, list) and all(isinstance(n, str) and is_printable(n) for n in names)),
        "scores": not (isinstance(scores, dict) and all(_are_figures(column, count) for column in scores.values())),
        "step": type(card.get("step", 0)) is not int,
        "source": not all(isinstance(value, str) for value in _table(card, "source").values()),
        "settings": not _are_settings(_table(card, "settings")),
        "published": not isinstance(_table(card, "published").get("gan_type", ""), str),
    }
    for name in (name for name, is_wrong in wrong.items() if is_wrong):
        raise TypeError(f"its {name} cannot be read")


def _table(card: Mapping[str, Any], key: str) -> dict[str, Any]:
    table = card.get(key, {})
    if not isinstance(table, dict):
        raise TypeError(f"its {key} is no table")
    return table


def _are_figures(column: Any, count: int) -> bool:
    return isinstance(column, list) and len(column) == count and all(type(one) in (int, float) for one in column)


def _are_settings(settings: Mapping[str, Any]) -> bool:
    return all(isinstance(value, str | int | float | None) for value in settings.values())
