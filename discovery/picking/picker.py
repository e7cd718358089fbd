"""Choosing the direction along which the background darkens and the foreground lightens, its sign and its length.

What is measured (discovery.picking.measuring) needs no label: brightness at the border against the centre, the masks'
filters, area and border, how still the mask stays while the shift grows, how well the mask splits the colours of the
unshifted image, and the original's operator score.
"""

import math
from dataclasses import dataclass, field, replace

from discovery.picking.bounds import Bounds
from discovery.picking.scoring import score_directions
from discovery.settings import PickSettings
from generators.protocol import Generator
from toolkit.compute.engine import Engine
from toolkit.directions import Choice, DirectionSet
from toolkit.errors import UserError, named
from toolkit.masks.rules import DEFAULT_RULE

FIGURES = {
    "border": "mean brightness change at the border, darker is negative; this and the rest on samples that pass",
    "centre": "mean brightness change in the centre",
    "inside": "mean brightness change inside the mask",
    "pass_rate": "share of samples whose mask passes the filters and is not empty",
    "too_large": "share of all samples whose mask takes more of the picture than the bound",
    "too_small": "share of all samples whose mask takes less of it",
    "area": "mean mask area",
    "border_share": "share of the border that the mask covers",
    "stability": "IoU of the mask with the one at three quarters of the shift",
    "separation": "share of the colour variance of the unshifted image that the mask explains",
    "change": "mean size of the colour change, which the operator's error is divided by",
    "judged_on": "samples that the figures rest on: few where a direction, or this way along it, fell behind early",
    "operator": "error of the best two affine colour maps, over the size of the change (lower is better)",
    "rule_area": "mean area of all masks by the better rule; the other shares and areas are of the rule lighting",
    "sensitivity": "share of the finalists' consensus that the mask, by the better rule, finds",
    "precision": "share of the mask that lies in the finalists' consensus",
    "agreement": "F-measure of both, in which precision weighs twice as much",
}
OF_FINALISTS = ("operator", "rule_area", "sensitivity", "precision", "agreement")  # figures that the others have not
_NUM_PARTS = 8  # factors of the score before the operator score joins
_NEUTRAL_CHANGE = 0.15  # brightness change, in units of [-1, 1], that counts as half convincing


@dataclass(frozen=True)
class Candidate:
    """One direction with a sign and a length, its figures (see FIGURES) and its score in [0, 1], higher is better.

    `mask_rule` is the rule its masks are best made by; `reason` says of a finalist why it stands where it stands.
    """

    index: int
    sign: int
    alpha: float
    score: float
    figures: dict[str, float] = field(default_factory=dict)
    mask_rule: str = DEFAULT_RULE
    reason: str = ""


def score_of(figures: dict[str, float], bounds: Bounds) -> float:
    """Return the geometric mean of what a background direction has to be, each part in [0, 1].

    Separation counts twice: it alone compares the mask with the unshifted picture. Half of the samples passing is
    enough, since the others are drawn again.
    """
    parts = (
        _convincing(-figures["border"]),
        _convincing(figures["inside"]),
        _convincing(figures["centre"] - figures["border"]),
        max(0.0, 1 - figures["border_share"] / bounds.max_border),
        min(1.0, 2 * figures["pass_rate"]),
        figures["stability"],
        figures["separation"],
        figures["separation"],
    )
    return math.prod(parts) ** (1 / _NUM_PARTS)


def _convincing(change: float) -> float:
    return max(0.0, change) / (max(0.0, change) + _NEUTRAL_CHANGE)


def best_of_each(candidates: list[list[Candidate]]) -> list[Candidate]:
    """Return each direction's best candidate, best direction first; ties by index.

    What was judged on more samples comes before what fell behind on fewer.
    """
    best = [max(found, key=_place) for found in candidates]
    return sorted(best, key=lambda c: (*(-part for part in _place(c)), c.index))


def _place(candidate: Candidate) -> tuple[float, float]:
    return candidate.figures["judged_on"], candidate.score


def with_operator_scores(
    generator: Generator,
    directions: DirectionSet,
    ranked: list[Candidate],
    settings: PickSettings,
    engine: Engine,
) -> list[Candidate]:
    """Return the finalists with the original's operator score in their figures and in their score, ranked again.

    The error of the two colour maps is divided by the mean colour change, so that short shifts gain nothing.
    """
    finalists = ranked[: settings.finalists]
    shifts = [c.sign * directions.shift(c.index, c.alpha) for c in finalists]
    errors = score_directions(generator, shifts, engine, truncation=settings.truncation, seed=settings.seed)
    scored = []
    for candidate, error in zip(finalists, errors.tolist(), strict=True):
        relative = min(1.0, error / max(1e-6, candidate.figures["change"]))
        figures = {**candidate.figures, "operator": relative}
        score = (candidate.score**_NUM_PARTS * (1 - relative)) ** (1 / (_NUM_PARTS + 1))
        scored.append(replace(candidate, score=score, figures=figures))
    return sorted(scored, key=lambda c: (-c.score, c.index))


def chosen(
    directions: DirectionSet, ranked: list[Candidate], finalists: list[Candidate], bounds: Bounds
) -> DirectionSet:
    """Return the set with a score column per figure and the best finalist as its choice; UserError if none will do."""
    final = {c.index: c for c in finalists}
    by_index = {c.index: final.get(c.index, c) for c in ranked}
    ordered = [by_index[i] for i in range(len(directions))]
    columns = {"score": [c.score for c in ordered], "sign": [float(c.sign) for c in ordered]}
    columns["alpha"] = [c.alpha for c in ordered]
    for name in FIGURES:
        if name not in OF_FINALISTS:
            columns[name] = [c.figures[name] for c in ordered]
    best = finalists[0]
    if best.score <= 0:
        raise UserError(
            "no direction darkens the background and lightens the rest; discover longer or with more directions, or "
            f"choose one yourself with {named('direction')} and {named('alpha')}"
        )
    before = directions.choice
    same = before is not None and (before.index, before.sign) == (best.index, best.sign)
    opposite = before.opposite if before is not None and same else None
    choice = Choice(best.index, best.sign, best.alpha, opposite, best.mask_rule, bounds.max_area)
    return replace(directions, scores={**directions.scores, **columns}, choice=choice)
