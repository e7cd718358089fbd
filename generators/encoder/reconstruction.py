"""How far an image is from its reconstruction, and latents from those a generator was made for."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from generators.protocol import Generator, Latents, image_shape
from toolkit.errors import UserError
from toolkit.pictures.pixels import grid, resize, to_bytes
from toolkit.streams import Stream

_COARSEST = 4  # pixels: the side at which only the layout is left
_MOMENT_SAMPLES = 4096


def rendered(generator: Generator, z: torch.Tensor, side: int) -> torch.Tensor:
    """Return images (B, 3, side, side) float32 of z (B, D); gradients reach the latents.

    UserError as of `require_square`.
    """
    require_square(generator)
    return resize(generator(Latents(z)).float(), (side, side))


def require_square(generator: Generator) -> None:
    """Raise UserError for a generator whose images are not square: photos are compared with them as squares."""
    height, width = image_shape(generator)
    if height != width:
        raise UserError(
            f"images of {generator.name} are {width} x {height} pixels, but photos are embedded as squares; use a "
            "generator of square images for photos"
        )


def pyramid_error(images: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Return the mean absolute difference (B,) of images (B, 3, S, S), averaged over sides S, S/2, ... down to 4.

    Images in [-1, 1] give errors in 0 .. 2. The coarse levels weigh layout and colour as much as the fine ones weigh
    edges, which a generator cannot place to the pixel.
    """
    difference = images.float() - others.float()
    levels = [difference.abs().mean(dim=(1, 2, 3))]
    while difference.shape[-1] >= 2 * _COARSEST:
        difference = F.avg_pool2d(difference, 2)
        levels.append(difference.abs().mean(dim=(1, 2, 3)))
    return torch.stack(levels).mean(dim=0)


def pairs_picture(images: torch.Tensor, reconstructions: torch.Tensor) -> np.ndarray:
    """Return uint8 (H, W, 3): a row of images (B, 3, S, S) above the row of their reconstructions (B, 3, S, S)."""
    return grid(to_bytes(torch.cat([images, reconstructions])), len(images))


@dataclass(frozen=True)
class LatentMoments:
    """Mean and standard deviation (D,) of each number of a generator's own latents."""

    mean: torch.Tensor
    spread: torch.Tensor

    @classmethod
    def of(cls, generator: Generator, device: torch.device) -> "LatentMoments":
        """Return the moments on `device`, measured on 4,096 samples: not every latent space is N(0, I)."""
        return cls.among(generator.sample(_MOMENT_SAMPLES, Stream(0, "latent-moments")).z.to(device))

    @classmethod
    def among(cls, z: torch.Tensor) -> "LatentMoments":
        """Return the moments of latents z (N, D)."""
        # A number that never varies has no unit of its own.
        return cls(z.mean(dim=0), z.std(dim=0).clamp_min(1e-6))

    def normalised(self, z: torch.Tensor) -> torch.Tensor:
        """Return z (B, D) in units in which the generator's own latents have mean 0 and spread 1."""
        return (z - self.mean) / self.spread

    def restored(self, normalised: torch.Tensor) -> torch.Tensor:
        """Return what `normalised` makes this of."""
        return self.mean + self.spread * normalised

    def divergence(self, mean: torch.Tensor, spread: torch.Tensor) -> torch.Tensor:
        """Return how far posteriors (B, D), taken together, lie from the generator's own latents: a scalar >= 0.

        The Kullback-Leibler divergence between normals with the two sets' moments, averaged over the numbers of a
        latent. It asks of all photos together what a variational encoder asks of each, so none is drawn to the middle.
        """
        centres = self.normalised(mean)
        centre = centres.mean(dim=0)
        variance = centres.var(dim=0, unbiased=False) + ((spread / self.spread) ** 2).mean(dim=0)
        return 0.5 * (centre**2 + variance - 1 - variance.log()).mean()

    def excess(self, z: torch.Tensor) -> torch.Tensor:
        """Return (B,): how far z (B, D) lie outside the sphere on which most of the generator's own latents lie."""
        return F.relu(self.normalised(z).square().mean(dim=1) - 1).square()
