"""What speaks against a pick, from its figures alone: nothing darkens, masks rarely fit, finalists disagree."""

from collections.abc import Mapping

from discovery.picking.bounds import Bounds
from toolkit.errors import WeakPoint, named

_NO_DARKENING, _LITTLE_DARKENING = 0.05, 0.12  # brightness by which the border falls, in units of [-1, 1]
_NO_SCORE, _LOW_SCORE = 0.2, 0.3
_FEW_PASS = 0.4  # share of the samples
_DISAGREEING = 0.6  # F-measure of the masks against what all finalists have in common
_AT_A_BOUND = 0.3  # share of the samples whose masks lie beyond it
_OTHERS = "discover longer, by other methods, or on a better generator"


def weak_points(
    score: float, figures: Mapping[str, float], bounds: Bounds, needed: Bounds | None = None
) -> list[WeakPoint]:
    """Return what is weak about a direction of that score and those figures (picker.FIGURES), worst first.

    `needed` are the bounds that would be derived, where others are set.
    """
    found = [
        _darkening(-figures["border"]),
        _of_score(score),
        _too_large(figures["too_large"], bounds, needed or bounds),
        _too_small(figures["too_small"], bounds),
        _passing(figures["pass_rate"]),
        _agreement(figures),
    ]
    return sorted((point for point in found if point is not None), key=lambda point: not point.failed)


def _darkening(fall: float) -> WeakPoint | None:
    if fall >= _LITTLE_DARKENING:
        return None
    nothing = fall < _NO_DARKENING
    what = "nothing darkens grounds" if nothing else "grounds darken little"
    what += f": the border changes by {-fall:+.2f} along the best direction"
    advice = f"grounds that are dark already cannot; else {_OTHERS}" if nothing else _OTHERS
    return WeakPoint("darkening", what, advice, nothing)


def _of_score(score: float) -> WeakPoint | None:
    if score >= _LOW_SCORE:
        return None
    return WeakPoint("score", f"the best score is {score:.2f}", _OTHERS, score < _NO_SCORE)


def _too_large(share: float, bounds: Bounds, needed: Bounds) -> WeakPoint | None:
    if bounds.shuts_out(needed):
        what = f"masks of the best directions need up to {needed.max_area:.2f} of the picture"
        advice = f"set no {named('max_area')} below it (it is {bounds.max_area:.2f})"
        return WeakPoint("max_area", what, advice)
    if share < _AT_A_BOUND:
        return None
    what = f"{share:.0%} of the masks take more than {bounds.max_area:.2f} of the picture"
    return WeakPoint("max_area", what, f"raise {named('max_area')} where things are that large")


def _too_small(share: float, bounds: Bounds) -> WeakPoint | None:
    if share < _AT_A_BOUND:
        return None
    what = f"{share:.0%} of the masks take less than {bounds.min_area:.2f} of the picture"
    return WeakPoint("min_area", what, f"lower {named('min_area')} where things are that small")


def _passing(share: float) -> WeakPoint | None:
    if share >= _FEW_PASS:
        return None
    return WeakPoint("pass_rate", f"{share:.0%} of the masks pass the filters", f"look at pick.png; {_OTHERS}")


def _agreement(figures: Mapping[str, float]) -> WeakPoint | None:
    agreed = figures.get("agreement", 1.0)
    if agreed >= _DISAGREEING:
        return None
    what = f"finalists disagree: agreement {agreed:.2f} with what their masks have in common"
    choose = f"look at pick.png and choose with {named('direction')} and {named('alpha')}"
    return WeakPoint("disagreement", what, choose)
