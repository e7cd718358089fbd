"""What the filters of synthetic pairs let pass, and which of them to ease where most samples fail it."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from segmentation.unet.settings import SegmentationSettings
from toolkit.errors import Line, UserError, named

AREA_STEPS = 1000  # areas are counted in so many steps of the image
_MOST = 0.5  # share of the samples from which a filter is said to fail most of them
_PASSING = 0.8  # share of the masks that an eased bound on the area lets pass
_NEARLY_ALL, _NEARLY_NOTHING = 0.95, 0.002  # median areas at which no bound is to blame
_ROUND = AREA_STEPS // 20  # to multiples of which an eased upper bound is rounded up

# The filters by the setting that decides on each, in the order in which they look at a sample.
WORDS = {"min_area": "too small", "max_area": "too large", "histogram_filter": "of one shade"}


@dataclass(frozen=True)
class Ease:
    """A filter that many samples fail, and the value of its setting with which most would pass it.

    `share` is how many of the samples drawn it rejected first. `value` is None where no value would help: masks of
    nothing, or of nearly everything, are no fault of a bound. `line` says it to the user.
    """

    setting: str
    share: float
    value: float | bool | None
    line: Line

    def as_dict(self) -> dict[str, Any]:
        """Return what result files hold of it."""
        return {"setting": self.setting, "share": self.share, "value": self.value, "text": str(self.line)}


@dataclass(frozen=True)
class Acceptance:
    """How many samples were drawn and accepted, and how many each filter (in this order) rejected first.

    `rejected` names filters by their settings: min_area, max_area, histogram_filter. `areas` counts all masks drawn by
    their share of the image in thousandths, rounded down.
    """

    drawn: int
    accepted: int
    rejected: dict[str, int]
    areas: Mapping[int, int]
    settings: SegmentationSettings

    @property
    def share(self) -> float:
        """Return the accepted share of the drawn samples; 0 before any was drawn."""
        return self.accepted / self.drawn if self.drawn else 0.0

    def area(self, quantile: float) -> float:
        """Return the area, a share of the image, below or at which `quantile` of the drawn masks lie; 0 before any."""
        wanted, seen = quantile * sum(self.areas.values()), 0
        for step in sorted(self.areas):
            seen += self.areas[step]
            if seen >= wanted:
                return step / AREA_STEPS
        return 0.0

    def describe(self) -> str:
        """Return a line such as `accepted 61 of 95; rejected: too large 30, of one shade 4`."""
        parts = ", ".join(f"{WORDS[name]} {count}" for name, count in self.rejected.items())
        return f"accepted {self.accepted} of {self.drawn}; rejected: {parts or 'no filter is on'}"

    def as_dict(self) -> dict[str, Any]:
        """Return what result files hold of it."""
        ease = self.ease()
        return {
            "drawn": self.drawn,
            "accepted": self.accepted,
            "rejected": self.rejected,
            "areas": {"p10": self.area(0.1), "median": self.area(0.5), "p90": self.area(0.9)},
            "ease": None if ease is None else ease.as_dict(),
        }

    def ease(self, least: float = _MOST) -> Ease | None:
        """Return the filter to ease: the one that rejects most, if it rejects at least this share of the samples."""
        worst = max(self.rejected, key=lambda name: self.rejected[name], default=None)
        if worst is None or not self.rejected[worst] or self.rejected[worst] < least * self.drawn:
            return None
        share = self.rejected[worst] / self.drawn
        value, text = {"min_area": self._smaller, "max_area": self._larger, "histogram_filter": self._any_shade}[
            worst
        ]()
        return Ease(worst, share, value, Line(f"{share:.0%} of the {text}"))

    def _larger(self) -> tuple[float | None, str]:
        over = f"masks cover more than {named('max_area', self.settings.area_bound)} of the image"
        median = self.area(0.5)
        if median >= _NEARLY_ALL:
            return None, (
                f"{over}, and half of them nearly all of it (median {median:.2f}), which no bound mends; try another "
                f"direction or a smaller {named('alpha')}"
            )
        above = round(self.area(_PASSING) * AREA_STEPS) // _ROUND + 1  # a whole number: shares are no exact floats
        value = min(_NEARLY_ALL, above * _ROUND / AREA_STEPS)
        return value, f"{over} (median {median:.2f}); pass {named('max_area', value)}, or try another direction"

    def _smaller(self) -> tuple[float | None, str]:
        under = f"masks cover less than {named('min_area', self.settings.min_area)} of the image"
        median = self.area(0.5)
        if median < _NEARLY_NOTHING:
            return None, (
                f"{under}, and half of them next to nothing (median {median:.3f}), which no bound mends; try another "
                f"direction or a larger {named('alpha')}"
            )
        value = _rounded_down(self.area(1 - _PASSING) or median)
        return value, f"{under} (median {median:.3f}); pass {named('min_area', value)}, or try another direction"

    def _any_shade(self) -> tuple[bool, str]:
        eased = named("no_histogram_filter", words="histogram_filter=False")
        return False, f"shifted images are of one shade; pass {eased}, or try another direction or {named('alpha')}"


def _rounded_down(share: float) -> float:
    """Return a share of at least a thousandth with one digit that is not 0."""
    digits = -math.floor(math.log10(share))
    return math.floor(share * 10**digits + 1e-9) / 10**digits


def accepted(counts: Counter[str], areas: Counter[int], settings: SegmentationSettings) -> Acceptance:
    """Return what was drawn, accepted and rejected by each filter of the settings, of counts by these names."""
    rejected = {name: counts[name] for name in filters_on(settings)}
    return Acceptance(counts["drawn"], counts["accepted"], rejected, dict(areas), settings)


def filters_on(settings: SegmentationSettings) -> list[str]:
    """Return the filters that can reject a sample, in the order in which they look at it."""
    on = {
        "min_area": settings.area_filter and settings.min_area > 0,
        "max_area": settings.area_filter and settings.area_bound < 1,
        "histogram_filter": settings.histogram_filter,
    }
    return [name for name in WORDS if on[name]]


class UnfilledError(UserError):
    """The filters let too few samples pass; `acceptance` says which of them, of the batch that could not be filled."""

    def __init__(self, filled: int, count: int, attempts: int, acceptance: Acceptance) -> None:
        ease = acceptance.ease(least=0)
        advice = "try another direction or alpha" if ease is None else ease.line.marked
        super().__init__(
            f"only {filled} of {count} samples after {attempts} attempts ({acceptance.describe()}); {advice}"
        )
        self.acceptance = acceptance
