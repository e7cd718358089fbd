"""When photos are said to look unlike those a segmenter was trained on: one by itself, and many together.

One photo is unlike when fewer than UNLIKE of the training photos are as unusual, so that of photos like these ones this
share is called unlike wrongly. Of many together it is known more surely. They are unlike when more of them are unlike
than chance explains, or when they are more unusual on average; either would happen once in 2,000 times to photos like
the training ones. Both ask for a sizeable difference too, or a large folder of the same things from another camera
would be called unlike.
"""

import math
from collections.abc import Sequence

import numpy as np

UNLIKE = 0.03  # familiarity below which a photo is unlike
_CHANCE = 1 / 2000
_DEVIATIONS = 3.29  # of a normal variable, exceeded with that chance
_SIZEABLE = 2.0  # times the share of unlike photos among training ones
_AVERAGE = 0.3  # familiarity; that of the training photos is 0.5


def is_unlike(familiarity: float) -> bool:
    """Return whether a photo of that familiarity looks unlike the training photos."""
    return familiarity < UNLIKE


def unlike_line(familiarities: Sequence[float], known: int = 0) -> str | None:
    """Return what to say of photos of these familiarities together, or None where they are like the training photos.

    `known` counts the training photos that familiarity was measured against, for which one photo alone needs none.
    """
    count = len(familiarities)
    unlike = sum(map(is_unlike, familiarities))
    then = "before you use the masks"
    if count == 1:
        text = "this photo looks unlike those the segmenter was trained on; look at the overlay"
    elif _too_many(unlike, count, known):
        expected = math.ceil(UNLIKE * count)
        text = (
            f"{unlike} of {count} photos look unlike those the segmenter was trained on "
            f"(at most {expected} expected); look at the overlays"
        )
    elif count and _too_unusual(float(np.mean(familiarities)), count, known):
        above = 1 - float(np.mean(familiarities))
        text = (
            f"these {count} photos are on average more unusual than {above:.0%} of those the segmenter was trained on; "
            "look at the overlays"
        )
    else:
        return None
    return f"{text} {then}" if count > 1 or unlike else None


def _too_many(unlike: int, count: int, known: int) -> bool:
    return unlike > _SIZEABLE * UNLIKE * count and chance_of(unlike, count, known) < _CHANCE


def chance_of(unlike: int, count: int, known: int) -> float:
    """Return the chance that of so many photos like the training ones at least `unlike` are unlike.

    A photo is unlike when it ranks among the first k of `known` + 1, so that the count is beta-binomial: the fewer
    photos are known, the less certain the share that is called unlike wrongly.
    """
    first = math.ceil(UNLIKE * (known + 1)) - 1
    if first < 1:
        return float(unlike == 0)
    rest = known + 1 - first
    scale = _log_beta(first, rest)
    return math.fsum(
        math.exp(_log_beta(number + first, count - number + rest) - scale - _log_beta(number + 1, count - number + 1))
        for number in range(unlike, count + 1)
    ) / (count + 1)


def _log_beta(first: float, second: float) -> float:
    return math.lgamma(first) + math.lgamma(second) - math.lgamma(first + second)


def _too_unusual(mean: float, count: int, known: int) -> bool:
    """Return whether a mean familiarity is lower than chance explains: Mann and Whitney's test, by its normal limit."""
    deviation = math.sqrt((1 / count + 1 / known) / 12)
    return mean < _AVERAGE and (0.5 - mean) > _DEVIATIONS * deviation
