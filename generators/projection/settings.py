"""Settings of projection. No torch here: the command line reads the defaults from it."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from toolkit.errors import UserError, named

SPACES = ("z", "w", "w+")
STEPS = 500  # of a photo that is embedded into a file
_RAMP_UP, _RAMP_DOWN = 0.05, 0.25  # shares of the steps over which the rate rises and falls
_JITTERED = 0.75  # share of the steps in which latents are disturbed


@dataclass(frozen=True)
class Projection:
    """How a photo's latents are found (Karras et al. 2020, 1912.04958, appendix D).

    `space` z, w, or w+, in which each layer has a w of its own; Adam `steps`; `rate` at its peak, in units of the
    latents' own spread; `jitter`, the size of the disturbance at the first step, in units of the distance that random
    latents have from their mean; `apartness`, what it costs that layers of w+ differ from each other: edits of a
    latent far from W fail; whether to `optimise_noise` too. `seed` names the disturbances and the first noise.
    """

    space: str
    steps: int = STEPS
    rate: float = 0.1
    jitter: float = 0.05
    apartness: float = 0.03
    optimise_noise: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.space not in SPACES:
            raise UserError(f"{named('space')} is {self.space!r}; choose one of {', '.join(SPACES)}")
        if self.steps < 1:
            raise UserError(
                f"{named('steps')} is {self.steps}, but without an encoder latents are found in steps alone; give 1 or "
                f"more, such as {STEPS}"
            )
        if not self.rate > 0:
            raise UserError(f"{named('rate')} is {self.rate}, but has to be more than 0")

    def rate_at(self, step: int) -> float:
        """Return the rate of a step: it rises linearly, and falls along a cosine at the end."""
        done = step / self.steps
        falling = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - done) / _RAMP_DOWN))
        return self.rate * falling * min(1.0, (step + 1) / (self.steps * _RAMP_UP))

    def jitter_at(self, step: int) -> float:
        """Return the size of the disturbance of a step, which falls to 0 as a parabola."""
        return self.jitter * max(0.0, 1 - step / self.steps / _JITTERED) ** 2

    def described(self) -> dict[str, Any]:
        """Return what records say of it."""
        return asdict(self)
