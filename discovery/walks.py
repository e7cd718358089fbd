"""The walk that is meant along a direction of a set: how long in which unit, and where it begins."""

from dataclasses import replace

from generators.protocol import Generator, Truncated
from toolkit.directions import DirectionSet
from toolkit.errors import UserError, named
from toolkit.moves import Centred
from toolkit.shifts import Shift, finite_length


def walk_along(
    directions: DirectionSet,
    generator: Generator | None,
    direction: str | int | None = None,
    alpha: float | None = None,
    sigma: float | None = None,
    centred: bool = False,
) -> Shift:
    """Return the shift along a direction (see DirectionSet.resolve), by `alpha` or by `sigma`, in deviations.

    These are the standard deviations of a generator's latents along the direction, which a set by GANSpace records of
    untruncated ones; truncated latents vary less, and there a deviation is as much shorter, as in GANSpace's viewer,
    which truncates what was edited. A `centred` walk begins where the mean latent lies along the direction. UserError
    where the set records no deviations or no centre.
    """
    if sigma is not None:
        if alpha is not None:
            raise UserError(f"{named('alpha')} and {named('sigma')} both say how far; give one of them")
        index = directions.chosen().index if direction is None else directions.index_of(direction)
        alpha = finite_length(sigma, "sigma") * _deviation(directions, index, generator)
    shift = directions.resolve(direction, alpha)
    return _centred(directions, shift) if centred else shift


def _deviation(directions: DirectionSet, index: int, generator: Generator | None) -> float:
    deviation = _recorded(directions, "sigma", "deviations of the latents", index)
    if not isinstance(generator, Truncated):
        return deviation
    return deviation * generator.variation(None if directions.layers is None else directions.layers[index])


def _centred(directions: DirectionSet, shift: Shift) -> Shift:
    if directions.is_curved:
        raise UserError(f"{shift.name} is curved, and has no centre to begin at; omit {named('centred')}")
    centre = _recorded(directions, "centre", "place of the mean latent", shift.index)
    move = Centred(shift.alpha, shift.layers, directions.vectors[shift.index], centre)
    return replace(shift, vector=move, opposite=-move)


def _recorded(directions: DirectionSet, column: str, what: str, index: int) -> float:
    if column not in directions.scores:
        raise UserError(
            f"directions by {directions.method} come without the {what} along each, which "
            f"{named('method', 'ganspace')} records; give {named('alpha')} alone"
        )
    return directions.scores[column][index]
