"""Directions that need no training: SeFa's eigenvectors, and the two controls."""

from typing import Any

import torch
import torch.nn.functional as F

from discovery.methods.settings import CoordinateSettings, RandomSettings, SefaSettings
from discovery.methods.signs import with_fixed_signs
from generators.protocol import Generator, Inspectable
from toolkit.directions import DirectionSet
from toolkit.errors import UserError
from toolkit.streams import Stream


def sefa_set(generator: Generator, settings: SefaSettings, card: dict[str, Any]) -> DirectionSet:
    """Return the latent directions that change the first layers' outputs most.

    They are the eigenvectors of A^T A of the largest eigenvalues, A (M, D) being the weights of all linear maps that
    read the latent (Shen & Zhou, CVPR 2021, section 3.2); the score column `eigenvalue` holds these. Each has its
    largest entry positive. UserError for a generator that does not show its first layers.
    """
    if not isinstance(generator, Inspectable):
        raise UserError(
            f"--method sefa reads a generator's first layers, which {generator.name} does not show; use --method "
            "ganspace or deformator, or give your own OwnGenerator its first_layers"
        )
    count = _count(settings.directions, generator)
    weights = torch.cat([weight.detach().cpu().double() for weight in generator.first_weights()])
    if settings.unit_rows:
        weights = F.normalize(weights, dim=1)
    values, vectors = torch.linalg.eigh(weights.T @ weights)
    return DirectionSet(
        with_fixed_signs(vectors.flip(1)[:, :count].T.float()),
        generator.name,
        "sefa",
        scores={"eigenvalue": values.flip(0)[:count].clamp_min(0).tolist()},
        card={**card, "settings": settings.defining()},
    )


def coordinate_set(generator: Generator, settings: CoordinateSettings, card: dict[str, Any]) -> DirectionSet:
    """Return the first latent axes."""
    vectors = torch.eye(generator.latent_dim)[: _count(settings.directions, generator)]
    return DirectionSet(vectors, generator.name, "coordinates", card={**card, "settings": settings.defining()})


def random_set(generator: Generator, settings: RandomSettings, card: dict[str, Any]) -> DirectionSet:
    """Return orthonormal vectors, uniformly distributed, named by the seed."""
    noise = Stream(settings.seed, "random-directions").normal(generator.latent_dim, generator.latent_dim).double()
    basis, triangle = torch.linalg.qr(noise.T)
    basis = basis * triangle.diagonal().sign()  # without it the distribution would depend on the factorisation
    vectors = basis.T[: _count(settings.directions, generator)].float()
    return DirectionSet(vectors, generator.name, "random", card={**card, "settings": settings.defining()})


def _count(directions: int | None, generator: Generator) -> int:
    count = directions or generator.latent_dim
    if count > generator.latent_dim:
        raise UserError(
            f"{count} directions are more than the {generator.latent_dim} latent numbers of {generator.name}; give "
            f"--directions {generator.latent_dim} or fewer"
        )
    return count
