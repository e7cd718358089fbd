"""A closed-form generator: one soft-edged object over a textured ground, every latent factor known, masks exact.

It is the oracle of the tests and a generator to try the commands on without any weights.
"""

import torch

from generators.protocol import Latents, in_a_line
from toolkit.streams import Stream

FACTORS = (
    "background_brightness",
    "object_brightness",
    "position_x",
    "position_y",
    "size",
    "background_colour",
    "object_colour",
    "texture",
)
_SOFTNESS = 0.04  # width of the object's edge, in units of half the picture side


class SceneGenerator:
    """Images in closed form from latents whose first factors are FACTORS; further ones change nothing.

    With `mixing_seed` the latents are a rotated copy of the factors, so that the meaningful directions are not axes.
    """

    def __init__(self, image_size: int = 64, latent_dim: int = 16, mixing_seed: int | None = None) -> None:
        if latent_dim < len(FACTORS):
            raise ValueError(f"latent_dim is {latent_dim}, but the scene has {len(FACTORS)} factors")
        self.name = "scene"
        self.image_size = image_size
        self.latent_dim = latent_dim
        self._mixing = torch.eye(latent_dim)
        if mixing_seed is not None:
            noise = Stream(mixing_seed, "scene-mixing").normal(latent_dim, latent_dim)
            self._mixing = torch.linalg.qr(noise)[0]

    def __repr__(self) -> str:
        return in_a_line(self)

    def sample(self, count: int, rng: Stream, truncation: float | None = None) -> Latents:
        """Return `count` latents from N(0, I), restricted to +-`truncation` if given."""
        return Latents(rng.normal(count, self.latent_dim, truncation))

    def direction(self, factor: str) -> torch.Tensor:
        """Return the unit vector (D,) along which only `factor` grows."""
        return self._mixing[:, FACTORS.index(factor)].clone()

    def contrast_direction(self) -> torch.Tensor:
        """Return the unit vector (D,) that darkens the background and lightens the object alike."""
        return (self.direction("object_brightness") - self.direction("background_brightness")) / 2**0.5

    def to(self, device: torch.device) -> "SceneGenerator":
        """Return the generator on `device`."""
        self._mixing = self._mixing.to(device)
        return self

    def __call__(self, latents: Latents) -> torch.Tensor:
        """Return images (B, 3, S, S) in [-1, 1]; gradients reach the latents."""
        factors = self._factors(latents)
        ground = self._surface(factors, level=-0.1, brightness=0, colour=5, texture=7)
        thing = self._surface(factors, level=0.2, brightness=1, colour=6, texture=None)
        cover = self._cover(factors)[:, None]
        return ground * (1 - cover) + thing * cover

    def masks(self, latents: Latents) -> torch.Tensor:
        """Return the exact masks (B, S, S) bool: pixels the object covers by more than half."""
        return self._cover(self._factors(latents)) > 0.5

    def _factors(self, latents: Latents) -> torch.Tensor:
        with torch.autocast(latents.z.device.type, enabled=False):  # the oracle stays exact
            return latents.z.float() @ self._mixing

    def _axes(self, factors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        steps = (torch.arange(self.image_size, device=factors.device) + 0.5) * (2 / self.image_size) - 1
        return steps[None, :, None], steps[None, None, :]

    def _cover(self, factors: torch.Tensor) -> torch.Tensor:
        rows, columns = self._axes(factors)
        x, y = (0.35 * torch.tanh(factors[:, i, None, None]) for i in (2, 3))
        radius = 0.4 + 0.12 * torch.tanh(factors[:, 4, None, None])
        distance = ((rows - y) ** 2 + 1.4 * (columns - x) ** 2 + 1e-12).sqrt()
        return torch.sigmoid((radius - distance) / _SOFTNESS)

    def _surface(
        self, factors: torch.Tensor, level: float, brightness: int, colour: int, texture: int | None
    ) -> torch.Tensor:
        rows, columns = self._axes(factors)
        value = level + 0.2 * factors[:, brightness, None, None] + 0.15 * (rows + columns)
        if texture is not None:
            phase = 2 * factors[:, texture, None, None]
            value = value + 0.12 * torch.sin(9 * rows + phase) * torch.cos(7 * columns)
        hue = 0.6 * factors[:, colour, None, None]
        tints = [0.25 * torch.cos(hue + offset) for offset in (0.0, 2.1, 4.2)]
        # Tints of equal brightness: what is taken from one channel the others give.
        gray_tint = 0.2989 * tints[0] + 0.5870 * tints[1] + 0.1140 * tints[2]
        return torch.tanh(torch.stack([value + tint - gray_tint for tint in tints], dim=1))
