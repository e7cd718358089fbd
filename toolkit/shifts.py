"""Which shift of the latent space is meant: a direction of a set, named or chosen, and a signed length."""

import hashlib
import math

import torch

from toolkit.directions import SHORTEST, DirectionSet
from toolkit.errors import UserError, named
from toolkit.masks.rules import DEFAULT_RULE, MASK_RULES


def finite_length(value: float, name: str = "alpha") -> float:
    """Return a shift length; UserError unless it is a finite number, and long enough to shift anything."""
    if not math.isfinite(value) or abs(value) < SHORTEST:
        raise UserError(
            f"{named(name)} is {value:g}, but has to be a finite number other than 0, {SHORTEST:g} or longer"
        )
    return value


def resolve_shift(
    directions: DirectionSet, direction: str | None = None, alpha: float | None = None
) -> tuple[int, float, torch.Tensor]:
    """Return (index, signed alpha, shift (D,)) of a direction, by number or name, and a length; else of the chosen one.

    UserError for a direction without a length, an unknown direction, and where nothing is named nor chosen.
    """
    if alpha is not None:
        finite_length(alpha)
    if direction is not None:
        index = directions.index_of(direction)
        if alpha is None:
            raise UserError(
                f"{named('direction')} needs the shift length too; give {named('alpha')}, negative for the other way"
            )
        return index, alpha, directions.shift(index, alpha)
    choice = directions.chosen()
    signed = choice.sign * (choice.alpha if alpha is None else alpha)
    return choice.index, signed, directions.shift(choice.index, signed)


def mask_rule_of(directions: DirectionSet, index: int, rule: str | None = None) -> str:
    """Return the mask rule for direction `index`: `rule`, else the one recorded with the choice, else lighting.

    UserError for a recorded rule that there is not.
    """
    recorded = recorded_rule(directions, index)
    if rule is None and recorded is not None and recorded not in MASK_RULES:
        raise UserError(
            f"masks of {directions.names[index]} are made by the rule {recorded!r}, which is not here; install its "
            f"package, or give {named('mask_rule')}, one of {', '.join(MASK_RULES)}"
        )
    return rule or recorded or DEFAULT_RULE


def recorded_rule(directions: DirectionSet, index: int) -> str | None:
    """Return the mask rule that was found best for direction `index` and recorded with the choice, if it was."""
    choice = directions.choice
    return choice.mask_rule if choice is not None and choice.index == index else None


def shift_inputs(index: int, alpha: float, shift: torch.Tensor) -> dict[str, str]:
    """Return what a run records about its shift; the digest keeps apart sets whose directions have the same numbers."""
    digest = hashlib.sha256(shift.cpu().numpy().tobytes()).hexdigest()[:16]
    return {"direction": str(index), "alpha": f"{alpha:g}", "shift_digest": digest}
