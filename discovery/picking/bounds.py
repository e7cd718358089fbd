"""How much of a picture the thing may take: what the masks that a direction is judged on have to keep to."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import TYPE_CHECKING

from discovery.settings import PickSettings

if TYPE_CHECKING:
    from discovery.picking.picker import Candidate

_AREA, _BORDER = 0.5, 0.5  # of things of moderate size
_WIDEST_AREA, _WIDEST_BORDER = 0.85, 1.0
_LEADING = 0.7  # of the best score: directions of more say how large the thing is
_ROOM = 0.2  # what single masks may take beyond the typical one


@dataclass(frozen=True)
class Bounds:
    """Shares of the picture: foreground of a mask from `min_area` to below `max_area`, and of its border."""

    min_area: float
    max_area: float
    max_border: float

    @classmethod
    def widest(cls, settings: PickSettings) -> "Bounds":
        """Return the widest bounds that are ever derived."""
        return cls(settings.min_area, _WIDEST_AREA, _WIDEST_BORDER)

    @classmethod
    def derived(cls, ranked: "Sequence[Candidate]", settings: PickSettings) -> "Bounds":
        """Return the bounds from directions judged within the widest ones, best first.

        They are those of moderate things unless masks of the leading directions typically come near or over these, as
        those of close-ups do.
        """
        leaders = [c for c in ranked if c.score >= _LEADING * ranked[0].score]
        area = median(c.figures["area"] for c in leaders) + _ROOM
        border = median(c.figures["border_share"] for c in leaders) + _ROOM
        return cls(settings.min_area, min(max(area, _AREA), _WIDEST_AREA), min(max(border, _BORDER), _WIDEST_BORDER))

    def as_set(self, settings: PickSettings) -> "Bounds":
        """Return these with the bounds that are set in the place of derived ones."""
        given = {"max_area": settings.max_area, "max_border": settings.max_border}
        return replace(self, **{name: value for name, value in given.items() if value is not None})

    def shuts_out(self, needed: "Bounds") -> bool:
        """Return whether things take more of the picture than moderate ones, and than is allowed here."""
        return needed.max_area > max(self.max_area, _AREA)

    def as_dict(self) -> dict[str, float]:
        """Return them as pick.json has them."""
        return asdict(self)
