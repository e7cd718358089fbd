"""Noise maps that are found along with latents, and kept from drawing the photo (1912.04958, appendix D).

What no latent of a photo can give may stand in the noise, but noise that is no noise any more would show the photo
whatever the latent: an edit would change nothing of it. Hence each map stays white: neighbours on it, and on the map at
half its side and so on, must not be alike.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from generators.styled import StyledGenerator
from toolkit.errors import UserError, named
from toolkit.streams import Stream

WEIGHT = 1e5  # of the likeness, the paper's
_COARSEST = 8  # pixels of the smallest map that is looked at


def require_noise(generator: StyledGenerator) -> None:
    """Raise UserError unless a generator takes noise, which is found in place of that stored in its weights."""
    if not generator.network.noise_shapes:
        raise UserError(f"{named('optimise_noise')} is given, but {generator.name} takes no noise; omit it")
    if generator.styling.noise != "stored":
        raise UserError(
            f"{named('optimise_noise')} finds noise in place of the stored one, but noise of {generator.name} is "
            f"{generator.styling.noise}; omit one of the two"
        )


def first_noises(shapes: Sequence[tuple[int, int]], count: int, seed: int) -> list[torch.Tensor]:
    """Return maps (B, 1, h, w) of N(0, 1) to begin with, the same for each of `count` photos."""
    drawn = [Stream(seed, f"projection-noise-{i}").normal(1, h * w).view(1, 1, h, w) for i, (h, w) in enumerate(shapes)]
    return [values.repeat(count, 1, 1, 1) for values in drawn]


def likeness(noises: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return (B,): squared autocorrelations of maps (B, 1, h, w) with their neighbours, summed over maps and sides."""
    total = noises[0].new_zeros(len(noises[0]))
    for noise in noises:
        total = total + _correlations(noise)
        while min(noise.shape[-2:]) > _COARSEST:
            noise = 2 * F.avg_pool2d(noise, 2)  # of independent numbers, the variance stays 1
            total = total + _correlations(noise)
    return total


def _correlations(noise: torch.Tensor) -> torch.Tensor:
    products = [(noise * noise.roll(1, dims=axis)).mean(dim=(1, 2, 3)) for axis in (2, 3)]
    return torch.stack(products).square().sum(dim=0)


@torch.no_grad()
def normalise(noises: Sequence[torch.Tensor]) -> None:
    """Bring each map (B, 1, h, w) back to mean 0 and variance 1, in place."""
    for noise in noises:
        noise -= noise.mean(dim=(2, 3), keepdim=True)
        noise *= noise.square().mean(dim=(2, 3), keepdim=True).clamp_min(1e-12).rsqrt()


def flat(noises: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return maps (B, 1, h, w) as generators.protocol.Latents hold them, (B, N)."""
    return torch.cat([noise.flatten(1) for noise in noises], dim=1)
