"""A style-based generator as projection sees it: points in units of its latents' spread, and their images."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from generators.encoder.reconstruction import LatentMoments, require_square
from generators.projection.settings import SPACES
from generators.protocol import Generator, Latents
from generators.styled import StyledGenerator
from toolkit.errors import UserError, named
from toolkit.streams import Stream

_CANDIDATES = 4096
_WITHIN = 0.99


def spaces_of(generator: Generator) -> tuple[str, ...]:
    """Return the spaces in which a generator's photos can be embedded, the best one first."""
    return ("w+", "w") if isinstance(generator, StyledGenerator) and generator.space == "w" else ("z",)


def require_space(generator: Generator, space: str) -> None:
    """Raise UserError unless latents of `space` are latents of this generator."""
    if space not in SPACES:
        raise UserError(f"{named('space')} is {space!r}; choose one of {', '.join(SPACES)}")
    if space in spaces_of(generator):
        return
    if not isinstance(generator, StyledGenerator):
        raise UserError(f"{named('space')} is {space}, but {generator.name} has z alone; omit it")
    other = "z" if generator.space == "w" else "w"
    raise UserError(
        f"{named('space')} is {space}, but latents of {generator.name} are {generator.space}; write @space={other} "
        "behind the generator's name, or choose another space"
    )


def require_projectable(generator: StyledGenerator, space: str) -> None:
    """Raise UserError unless photos can be projected into `space` of a generator.

    They cannot where its images are not square, nor in Z where it has classes, which no photo names.
    """
    require_space(generator, space)
    require_square(generator)
    if space == "z" and generator.classes:
        raise UserError(
            f"z of {generator.name} goes with a class, which no photo names; write @space=w behind the generator's name"
        )


@dataclass(frozen=True)
class Canvas:
    """Renders the points of a style-based generator's latent space, all with the same noise.

    Points are (B, D), or (B, L, D) by layer, in units in which the generator's own latents have mean 0 and spread 1.
    `reach` is the mean square of a point's numbers that one of a hundred of its own latents exceeds.
    """

    generator: StyledGenerator
    moments: LatentMoments
    reach: float
    noises: list[torch.Tensor] | None

    @classmethod
    def of(cls, generator: StyledGenerator, device: torch.device) -> "Canvas":
        """Return the canvas of a generator on `device`."""
        whole = generator.restyled(psi=1.0)  # truncation would draw the latents together, and set layers apart
        own = whole.sample(_CANDIDATES, Stream(0, "latent-moments")).z.to(device)
        moments = LatentMoments.among(own)
        reach = moments.normalised(own).square().mean(dim=1).quantile(_WITHIN)
        first = Latents(torch.zeros(1, generator.latent_dim, device=device), torch.zeros(1, dtype=torch.int64))
        return cls(generator, moments, float(reach), generator.noises_of(first))

    @property
    def first(self) -> torch.Tensor:
        """Return the point (D,) where nothing is known: the mean w, or the z whose w is nearest to it."""
        if self.generator.space == "w":
            return self.moments.normalised(self.generator.mean.to(self.moments.mean))
        z = Stream(0, "projection-start").normal(_CANDIDATES, self.generator.latent_dim)
        distances = (self.generator.mapped(z) - self.generator.mean.cpu()).square().sum(dim=1)
        return self.moments.normalised(z[distances.argmin()].to(self.moments.mean))

    def excess(self, points: torch.Tensor) -> torch.Tensor:
        """Return (B,): how far points (B, ..., D) lie outside the sphere that holds the generator's own latents."""
        sizes = points.square().mean(dim=-1, keepdim=True)
        return F.relu(sizes - self.reach).square().flatten(1).mean(dim=1)

    def images(self, points: torch.Tensor, noises: Sequence[torch.Tensor] | None = None) -> torch.Tensor:
        """Return images (B, 3, S, S) float32 of points, and of noise maps if given; gradients reach them."""
        w = self.generator.styles_of(Latents(self.moments.restored(points)))
        return self.generator.network(w, self.noises if noises is None else noises).float()
