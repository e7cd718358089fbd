"""StyleGAN2 (Karras et al. 2020, 1912.04958) as a generator, its latents in W or in Z."""

import copy
from typing import Self

import torch

from generators.layouts import Family, Layout, Weights
from generators.protocol import Latents, in_a_line
from generators.published.stylegan2.layout import (
    MEAN_LATENT,
    check_filters,
    infer_shape,
    published_shapes,
    unwrapped,
)
from generators.published.stylegan2.network import StyleGAN2Network
from generators.spec import Options
from toolkit.errors import UserError
from toolkit.streams import Stream

_MEAN_SAMPLES = 4096
_NOISE_NUMBERS = 2**52


class StyleGAN2:
    """The generator (see generators.protocol) with its directions in W (`space` "w") or in Z ("z").

    In W the latents are w: `sample` has mapped them, and a shift moves all layers alike. With `fresh_noise` the number
    y of each latent names the noise of its image, which a shifted twin shares; without, every image has the noise
    stored with the weights. `psi` in [0, 1] draws w towards `mean` (D,), the truncation trick of the paper; the mean is
    taken from 4096 samples if not given. The `truncation` of `sample` is another thing: it bounds the numbers of z.
    Images are not clamped: some pixels leave [-1, 1], and are brought back where pictures are written.
    """

    def __init__(
        self,
        network: StyleGAN2Network,
        space: str = "w",
        fresh_noise: bool = False,
        psi: float = 1.0,
        mean: torch.Tensor | None = None,
    ) -> None:
        self.network = network
        self.name = "stylegan2" if space == "w" else "stylegan2-z"  # directions of one mean nothing in the other
        self.space = space
        self.fresh_noise = fresh_noise
        self.psi = psi
        self.latent_dim = network.shape.style_dim
        self.image_size = network.shape.image_size
        self.feature_layer = "latents" if space == "w" else "mapping"
        # In double precision and on the CPU: in float32 the last digit of a drawn w would depend on the batch size.
        self._mapping = copy.deepcopy(network.mapping).double()
        if mean is None and psi < 1:
            mean = self.mapped(Stream(0, "stylegan2-mean").normal(_MEAN_SAMPLES, self.latent_dim)).mean(dim=0)
        self._mean = mean

    def mapped(self, z: torch.Tensor) -> torch.Tensor:
        """Return w (B, D) float32 on the CPU of z (B, D), before truncation; no gradient reaches z."""
        with torch.no_grad():
            return self._mapping(z.cpu().double()).float()

    def __repr__(self) -> str:
        return in_a_line(self)

    def sample(self, count: int, rng: Stream, truncation: float | None = None) -> Latents:
        """Return `count` latents: z from N(0, I), restricted to +-`truncation` if given; in W mapped, moved by psi."""
        numbers = rng.beside("noise").integers(count, _NOISE_NUMBERS)
        z = rng.normal(count, self.latent_dim, truncation)
        points = self._truncated(self.mapped(z)) if self.space == "w" else z
        return Latents(points, numbers if self.fresh_noise else None)

    def __call__(self, latents: Latents) -> torch.Tensor:
        """Return images (B, 3, S, S) float32, nominally in [-1, 1]; gradients reach the latents.

        UserError where noise is fresh for latents that name none.
        """
        noises = self.noises(latents) if self.fresh_noise else None
        w = latents.z if self.space == "w" else self._truncated(self.network.mapping(latents.z))
        return self.network(w, noises)

    def noises(self, latents: Latents) -> list[torch.Tensor]:
        """Return the noise maps (B, 1, s, s) of N(0, 1) that the numbers of `latents` name, of every side s.

        UserError for latents without numbers.
        """
        if latents.y is None:
            raise UserError(
                "these latents name no noise, but noise=fresh needs a number a latent; draw them with sample, or leave "
                "noise=fresh away"
            )
        sides = self.network.shape.noise_sides
        sizes = [side**2 for side in sides]
        numbers, where = latents.y.cpu().unique(return_inverse=True)
        drawn = torch.cat([Stream(int(number), "stylegan2-noise").normal(1, sum(sizes)) for number in numbers])
        maps = drawn[where].to(latents.z.device).split(sizes, dim=1)
        return [values.unflatten(1, (1, side, side)) for values, side in zip(maps, sides, strict=True)]

    def first_weights(self) -> list[torch.Tensor]:
        """Return the weights (M_i, D) that read the latent: in W one modulation a slot, in Z the first layer."""
        return self.network.modulations() if self.space == "w" else [self.network.mapping.get_buffer("layers.0.weight")]

    def to(self, device: torch.device) -> Self:
        """Return the generator on `device`."""
        self.network.to(device)
        return self

    def _truncated(self, w: torch.Tensor) -> torch.Tensor:
        return w if self.psi == 1 or self._mean is None else torch.lerp(self._mean.to(w.device), w, self.psi)


def from_published(weights: Weights, options: Options) -> StyleGAN2:
    """Return the generator of a whole published state.

    Options: `space` w or z, `noise` stored or fresh, `psi` from 0 to 1. UserError for other values, and for another
    up-sampling filter than the paper's.
    """
    state = weights.tensors
    space = options.choice("space", ("w", "z"), "w")
    fresh = options.choice("noise", ("stored", "fresh"), "stored") == "fresh"
    psi = options.number("psi", 1.0, 0.0, 1.0)
    shape = infer_shape(state)
    check_filters(state, shape, weights.path)
    mean = state[MEAN_LATENT].float() if MEAN_LATENT in state else None
    return StyleGAN2(StyleGAN2Network(shape, state), space, fresh, psi, mean)


FAMILY = Family(
    (
        Layout(
            "a StyleGAN2 (rosinality layout)",
            lambda state: published_shapes(infer_shape(state)),
            from_published,
            lambda name: name == MEAN_LATENT,
        ),
    ),
    unwrapped,
)
