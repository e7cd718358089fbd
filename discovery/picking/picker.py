"""Choosing the direction along which the background darkens and the foreground lightens, its sign and its length.

Every direction, both signs and several lengths are rendered on the same latents. What is measured needs no label:
brightness at the border against the centre, the masks' filters, area and border, how still the mask stays while the
shift grows, how well the mask splits the colours of the unshifted image, and the original's operator score.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch

from discovery.picking.bounds import Bounds
from discovery.picking.scoring import score_directions
from discovery.settings import SHORTER, PickSettings
from generators.protocol import Generator, Latents
from toolkit.compute.engine import Engine
from toolkit.directions import Choice, DirectionSet
from toolkit.errors import UserError, named
from toolkit.masks.comparisons import lighting
from toolkit.masks.filters import areas_within, large_components, multimodal
from toolkit.masks.rules import DEFAULT_RULE
from toolkit.pictures.pixels import gray
from toolkit.streams import Stream

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
    "operator": "error of the best two affine colour maps, over the size of the change (lower is better)",
    "sensitivity": "share of the finalists' consensus that the mask, by the better rule, finds",
    "precision": "share of the mask that lies in the finalists' consensus",
    "agreement": "F-measure of both, in which precision weighs twice as much",
}
OF_FINALISTS = ("operator", "sensitivity", "precision", "agreement")  # figures that the others have not
_NUM_PARTS = 8  # factors of the score before the operator score joins
_FEWEST = 4  # samples that have to pass before the others are left out of the figures
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


@dataclass(frozen=True)
class Measured:
    """One direction with a sign and a length, and what every sample (B,) says of it, whatever the bounds."""

    index: int
    sign: int
    alpha: float
    areas: torch.Tensor
    two_shades: torch.Tensor
    figures: dict[str, torch.Tensor]

    def judged(self, bounds: Bounds) -> Candidate:
        """Return the means over samples whose masks pass the area and histogram filters and are not empty."""
        large = ~areas_within(self.areas, 1, 0.0, bounds.max_area)
        small = ~areas_within(self.areas, 1, bounds.min_area, 1.0)
        passed = self.two_shades & ~large & ~small
        seen = passed if int(passed.sum()) >= _FEWEST else torch.ones_like(passed)
        shares = {"pass_rate": passed, "too_large": large, "too_small": small}
        figures = {name: which.float().mean().item() for name, which in shares.items()}
        figures |= {name: values[seen].mean().item() for name, values in self.figures.items()}
        figures = {name: figures[name] for name in FIGURES if name in figures}
        return Candidate(self.index, self.sign, self.alpha, _score(figures, bounds), figures)


def measure(
    generator: Generator, directions: DirectionSet, settings: PickSettings, engine: Engine, batch: int = 64
) -> Iterator[list[Measured]]:
    """Yield, direction by direction, what is seen of it with both signs and all lengths."""
    latents = judged_latents(generator, settings).to(engine.device)
    before = _rendered(generator, latents, engine, batch)
    for index in range(len(directions)):
        measured: list[Measured] = []
        for sign in (1, -1):
            measured += _along(generator, directions, index, sign, latents, before, settings, engine, batch)
        yield measured


def judged_latents(generator: Generator, settings: PickSettings) -> Latents:
    """Return the latents every direction is judged on."""
    return generator.sample(settings.samples, Stream(settings.seed, "pick"), settings.truncation)


@torch.inference_mode()
def _rendered(generator: Generator, latents: Latents, engine: Engine, batch: int) -> torch.Tensor:
    with engine.autocast():
        return torch.cat([generator(latents[i : i + batch]).float() for i in range(0, len(latents), batch)])


def _along(
    generator: Generator,
    directions: DirectionSet,
    index: int,
    sign: int,
    latents: Latents,
    before: torch.Tensor,
    settings: PickSettings,
    engine: Engine,
    batch: int,
) -> list[Measured]:
    alphas = settings.alphas()
    # One step below the shortest serves as its neighbour in the stability figure.
    reaches = [alphas[0] * SHORTER, *alphas]
    shifted = [latents.shifted((sign * directions.shift(index, a)).to(latents.z.device)) for a in reaches]
    after = _rendered(generator, Latents.cat(shifted), engine, batch).unflatten(0, (len(reaches), -1))
    masks = torch.stack([large_components(lighting(before, twin)) for twin in after])
    return [
        _measured(index, sign, alpha, before, after[i + 1], masks[i + 1], masks[i]) for i, alpha in enumerate(alphas)
    ]


def _measured(
    index: int,
    sign: int,
    alpha: float,
    before: torch.Tensor,
    after: torch.Tensor,
    masks: torch.Tensor,
    shorter: torch.Tensor,
) -> Measured:
    change = gray(after) - gray(before)
    size = tuple(before.shape[-2:])
    ring, core = _ring(size, before.device), _core(size, before.device)
    inside = (change * masks).sum(dim=(1, 2)) / masks.sum(dim=(1, 2)).clamp_min(1)
    union = (masks | shorter).sum(dim=(1, 2)).clamp_min(1)
    areas = masks.float().mean(dim=(1, 2))
    figures = {
        "border": change[:, ring].mean(dim=1),
        "centre": change[:, core].mean(dim=1),
        "inside": inside,
        "area": areas,
        "border_share": masks[:, ring].float().mean(dim=1),
        "stability": (masks & shorter).sum(dim=(1, 2)) / union,
        "separation": _separation(before, masks),
    }
    figures = {name: values.float().cpu() for name, values in figures.items()}
    return Measured(index, sign, alpha, areas.cpu(), multimodal(after).cpu(), figures)


def _ring(size: tuple[int, ...], device: torch.device) -> torch.Tensor:
    """Return the outer eighth of the picture, along its shorter side, as a mask (H, W)."""
    ring = torch.ones(size, dtype=torch.bool, device=device)
    edge = max(1, min(size) // 8)
    ring[edge:-edge, edge:-edge] = False
    return ring


def _core(size: tuple[int, ...], device: torch.device) -> torch.Tensor:
    """Return the middle third of the picture, down and across, as a mask (H, W)."""
    core = torch.zeros(size, dtype=torch.bool, device=device)
    rows, columns = (slice(side // 3, side - side // 3) for side in size)
    core[rows, columns] = True
    return core


def _separation(images: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Return (B,): between-class over total variance of the colours, classes being the mask and the rest."""
    pixels, inside = images.flatten(2), masks.flatten(1).float()[:, None]
    total = pixels.var(dim=2, unbiased=False).sum(dim=1).clamp_min(1e-6)
    weight = inside.mean(dim=2)
    overall = pixels.mean(dim=2)
    foreground = (pixels * inside).mean(dim=2) / weight.clamp_min(1e-6)
    background = (pixels * (1 - inside)).mean(dim=2) / (1 - weight).clamp_min(1e-6)
    between = weight * (foreground - overall) ** 2 + (1 - weight) * (background - overall) ** 2
    return between.sum(dim=1) / total


def _score(figures: dict[str, float], bounds: Bounds) -> float:
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
    """Return each direction's best candidate, best direction first; ties by index."""
    best = [max(found, key=lambda c: c.score) for found in candidates]
    return sorted(best, key=lambda c: (-c.score, c.index))


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
    latents = judged_latents(generator, settings).to(engine.device)
    shifts = [c.sign * directions.shift(c.index, c.alpha) for c in finalists]
    errors = score_directions(generator, shifts, engine, truncation=settings.truncation, seed=settings.seed)
    before = _rendered(generator, latents, engine, 64)
    scored = []
    for candidate, shift, error in zip(finalists, shifts, errors.tolist(), strict=True):
        after = _rendered(generator, latents.shifted(shift.to(latents.z.device)), engine, 64)
        size = (after - before).norm(dim=1).mean().clamp_min(1e-6).item()
        relative = min(1.0, error / size)
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
