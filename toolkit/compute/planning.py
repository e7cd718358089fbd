"""How many steps each part of a long job is given, so that all of it takes about the time there is. No torch here.

Every part has the fewest steps that give anything at all and the most that still help; in between, the parts share the
time by weight. What one cannot use, since it has its most, goes to the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass

_NOTHING = 1e-6  # seconds: less is no time to share


@dataclass(frozen=True)
class Part:
    """One part of a job: `fixed` seconds whatever its steps, `seconds` a step, and how many steps make sense.

    One whose `least` and `most` are equal takes no share. Where the leasts do not fit, `optional` parts get no steps.
    """

    name: str
    seconds: float = 0.0
    least: int = 0
    most: int = 0
    weight: float = 1.0
    fixed: float = 0.0
    optional: bool = False

    def taking(self, steps: int) -> float:
        """Return how many seconds the part takes with so many steps; with none of its optional ones it is omitted."""
        return 0.0 if self.optional and steps == 0 else self.fixed + steps * self.seconds


def planned(parts: Sequence[Part], seconds: float) -> dict[str, int]:
    """Return the steps of each part, by name, such that all take `seconds` together, as far as their bounds allow.

    Where even the leasts take longer, the optional parts are omitted, the last first, until they do not.

    >>> planned([Part("a", 1.0, 10, 100, weight=3), Part("b", 2.0, 10, 100)], 230.0)
    {'a': 100, 'b': 65}
    """
    kept = list(parts)
    while (over := _least(kept) > seconds) and any(part.optional for part in kept):
        kept.remove([part for part in kept if part.optional][-1])
    steps = {part.name: part.least for part in kept}
    left = 0.0 if over else seconds - _least(kept)
    open_ones = [part for part in kept if part.most > part.least and part.seconds > 0]
    while open_ones and left > _NOTHING:
        share = left / sum(part.weight for part in open_ones)
        full = [part for part in open_ones if share * part.weight >= (part.most - part.least) * part.seconds]
        for part in full or open_ones:
            steps[part.name] = part.most if full else part.least + int(share * part.weight / part.seconds)
        left -= sum((part.most - part.least) * part.seconds for part in full)
        open_ones = [part for part in open_ones if part not in full] if full else []
    free = {part.name: part.most for part in kept if part.seconds == 0}
    return {part.name: (steps | free).get(part.name, 0) for part in parts}


def _least(parts: Sequence[Part]) -> float:
    return sum(part.fixed + part.least * part.seconds for part in parts)
