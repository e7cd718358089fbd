"""Which finalist's masks the others bear out: several raters and no truth, as in medical imaging.

Every finalist under every steady mask rule of one shift is a rater: masks that grow with the shift's length hold what
is bright, not a thing. STAPLE (Warfield et al., IEEE TMI 2004) estimates each pixel's truth and each rater's
sensitivity and specificity together. The rater of the highest F-measure, in which precision weighs twice as much as
sensitivity, is best to train on: a part that is now and then missed averages away over a training, while ground that
is taken in again and again is learnt; precision alone would favour masks that hold the middle of a thing and no more.
"""

from dataclasses import replace

import torch

from discovery.picking.measuring import seen
from discovery.picking.picker import Candidate
from discovery.settings import SHORTER, PickSettings
from generators.protocol import Generator, Latents
from toolkit.compute.engine import Engine
from toolkit.directions import DirectionSet
from toolkit.masks.filters import large_components
from toolkit.masks.rules import MASK_RULES
from toolkit.streams import Stream

_ROUNDS = 30
_SURE = 0.99  # no rater's sensitivity or specificity is taken to be closer to 1, or to 0, than this
_BETA = 0.5  # below 1 precision weighs more: with 1, or IoU, flowers64's pick fell from .68 to .53 after a short U-Net
_UNSTEADY = 0.05  # a rule whose masks change that much more with the shift's length is no rater
_EQUAL = 0.03  # agreements closer than this are taken for the same, and the score decides
_LEAST_SCORE = 0.7  # of the best finalist's: a direction of less is no rater
_FEWEST = 5  # directions among which there can be a consensus: of three, two bad ones outvote the good one
ORDER = (
    f"best first: finalists whose masks agree most with what all have in common (agreement), or within {_EQUAL} of "
    f"it, come before the others; within each group the score decides, and it alone where fewer than {_FEWEST} "
    f"finalists have {_LEAST_SCORE:.0%} of the best score"
)


def staple(votes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the truth's probability (N,), and each rater's sensitivity and precision (R,), of votes (R, N) in {0, 1}.

    Precision is the share of a rater's pixels that the estimated truth holds too.
    """
    votes = votes.float()
    truth = votes.mean(dim=0).clamp(1 - _SURE, _SURE)
    marked, pixels = votes.sum(dim=1), votes.shape[1]
    for _ in range(_ROUNDS):
        # Pixels that no rater marked follow from the others: all of them are looked at once a side, not twice.
        found, true = votes @ truth, truth.sum()
        sensitivity = (found / true).clamp(1 - _SURE, _SURE)
        specificity = ((pixels - true - (marked - found)) / (pixels - true)).clamp(1 - _SURE, _SURE)
        for_it = torch.log(sensitivity / (1 - specificity))
        against = torch.log((1 - sensitivity) / specificity)
        truth = torch.sigmoid(torch.logit(truth.mean()) + against.sum() + (for_it - against) @ votes)
    agreed_pixels = votes @ truth
    return truth, agreed_pixels / truth.sum().clamp_min(1e-6), agreed_pixels / marked.clamp_min(1)


def _overlap(sensitivity: float, precision: float) -> float:
    """Return the IoU of a rater's masks with the truth: between two rules of one shift neither side may be given up."""
    return 1 / (1 / sensitivity + 1 / precision - 1) if min(sensitivity, precision) > 0 else 0.0


def _agreement(sensitivity: float, precision: float) -> float:
    """Return the F-measure in which precision weighs twice as much as sensitivity (beta 0.5)."""
    weighed = _BETA**2 * precision + sensitivity
    return (1 + _BETA**2) * precision * sensitivity / weighed if weighed > 0 else 0.0


def _voted(
    generator: Generator,
    directions: DirectionSet,
    candidate: Candidate,
    latents: Latents,
    before: torch.Tensor,
    engine: Engine,
) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """Return a rater's masks (N,), flat, by rule, and by rule their stability: mean IoU with a quarter less shift.

    `before` are the unshifted images of the latents.
    """
    # Opposed rules are omitted: they judge two shifts at once, and a finalist is one.
    rules = {name: rule for name, rule in MASK_RULES.items() if not rule.opposed}
    alphas = (candidate.alpha, SHORTER * candidate.alpha)
    moved = [latents.shifted(candidate.sign * directions.shift(candidate.index, alpha)) for alpha in alphas]
    twins = [seen(generator, each, engine) for each in moved]
    votes, stabilities = {}, {}
    for name, rule in rules.items():
        masks, shorter = (large_components(rule(before, after)) for after in twins)
        union = (masks | shorter).sum(dim=(1, 2)).clamp_min(1)
        votes[name] = masks.flatten().cpu()
        stabilities[name] = ((masks & shorter).sum(dim=(1, 2)) / union).mean().item()
    return votes, stabilities


def _steady(stabilities: list[dict[str, float]]) -> list[str]:
    """Return the rules whose masks stay about as still, over all raters, as the stillest rule's while shifts grow."""
    means = {name: sum(one[name] for one in stabilities) / len(stabilities) for name in stabilities[0]}
    return [name for name, mean in means.items() if mean >= max(means.values()) - _UNSTEADY]


def by_consensus(
    generator: Generator,
    directions: DirectionSet,
    finalists: list[Candidate],
    settings: PickSettings,
    engine: Engine,
) -> list[Candidate]:
    """Return the finalists, best first, each with its better mask rule, and that rule's sensitivity and precision.

    Those that agree most with it come first, the score decides between equals; each says in a few words why it stands
    where it does. No place changes where fewer than five come near the best score.
    """
    raters = [c for c in finalists if c.score >= _LEAST_SCORE * finalists[0].score and c.score > 0]
    if len(raters) < _FEWEST:
        return [replace(c, reason="by its score alone: too few come near the best for a consensus") for c in finalists]
    latents = generator.sample(settings.compared_samples, Stream(settings.seed, "pick-consensus"), settings.truncation)
    before = seen(generator, latents, engine)
    voted = [_voted(generator, directions, c, latents, before, engine) for c in raters]
    rules = _steady([stability for _, stability in voted])
    _, sensitivity, precision = (
        t.tolist() for t in staple(torch.stack([votes[name] for votes, _ in voted for name in rules]))
    )
    judged = []
    for position, candidate in enumerate(raters):
        rows_of = range(position * len(rules), (position + 1) * len(rules))
        best = max(rows_of, key=lambda row: _overlap(sensitivity[row], precision[row]))
        agreement = _agreement(sensitivity[best], precision[best])
        figures = {"sensitivity": sensitivity[best], "precision": precision[best], "agreement": agreement}
        mask_rule = rules[best - rows_of.start]
        figures["rule_area"] = voted[position][0][mask_rule].float().mean().item()
        judged.append(replace(candidate, mask_rule=mask_rule, figures={**candidate.figures, **figures}))
    bar = max(c.figures["agreement"] for c in judged) - _EQUAL
    # Sorting keeps the order among equals, and finalists come by score.
    first = [_placed(c, bar) for c in sorted(judged, key=lambda c: c.figures["agreement"] < bar)]
    return first + [
        replace(c, reason="no rater: its score is far below the best") for c in finalists if c not in raters
    ]


def _placed(candidate: Candidate, bar: float) -> Candidate:
    """Return a rater with the reason for its place."""
    figures = candidate.figures
    if figures["agreement"] >= bar:
        return replace(candidate, reason="agrees most with the others; by its score among these")
    misses = figures["sensitivity"] < figures["precision"]
    what = "misses what others find" if misses else "takes in ground that others do not"
    return replace(candidate, reason=f"agrees less: {what}")
