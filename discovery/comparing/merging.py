"""Several direction sets of one generator as one."""

from collections.abc import Iterable, Mapping

import torch

from generators.spec import split_spec
from toolkit.directions import DirectionSet
from toolkit.errors import UserError


def merged(sets: Mapping[str, DirectionSet]) -> DirectionSet:
    """Return all directions of several sets, by label, named `label/name`; UserError unless of one generator.

    Score columns that all of them have are kept; what was chosen before is not.
    """
    require_one_generator(sets)
    parts = list(sets.values())
    require_straight(parts)
    first = parts[0]
    common = set.intersection(*(set(part.scores) for part in parts))
    count = num_layers(parts)
    return DirectionSet(
        torch.cat([part.vectors for part in parts]),
        first.generator,
        " + ".join(dict.fromkeys(part.method for part in parts)),
        tuple(f"{label}/{name}" for label, part in sets.items() for name in part.names),
        {name: [value for part in parts for value in part.scores[name]] for name in first.scores if name in common},
        card={
            "source": first.card.get("source", {}),
            "members": {label: {"method": p.method, "directions": len(p)} for label, p in sets.items()},
        },
        layers=None if count is None else torch.cat([_layers(part, count) for part in parts]),
    )


def require_straight(sets: Iterable[DirectionSet]) -> None:
    """Raise UserError for sets whose walks are curved: cosines and matrices say nothing of those."""
    for one in sets:
        if one.is_curved:
            raise UserError(f"walks along the directions of {one.method} are curved; compare and merge straight ones")


def num_layers(sets: Iterable[DirectionSet]) -> int | None:
    """Return of how many layers the directions of sets move some, None where all of them move all layers.

    UserError where it is not the same number in all.
    """
    counts = sorted({one.layers.shape[1] for one in sets if one.layers is not None})
    if len(counts) > 1:
        raise UserError(f"sets move some of {counts[0]} layers and of {counts[1]}; give sets of one generator")
    return counts[0] if counts else None


def _layers(directions: DirectionSet, count: int) -> torch.Tensor:
    """Return which of `count` layers each direction moves, (K, count)."""
    everywhere = torch.ones(len(directions), count, dtype=torch.bool)
    return everywhere if directions.layers is None else directions.layers


def require_one_generator(sets: Mapping[str, DirectionSet]) -> None:
    """Raise UserError unless all sets, by label, were found on one generator.

    Its name, latent size and options have to be the same, and its file by digest, or by what was named where a set
    recorded none.
    """
    (label, first), *others = sets.items()
    for other, directions in others:
        directions.moving(None).require_dim(first.vectors.shape[1], first.generator)
        if _identity(directions, first) != _identity(first, directions):
            named = [one.source.generator or one.generator for one in (directions, first)]
            which = (
                f"{named[0]}, {label} on {named[1]}"
                if named[0] != named[1]
                else f"another file of {named[0]} than {label}"
            )
            raise UserError(f"{other} was found on {which}; give sets of one generator")


def _identity(directions: DirectionSet, other: DirectionSet) -> tuple[object, ...]:
    """Return what distinguishes the generator of `directions` from others, by digest where `other` has one as well."""
    name, options = split_spec(directions.source.generator or directions.generator)
    by_digest = directions.generator_digest is not None and other.generator_digest is not None
    return directions.generator, options, directions.generator_digest if by_digest else name
