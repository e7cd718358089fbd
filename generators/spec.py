"""What stands behind --generator: a name or file, and options after it, as in `G_ema.pth@classes=239,12`."""

import math
import re
from collections.abc import Mapping, Sequence

from toolkit.errors import UserError, named
from toolkit.untrusted.text import whole_number

_OPTIONS = re.compile(r"(@[A-Za-z_]\w*=[^@]*)*$")


def split_spec(text: str) -> tuple[str, dict[str, str]]:
    """Return (name, options) of `name@key=value@key=value`; an `@` in front of no option belongs to the name.

    UserError for an option without a value or given twice.
    """
    options_part = _OPTIONS.search(text)
    assert options_part is not None  # it matches nothing at the end of any text
    name = text[: options_part.start()]
    options: dict[str, str] = {}
    for part in options_part[0].split("@")[1:]:
        key, _, value = part.partition("=")
        if not value:
            raise UserError(f"the option {key!r} of {name} has no value; write options as {name}@{key}=value")
        if key in options:
            raise UserError(f"{named('generator', name)} gives the option {key!r} twice; give it once")
        options[key] = value
    return name, options


def join_spec(name: str, options: Mapping[str, str]) -> str:
    """Return the text that `split_spec` takes apart."""
    return "@".join([name, *(f"{key}={value}" for key, value in options.items())])


def _number(text: str) -> float:
    """Return a finite number, or NaN, which lies in no range."""
    try:
        number = float(text)
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan


class Options:
    """The options of one generator; each is taken by name, and `end` refuses those that nobody took."""

    def __init__(self, values: Mapping[str, str], generator: str) -> None:
        self._values = dict(values)
        self._generator = generator
        self._known: list[str] = []

    @property
    def spec(self) -> str:
        """Return the generator's name with the options that nobody took yet, as they were written."""
        return join_spec(self._generator, self._values)

    def choice(self, key: str, choices: Sequence[str], default: str) -> str:
        """Return the option's value, one of `choices`."""
        value = self._take(key)
        if value is not None and value not in choices:
            raise self._wrong(key, value, f"one of {', '.join(choices)}")
        return default if value is None else value

    def number(self, key: str, default: float, low: float = -math.inf, high: float = math.inf) -> float:
        """Return the option's value, a number in [low, high]."""
        value = self._take(key)
        if value is None:
            return default
        number = _number(value)
        if not low <= number <= high:
            raise self._wrong(key, value, f"a number from {low:g} to {high:g}")
        return number

    def numbers(self, key: str, default: Sequence[float], low: float, high: float) -> list[float]:
        """Return the option's values, as many numbers in [low, high] as `default` has, separated by commas."""
        value = self._take(key)
        if value is None:
            return list(default)
        numbers = [_number(part) for part in value.split(",")]
        if len(numbers) != len(default) or not all(low <= number <= high for number in numbers):
            raise self._wrong(key, value, f"{len(default)} numbers from {low:g} to {high:g} with commas between")
        return numbers

    def integer(self, key: str, default: int | None, low: int = 0) -> int | None:
        """Return the option's value, a whole number of at least `low`."""
        value = self._take(key)
        if value is None:
            return default
        number = whole_number(value)
        if number is None or number < low:
            raise self._wrong(key, value, f"a whole number from {low} on")
        return number

    def integers(self, key: str) -> tuple[int, ...]:
        """Return the option's value, whole numbers separated by commas; empty if it is not given."""
        value = self._take(key)
        if value is None:
            return ()
        numbers = [whole_number(part) for part in value.split(",")]
        if None in numbers:
            raise self._wrong(key, value, "whole numbers separated by commas")
        return tuple(number for number in numbers if number is not None)

    def left(self) -> dict[str, str]:
        """Return all options not taken yet, as text."""
        return dict(self._values)

    def rest(self) -> dict[str, str]:
        """Return all options not taken yet, as text, and take them."""
        rest, self._values = self._values, {}
        return rest

    def end(self) -> None:
        """Raise UserError naming an option that this generator has not."""
        for key in self._values:
            known = f"it has {', '.join(self._known)}" if self._known else "it has none"
            raise UserError(f"{self._generator} has no option {key!r}; {known}")

    def _take(self, key: str) -> str | None:
        self._known.append(key)
        return self._values.pop(key, None)

    def _wrong(self, key: str, value: str, expected: str) -> UserError:
        return UserError(f"{key} of {self._generator} is {value!r}, but has to be {expected}")
