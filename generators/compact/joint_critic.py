"""The joint discriminator of BigBiGAN: it judges images, latents, and whether the two belong together."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from generators.compact.discriminator import Discriminator
from generators.compact.spectral import normed

# A normalised layer and SiLU each about halve a signal: with this gain a residual branch starts at 0.3 of the size of
# its input, with 1 it would start at 0.08.
_GAIN = 2.0
_BLOCKS = 2


@dataclass(frozen=True)
class Scores:
    """Scores (B,) of images, of latents, and of the pairs they form (1907.02544, section 2: s_x, s_z, s_xz)."""

    image: torch.Tensor
    latent: torch.Tensor
    pair: torch.Tensor

    def total(self) -> torch.Tensor:
        """Return the sum of the three, (B,): what generator and encoder fight over."""
        return self.image + self.latent + self.pair

    def hinge(self, sign: int) -> torch.Tensor:
        """Return the discriminator's loss, a scalar: each term's own hinge; sign is +1 for photos, -1 for samples."""
        return torch.stack(self.terms()).mul(-sign).add(1).relu().sum(dim=0).mean()

    def chunk(self) -> "tuple[Scores, Scores]":
        """Return the scores of the batch's first and second half."""
        (image, other_image), (latent, other_latent), (pair, other_pair) = (term.chunk(2) for term in self.terms())
        return Scores(image, latent, pair), Scores(other_image, other_latent, other_pair)

    def over(self, change: Callable[[torch.Tensor], torch.Tensor]) -> "Scores":
        """Return the scores with each term changed."""
        return Scores(*map(change, self.terms()))

    def terms(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return (image, latent, pair)."""
        return self.image, self.latent, self.pair


class JointDiscriminator(nn.Module):
    """Images and latents (B, D) -> Scores. F is the convolutional discriminator; H and J are residual perceptrons.

    `images` is a whole `Discriminator`, so that one trained alone can be put in its place.
    """

    def __init__(self, image_size: int, width: int, latent_dim: int, joint_width: int) -> None:
        super().__init__()
        self.images = Discriminator(image_size, width)
        self.latents = _perceptron(latent_dim, joint_width)
        self.latent_score = normed(nn.Linear(joint_width, 1))
        self.projection = normed(nn.Linear(self.images.num_features, joint_width))
        self.pairs = _perceptron(2 * joint_width, joint_width)
        self.pair_score = normed(nn.Linear(joint_width, 1))

    def forward(self, images: torch.Tensor, z: torch.Tensor) -> Scores:
        """Return the scores of images (B, 3, S, S) in [-1, 1] and latents (B, D); B above 8 is a multiple of 8."""
        return self.judge(self.images.features(images), z)

    def judge(self, features: torch.Tensor, z: torch.Tensor) -> Scores:
        """Return the scores of image features (B, F), as `images.features` gives them, and latents (B, D)."""
        codes = self.latents(z)
        # Both sides at unit variance: image features are some ten times as long as latent ones and would drown them.
        sides = [F.layer_norm(side, side.shape[1:]) for side in (self.projection(features), codes)]
        pairs = self.pairs(torch.cat(sides, dim=1))
        return Scores(
            self.images.score(features).squeeze(1).float(),
            self.latent_score(F.silu(codes)).squeeze(1).float(),
            self.pair_score(F.silu(pairs)).squeeze(1).float(),
        )


class _Block(nn.Module):
    """Two normalised layers and a shortcut: (B, W) -> (B, W)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = normed(nn.Linear(width, width), _GAIN)
        self.second = normed(nn.Linear(width, width), _GAIN)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features + self.second(F.silu(self.first(F.silu(features))))


def _perceptron(inputs: int, width: int) -> nn.Module:
    return nn.Sequential(normed(nn.Linear(inputs, width), _GAIN), *(_Block(width) for _ in range(_BLOCKS)))
