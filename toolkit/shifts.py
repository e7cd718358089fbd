"""A shift of the latent space: a direction of a set and a signed length, resolved once and passed on by itself."""

import hashlib
import math
from dataclasses import dataclass

import torch

from toolkit.errors import UserError, named
from toolkit.masks.rules import DEFAULT_RULE, MASK_RULES

SHORTEST = 1e-6  # of a shift: what is less is lost when it is added to a latent in 32 bits


def finite_length(value: float, name: str = "alpha") -> float:
    """Return a shift length; UserError unless it is a finite number, and long enough to shift anything."""
    if not math.isfinite(value) or abs(value) < SHORTEST:
        raise UserError(
            f"{named(name)} is {value:g}, but has to be a finite number other than 0, {SHORTEST:g} or longer"
        )
    return value


def at_layers(shift: torch.Tensor, layers: torch.Tensor) -> torch.Tensor:
    """Return shift (..., D) as one by layer (..., L, D), which moves only the layers where `layers` (L,) is true."""
    return shift[..., None, :] * layers.to(shift)[:, None]


@dataclass(frozen=True)
class Shift:
    """A walk of signed length `alpha` along the direction of number `index` and name `name`.

    `vector` (D,) is the whole shift and `opposite` (D,) the one towards dark, on the CPU; `recorded_rule` is the mask
    rule that was found best for the direction and recorded with the choice of its set, if it was.
    """

    index: int
    name: str
    alpha: float
    vector: torch.Tensor
    opposite: torch.Tensor
    recorded_rule: str | None = None

    def mask_rule(self, rule: str | None = None) -> str:
        """Return the mask rule to use: `rule`, else the recorded one, else lighting.

        UserError for a recorded rule that there is not.
        """
        if rule is None and self.recorded_rule is not None and self.recorded_rule not in MASK_RULES:
            raise UserError(
                f"masks of {self.name} are made by the rule {self.recorded_rule!r}, which is not here; install its "
                f"package, or give {named('mask_rule')}, one of {', '.join(MASK_RULES)}"
            )
        return rule or self.recorded_rule or DEFAULT_RULE

    def seen_by(self, rule: str) -> torch.Tensor:
        """Return what a mask rule compares: the vector (D,), or (2, D) with its opposite for a rule that needs both."""
        return torch.stack([self.vector, self.opposite]) if MASK_RULES[rule].opposed else self.vector

    def inputs(self, seen: torch.Tensor) -> dict[str, str]:
        """Return what a run records of what a rule compares; the digest keeps apart sets of the same numbers."""
        digest = hashlib.sha256(seen.cpu().numpy().tobytes()).hexdigest()[:16]
        return {"direction": str(self.index), "alpha": f"{self.alpha:g}", "shift_digest": digest}
