"""What requests to the page of `toolkit browse` may hold."""

from typing import Annotated, Literal

from fastapi import Body, Path, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from toolkit.shifts import SHORTEST

LONGEST = 100.0  # bound of every shift length
LONGEST_NAME = 80  # characters
LONGEST_LAYERS = 80
LAST_SEED = 2**31 - 1
FURTHEST_PSI = 2.0
MOST_DIRECTIONS = 8  # moved along at once
MOST_IMAGES = 8  # latents side by side
MOST_STEPS = 500  # of refining a photo's latent


def _zero_or_a_length(alpha: float) -> float:
    """Return a shift length; ValueError where it is not 0, yet too short to shift anything."""
    if 0 < abs(alpha) < SHORTEST:
        raise ValueError(f"has to be 0, or {SHORTEST:g} and more in length")
    return alpha


Tab = Annotated[str, Query(pattern="^[a-z0-9]{1,16}$")]  # distinguishes the page's tabs: one does not overtake another
Index = Annotated[int, Path(ge=0, le=LAST_SEED)]
Direction = Annotated[int, Body(ge=0, le=LAST_SEED, strict=True)]  # strict: true is no 1
Length = Annotated[float, Body(ge=-LONGEST, le=LONGEST, allow_inf_nan=False, strict=True)]
Reach = Annotated[float, Query(ge=SHORTEST, le=LONGEST, allow_inf_nan=False)]
Steps = Annotated[int, Query(ge=0, le=MOST_STEPS)]
Saved = Literal["picture", "mask", "animation"]
_Alpha = Annotated[float, Field(ge=-LONGEST, le=LONGEST, allow_inf_nan=False), AfterValidator(_zero_or_a_length)]
_Number = Annotated[int, Field(ge=0, le=LAST_SEED)]
_Layers = Annotated[str, Field(max_length=LONGEST_LAYERS)]  # as 0-3,7, read where the generator is known; none: empty
Layers = Annotated[str, Body(max_length=LONGEST_LAYERS)]


class Beginning(BaseModel):
    """Which latents are moved: those of a seed, or that of a photo the page has embedded, by its key.

    `psi` is how far those of a seed are drawn towards their mean, None for as far as the generator does by itself. The
    layers that `mix` names, if it does, take their latents from those of the seed `donor`.
    """

    model_config = ConfigDict(frozen=True)

    seed: int = Field(0, ge=0, le=LAST_SEED)
    photo: str = Field("", pattern="^([0-9a-f]{16}-[0-9]{1,3})?$")
    psi: float | None = Field(None, ge=-FURTHEST_PSI, le=FURTHEST_PSI, allow_inf_nan=False)
    mix: _Layers = ""
    donor: int = Field(0, ge=0, le=LAST_SEED)

    @property
    def key(self) -> tuple[object, ...]:
        """Return what distinguishes these latents from others."""
        return self.seed, self.photo, self.psi, self.mix, self.donor


class StripQuery(Beginning):
    """A row of frames along one direction."""

    reach: Reach
    tab: Tab


class ShiftQuery(Beginning):
    """Images before and after the sum of shifts, of length `alpha[i]` along `direction[i]`, moving `layers[i]`.

    Without `layers` each direction moves those that the set says.
    """

    direction: list[_Number] = Field(min_length=1, max_length=MOST_DIRECTIONS)
    alpha: list[_Alpha] = Field(min_length=1, max_length=MOST_DIRECTIONS)
    layers: list[_Layers] = Field([], max_length=MOST_DIRECTIONS)
    images: int = Field(5, ge=1, le=MOST_IMAGES)
    rule: str = ""
    tab: Tab
