"""Comparing direction sets of one generator: how recognisable their directions are, and how distinct.

Reconstructor classification accuracy (RCA) as in Voynov & Babenko, "Unsupervised Discovery of Interpretable
Directions in the GAN Latent Space" (ICML 2020), section 4: the directions stay as they are, and a reconstructor is
trained from scratch to tell them apart. Every set gets the same latents, shifts, starting weights and steps.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from scipy.integrate import quad
from scipy.optimize import linear_sum_assignment
from scipy.special import betainc

from discovery.comparing.merging import num_layers, require_straight
from discovery.comparing.settings import CompareSettings
from discovery.methods.deformator.deformators import FixedDeformator
from discovery.methods.deformator.training import DiscoveryState
from generators.protocol import Generator
from toolkit.compute.engine import Engine
from toolkit.directions import DirectionSet

DEFINITIONS = {
    "rca": "reconstructor classification accuracy: share of shifts whose direction is told right by a reconstructor "
    "trained from scratch on the K directions of this set; chance is 1 / K",
    "rca_error": "standard error of rca from the number of validation pairs, sqrt(rca (1 - rca) / pairs)",
    "recognised": "rca of each direction alone; null where the validation drew none of it",
    "nearest": "mean over directions of the largest |cosine| with another direction of the set; 0 when all are "
    "orthogonal",
    "effective_rank": "exponential of the entropy of the squared singular values, normalised to sum 1: K when all "
    "directions are orthogonal, 1 when all are parallel",
    "overlap": "mean over the directions of the first set of the largest |cosine| with a direction of the second",
    "random": "expected value of the same figure for uniformly random unit vectors, as many, of as many numbers",
    "matches": "pairs of directions, each used once, chosen for the largest sum of |cosine|; the nearest first",
}


def selected(directions: DirectionSet, count: int) -> DirectionSet:
    """Return a set of `count` directions: those of the highest `score` where `pick` gave scores, else the first.

    They keep their order and names; a set that has no more is returned whole.
    """
    if count >= len(directions):
        return directions
    score = directions.scores.get("score")
    order = sorted(range(len(directions)), key=lambda i: -score[i]) if score else range(len(directions))
    rows = sorted(order[:count])
    return dataclasses.replace(
        directions,
        vectors=directions.vectors[rows],
        layers=None if directions.layers is None else directions.layers[rows],
        names=tuple(directions.names[i] for i in rows),
        scores={name: [column[i] for i in rows] for name, column in directions.scores.items()},
        choice=None,
        warps=None if directions.warps is None else directions.warps.taken(rows),
    )


def reconstruction(
    generator: Generator, directions: DirectionSet, settings: CompareSettings, engine: Engine
) -> DiscoveryState:
    """Return the state before the first step of a reconstructor on fixed directions; UserError if it cannot be.

    `discovery.methods.deformator.training.discover` trains it, with `settings.training()`.
    """
    training = dataclasses.replace(settings.training(), directions=len(directions))
    state = DiscoveryState.start(generator, training, engine)
    return dataclasses.replace(state, deformator=FixedDeformator(directions.units).to(engine.device))


@dataclass(frozen=True)
class Recognition:
    """What a trained reconstructor classifies correctly; the figures are those of DEFINITIONS, in [0, 1]."""

    rca: float
    rca_error: float
    recognised: tuple[float | None, ...]

    @classmethod
    def of(cls, counts: torch.Tensor) -> "Recognition":
        """Return the figures of a confusion matrix (K, K), true directions in rows."""
        right, drawn = counts.diagonal().tolist(), counts.sum(dim=1).tolist()
        rca = sum(right) / sum(drawn)
        shares = tuple(r / n if n else None for r, n in zip(right, drawn, strict=True))
        return cls(rca, math.sqrt(rca * (1 - rca) / sum(drawn)), shares)


def compared(sets: Sequence[DirectionSet]) -> list[torch.Tensor]:
    """Return the directions of each set as unit vectors (K, D), or (K, L * D) where some set moves layers alone.

    Those of one vector are the less the same the fewer layers they share, and orthogonal where they share none.
    """
    require_straight(sets)
    count = num_layers(sets)
    if count is None:
        return [one.vectors for one in sets]
    everywhere = torch.ones(count, dtype=torch.bool)
    whole = [one if one.layers is not None else one.moving(everywhere) for one in sets]
    return [F.normalize(one.units.flatten(1), dim=1) for one in whole]


def cosines(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Return |cosine| (A, B) of unit vectors (A, D) and (B, D)."""
    return (first @ second.T).abs().clamp_max(1)


def nearest(vectors: torch.Tensor) -> float | None:
    """Return the mean over unit vectors (K, D) of the largest |cosine| with another of them; None for a single one."""
    if len(vectors) < 2:
        return None
    return cosines(vectors, vectors).fill_diagonal_(0).amax(dim=1).mean().item()


def effective_rank(vectors: torch.Tensor) -> float:
    """Return how many of the directions (K, D) are distinct, in [1, K].

    Exponential of the entropy of the singular values (Roy & Vetterli, "The Effective Rank", EUSIPCO 2007), here of
    their squares, whose sum is K for unit vectors.
    """
    shares = torch.linalg.svdvals(vectors.double()).square()
    return torch.special.entr(shares / shares.sum()).sum().exp().item()


def overlap(first: torch.Tensor, second: torch.Tensor) -> float:
    """Return the mean over unit vectors (A, D) of the largest |cosine| with one of (B, D); it is not symmetric."""
    return cosines(first, second).amax(dim=1).mean().item()


def random_overlap(count: int, latent_dim: int) -> float:
    """Return the expected largest |cosine| of a vector with `count` uniformly random ones of `latent_dim` > 1 numbers.

    cosine squared follows Beta(1/2, (D - 1)/2), so P(|cosine| <= c) is its distribution function I at c squared, and
    the expectation of the largest of `count` is the integral of 1 - I^count over 0 to 1.
    """
    return quad(lambda c: 1 - betainc(0.5, (latent_dim - 1) / 2, c * c) ** count, 0, 1)[0]


@dataclass(frozen=True)
class Match:
    """Direction `first` of one set beside direction `second` of another, and their cosine, with its sign."""

    first: int
    second: int
    cosine: float


def matches(first: torch.Tensor, second: torch.Tensor) -> list[Match]:
    """Return one-to-one pairs of unit vectors (A, D) and (B, D), those of largest summed |cosine|, nearest first."""
    signed = first @ second.T
    rows, columns = linear_sum_assignment(signed.abs().numpy(), maximize=True)
    pairs = [Match(i, j, signed[i, j].item()) for i, j in zip(rows.tolist(), columns.tolist(), strict=True)]
    return sorted(pairs, key=lambda pair: -abs(pair.cosine))
