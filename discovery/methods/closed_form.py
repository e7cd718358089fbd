"""Directions that need no training: SeFa's eigenvectors, what a generator knows by itself, and the two controls."""

import torch
import torch.nn.functional as F

from discovery.methods.search import DirectionSearch, Findings
from discovery.methods.settings import CoordinateSettings, PoseSettings, RandomSettings, SefaSettings
from discovery.methods.signs import with_fixed_signs
from generators.protocol import Generator, Inspectable, KnowsDirections
from generators.styled import StyledGenerator
from toolkit.compute.engine import Engine
from toolkit.directions import DirectionSet
from toolkit.errors import UserError, named
from toolkit.streams import Stream


class SefaSearch(DirectionSearch[SefaSettings]):
    """The latent directions that change the first layers' outputs most.

    They are the eigenvectors of A^T A of the largest eigenvalues, A (M, D) being the weights of all linear maps that
    read the latent (Shen & Zhou, CVPR 2021, section 3.2); the score column `eigenvalue` holds these. Each has its
    largest entry positive. Of a generator with a latent a layer these are the maps of the layers that are named, or
    else of those that draw, and the directions move these layers. UserError for a generator that does not show its
    first layers.
    """

    def __init__(self, generator: Generator, settings: SefaSettings, engine: Engine) -> None:
        super().__init__(generator, settings, engine)
        if not isinstance(generator, Inspectable):
            raise UserError(
                f"{named('method', 'sefa')} reads a generator's first layers, which {generator.name} does not show; "
                f"use {named('method', 'ganspace')} or deformator, or give your own OwnGenerator its first_layers"
            )
        self._count = _count(settings.directions, generator)
        weights = generator.first_weights()
        self._layers = generator.drawing_layers if isinstance(generator, StyledGenerator) else None
        if self._layers is not None:
            weights = [weights[layer] for layer in self._layers.nonzero().flatten().tolist()]
        self._weights = torch.cat([weight.detach().cpu().double() for weight in weights])

    def result(self) -> Findings:
        """Return the directions, the strongest first."""
        weights = F.normalize(self._weights, dim=1) if self.settings.unit_rows else self._weights
        values, vectors = torch.linalg.eigh(weights.T @ weights)
        directions = DirectionSet(
            with_fixed_signs(vectors.flip(1)[:, : self._count].T.float()),
            self.generator.name,
            "sefa",
            scores={"eigenvalue": values.flip(0)[: self._count].clamp_min(0).tolist()},
            card={"settings": self.settings.defining()},
            layers=None if self._layers is None else self._layers.expand(self._count, -1),
        )
        return Findings(directions)


class PoseSearch(DirectionSearch[PoseSettings]):
    """The directions that move the whole image, which the generator states; UserError for one that has none."""

    def __init__(self, generator: Generator, settings: PoseSettings, engine: Engine) -> None:
        super().__init__(generator, settings, engine)
        self._known = generator.own_directions() if isinstance(generator, KnowsDirections) else {}
        if not self._known:
            raise UserError(
                f"{named('method', 'pose')} needs a generator that turns and shifts its images, which {generator.name} "
                "does not; open a StyleGAN3 as FILE@pose=walk, or use another method"
            )

    def result(self) -> Findings:
        """Return the directions in the generator's order."""
        vectors, card = torch.stack(list(self._known.values())), {"settings": self.settings.defining()}
        return Findings(DirectionSet(vectors, self.generator.name, "pose", tuple(self._known), card=card))


class CoordinateSearch(DirectionSearch[CoordinateSettings]):
    """The first latent axes."""

    def __init__(self, generator: Generator, settings: CoordinateSettings, engine: Engine) -> None:
        super().__init__(generator, settings, engine)
        self._count = _count(settings.directions, generator)

    def result(self) -> Findings:
        """Return the axes in order."""
        vectors = torch.eye(self.generator.latent_dim)[: self._count]
        card = {"settings": self.settings.defining()}
        return Findings(DirectionSet(vectors, self.generator.name, "coordinates", card=card))


class RandomSearch(DirectionSearch[RandomSettings]):
    """Orthonormal vectors, uniformly distributed, named by the seed."""

    def __init__(self, generator: Generator, settings: RandomSettings, engine: Engine) -> None:
        super().__init__(generator, settings, engine)
        self._count = _count(settings.directions, generator)

    def result(self) -> Findings:
        """Return the vectors."""
        latent_dim = self.generator.latent_dim
        noise = Stream(self.settings.seed, "random-directions").normal(latent_dim, latent_dim).double()
        basis, triangle = torch.linalg.qr(noise.T)
        basis = basis * triangle.diagonal().sign()  # without it the distribution would depend on the factorisation
        card = {"settings": self.settings.defining()}
        return Findings(DirectionSet(basis.T[: self._count].float(), self.generator.name, "random", card=card))


def _count(directions: int | None, generator: Generator) -> int:
    count = directions or generator.latent_dim
    if count > generator.latent_dim:
        raise UserError(
            f"{count} directions are more than the {generator.latent_dim} latent numbers of {generator.name}; give "
            f"{named('directions', generator.latent_dim)} or fewer"
        )
    return count
