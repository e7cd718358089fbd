"""Picking the background direction of a set: ranking, finalists, consensus, choice, in one call."""

from dataclasses import dataclass, replace

from discovery.picking.bounds import Bounds
from discovery.picking.consensus import by_consensus
from discovery.picking.picker import Candidate, best_of_each, chosen, with_operator_scores
from discovery.picking.stages import derived_bounds, measured
from discovery.picking.verdict import weak_points
from discovery.settings import PickSettings
from generators.protocol import Generator, fitting
from toolkit.compute.engine import Engine
from toolkit.directions import Choice, DirectionSet
from toolkit.errors import WeakPoint
from toolkit.shifts import finite_length
from toolkit.watch import SILENT, Watch


@dataclass(frozen=True)
class Picked:
    """The set with scores and choice, its finalists, best first, every candidate by direction, and the bounds.

    `weak` says what speaks against the choice; empty where nothing does.
    """

    directions: DirectionSet
    finalists: list[Candidate]
    candidates: list[Candidate]
    bounds: Bounds
    weak: list[WeakPoint]


def pick_direction(
    generator: Generator, directions: DirectionSet, settings: PickSettings, engine: Engine, watch: Watch = SILENT
) -> Picked:
    """Return what is picked of a set; UserError if no direction will do.

    >>> picked = pick_direction(generator, directions, PickSettings(), engine)  # doctest: +SKIP
    >>> picked.directions.chosen()  # doctest: +SKIP
    Choice(index=25, sign=1, alpha=6.0, opposite=None, mask_rule='mean_thr', max_area=0.5)
    """
    candidates, bounds, needed = _within_bounds(generator, directions, settings, engine, watch, "judging")
    ranked = best_of_each(candidates)
    finalists = with_operator_scores(generator, directions, ranked, settings, engine)
    finalists = by_consensus(generator, directions, finalists, settings, engine)
    chosen_set, every = chosen(directions, ranked, finalists, bounds), [c for own in candidates for c in own]
    weak = weak_points(finalists[0].score, finalists[0].figures, bounds, needed)
    return Picked(chosen_set, finalists, every, bounds, weak)


def judged(
    generator: Generator,
    directions: DirectionSet,
    settings: PickSettings,
    engine: Engine,
    watch: Watch = SILENT,
    label: str = "judging",
) -> list[list[Candidate]]:
    """Return each direction's candidates: both signs, and all lengths of those in the running (see stages)."""
    return _within_bounds(generator, directions, settings, engine, watch, label)[0]


def _within_bounds(
    generator: Generator, directions: DirectionSet, settings: PickSettings, engine: Engine, watch: Watch, label: str
) -> tuple[list[list[Candidate]], Bounds, Bounds]:
    """Return each direction's candidates, the bounds they were judged within, and those that would be derived."""
    seen = measured(generator, directions, settings, engine, watch, label)
    needed = derived_bounds(seen, settings)
    bounds = needed.as_set(settings)
    return [[one.judged(bounds) for one in own] for own in seen], bounds, needed


def with_choice(
    directions: DirectionSet,
    direction: str | int,
    alpha: float,
    mask_rule: str | None = None,
    layers: str | None = None,
    generator: Generator | None = None,
) -> DirectionSet:
    """Return the set with a direction, and the sign and the length of `alpha`, as its choice.

    The opposite and, unless another is passed, the mask rule of the choice before are kept where it is the same way,
    and its bound on areas in any case.
    With `layers` of a `generator` the direction, and its opposite, move these from now on. UserError for an unknown
    direction, for an alpha that is 0 or not finite, and for layers that are not there.
    """
    finite_length(alpha)
    index, sign, before = directions.index_of(direction), 1 if alpha > 0 else -1, directions.choice
    same = before is not None and (before.index, before.sign) == (index, sign)
    kept = before if before is not None and same else None
    rule = mask_rule or (kept.mask_rule if kept is not None else None)
    opposite = kept.opposite if kept is not None else None
    bound = None if before is None else before.max_area
    if layers is not None and generator is not None:
        for moved in {index, index if opposite is None else opposite}:
            directions = fitting(directions, generator, layers, moved)
    return replace(directions, choice=Choice(index, sign, abs(alpha), opposite, rule, bound))
