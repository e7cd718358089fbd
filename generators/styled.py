"""Style-based generators: one network from latents by layer to images, and the generator around it, for all families.

A mapping takes z to w, every layer of the network is driven by a w of its own, and one w for all of them is the common
case (Karras et al. 2019, 1812.04948). Space W+ is that of one w a layer.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import nn

from generators.protocol import Latents, in_a_line
from generators.spec import Options
from toolkit.errors import UserError
from toolkit.streams import Stream

_MEAN_SAMPLES = 4096
_NOISE_NUMBERS = 2**52
_FURTHEST_PSI = 2.0
SPACES = ("w", "z")
NOISES = ("stored", "fresh", "none")


class StyledNetwork(nn.Module, ABC):
    """w, or a w for each of `num_layers` layers, -> images; frozen, gradients reach w.

    `latent_dim` numbers of z, `style_dim` of w, `image_size` pixels of the longer side; `num_classes` of a conditional
    network, else 0; `noise_shapes` (height, width) of the noise maps it takes, in the order of its layers;
    `drawing_layers` those that draw, where others place the whole image or only colour it (None: all draw).
    """

    latent_dim: int
    style_dim: int
    num_layers: int
    image_size: int
    num_classes: int = 0
    noise_shapes: Sequence[tuple[int, int]] = ()
    drawing_layers: Sequence[int] | None = None
    mapping: nn.Module
    """z (B, Z), and classes (B,) where there are some, -> w (B, D)."""

    @property
    def image_shape(self) -> tuple[int, int]:
        """Return height and width of the images in pixels: a square, unless a family knows others."""
        return self.image_size, self.image_size

    @abstractmethod
    def forward(self, w: torch.Tensor, noises: Sequence[torch.Tensor] | None = None) -> torch.Tensor:
        """Return images (B, 3, H, W) of w (B, D), or of a w for every layer (B, num_layers, D).

        `noises` (B or 1, 1, h, w) take the place of those stored in the weights; none is added if it is empty.
        """

    @abstractmethod
    def modulations(self) -> list[torch.Tensor]:
        """Return the weights (M_i, D) of the affine maps that read w, in the order of the layers, float32."""

    def own_directions(self) -> dict[str, torch.Tensor]:
        """Return directions (D,) of w whose meaning is known, by name: none, unless a family has some."""
        return {}

    def by_layer(self, w: torch.Tensor) -> torch.Tensor:
        """Return w (B, D) or (B, num_layers, D) as (B, num_layers, D); ValueError for any other shape."""
        if w.dim() == 2:
            w = w[:, None].expand(-1, self.num_layers, -1)
        if w.shape[1:] != (self.num_layers, self.style_dim):
            raise ValueError(f"latents are {list(w.shape)}, not (B, {self.num_layers}, {self.style_dim})")
        return w


@dataclass(frozen=True)
class Styling:
    """How a style-based generator is used: what stands behind its name as options.

    `space` of its latents, w or z; `noise` stored, fresh or none; `psi` draws w towards its mean in the first `cutoff`
    layers (None: all), the truncation trick of the papers; `classes` that are drawn from (empty: all).
    """

    space: str = "w"
    noise: str = "stored"
    psi: float = 1.0
    cutoff: int | None = None
    classes: tuple[int, ...] = ()

    @classmethod
    def of(cls, options: Options) -> Self:
        """Return the styling in the options behind a generator's name; UserError for values that there are not."""
        return cls(
            options.choice("space", SPACES, "w"),
            options.choice("noise", NOISES, "stored"),
            options.number("psi", 1.0, -_FURTHEST_PSI, _FURTHEST_PSI),
            options.integer("cutoff", None),
            options.integers("classes"),
        )


class StyledGenerator:
    """The generator (see generators.protocol) with its directions in W or in Z (see Styling).

    In W the latents are w: `sample` has mapped them, and a shift moves all layers alike unless it is one by layer. With
    fresh noise the number y of each latent names the noise of its image, which a shifted twin shares; without, every
    image has the noise stored with the weights. `mean` (D,) of w is taken from 4096 samples if it is needed and not
    given. The `truncation` of `sample` is another thing: it bounds the numbers of z. Images are not clamped: some
    pixels leave [-1, 1], and are brought back where pictures are written. `notes` are lines for the user about how the
    network was opened. UserError for a class or noise that the network has not.
    """

    def __init__(
        self,
        network: StyledNetwork,
        name: str,
        styling: Styling | None = None,
        mean: torch.Tensor | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        self.styling = styling = styling or Styling()
        _require_fit(network, name, styling)
        self.network = network
        self.name = name if styling.space == "w" else f"{name}-z"  # directions of one mean nothing in the other
        self.space = styling.space
        self.psi = styling.psi
        self.fresh_noise = styling.noise == "fresh"
        self.classes = styling.classes or tuple(range(network.num_classes))
        self.latent_dim = network.style_dim if self.space == "w" else network.latent_dim
        self.num_layers = network.num_layers
        self.image_size, self.image_shape = network.image_size, network.image_shape
        self.notes = tuple(notes)
        self.feature_layer = "latents" if self.space == "w" else "mapping"
        self._family = name
        self._mean = mean
        # In double precision and on the CPU: in float32 the last digit of a drawn w would depend on the batch size.
        self._mapping = copy.deepcopy(network.mapping).double()

    def __repr__(self) -> str:
        return in_a_line(self)

    def restyled(self, psi: float, cutoff: int | None = None) -> Self:
        """Return the same generator with another truncation, of the same network and mean."""
        if psi != 1:
            _ = self.mean  # taken once, for all that are made of this one
        other = copy.copy(self)
        other.styling = Styling(self.space, self.styling.noise, psi, cutoff, self.styling.classes)
        _require_fit(other.network, other.name, other.styling)
        other.psi = psi
        return other

    @property
    def mean(self) -> torch.Tensor:
        """Return the mean w (D,), on the CPU."""
        if self._mean is None:
            rng = Stream(0, f"{self._family}-mean")
            z = rng.normal(_MEAN_SAMPLES, self.network.latent_dim)
            self._mean = self.mapped(z, self._drawn_classes(_MEAN_SAMPLES, Stream(0, rng.name))).mean(dim=0)
        return self._mean

    def mapped(self, z: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        """Return w (B, D) float32 on the CPU of z (B, Z) and classes y, before truncation; no gradient reaches z."""
        with torch.no_grad():
            return self._to_w(self._mapping, z.cpu().double(), y).float()

    def sample(self, count: int, rng: Stream, truncation: float | None = None) -> Latents:
        """Return `count` latents: z from N(0, I), restricted to +-`truncation` if given; in W mapped, moved by psi."""
        numbers = rng.beside("noise").integers(count, _NOISE_NUMBERS) if self.fresh_noise else None
        classes = self._drawn_classes(count, rng)
        z = rng.normal(count, self.network.latent_dim, truncation)
        if self.space == "w":
            return Latents(self._truncated(self.mapped(z, classes)), numbers)
        if classes is not None and numbers is not None:  # one number a latent names both
            return Latents(z, numbers // self.network.num_classes * self.network.num_classes + classes)
        return Latents(z, numbers if classes is None else classes)

    def __call__(self, latents: Latents) -> torch.Tensor:
        """Return images (B, 3, H, W) float32, nominally in [-1, 1]; gradients reach the latents.

        UserError where noise is fresh, or a class needed, for latents that name none.
        """
        return self.network(self.styles_of(latents), self.noises_of(latents))

    def styles_of(self, latents: Latents) -> torch.Tensor:
        """Return the w (B, D), or by layer (B, L, D), that the network renders for latents; gradients reach them."""
        if self.space == "w":
            return latents.z
        return self._truncated(self._to_w(self.network.mapping, latents.z, self._classes_of(latents)))

    def noises_of(self, latents: Latents) -> list[torch.Tensor] | None:
        """Return the noise maps (B, 1, h, w) of latents, none of them without noise; None for those in the weights."""
        if self.styling.noise == "none":
            return []
        if self.fresh_noise:
            return self.noises(latents)
        return None if latents.noise is None else self._maps(latents.noise)

    def noises(self, latents: Latents) -> list[torch.Tensor]:
        """Return the noise maps (B, 1, h, w) of N(0, 1) that the numbers of `latents` name, of every shape.

        UserError for latents without numbers.
        """
        if latents.y is None:
            raise UserError(
                "these latents name no noise, but noise=fresh needs a number a latent; draw them with sample, or omit "
                "noise=fresh"
            )
        numbers, where = latents.y.cpu().unique(return_inverse=True)
        drawn = torch.cat([Stream(int(n), f"{self._family}-noise").normal(1, self.noise_size) for n in numbers])
        return self._maps(drawn[where].to(latents.z.device))

    @property
    def noise_size(self) -> int:
        """Return how many numbers the noise maps of an image have together."""
        return sum(height * width for height, width in self.network.noise_shapes)

    def _maps(self, noise: torch.Tensor) -> list[torch.Tensor]:
        shapes = self.network.noise_shapes
        maps = noise.split([height * width for height, width in shapes], dim=1)
        return [values.unflatten(1, (1, *shape)) for values, shape in zip(maps, shapes, strict=True)]

    def first_weights(self) -> list[torch.Tensor]:
        """Return the weights (M_i, D) that read the latent: in W one modulation a layer, in Z the first layer."""
        if self.space == "w":
            return self.network.modulations()
        weight = next(weight for name, weight in self.network.mapping.named_buffers() if name.endswith("weight"))
        return [weight[:, : self.network.latent_dim]]  # behind z stands the class

    @property
    def drawing_layers(self) -> torch.Tensor | None:
        """Return which layers (num_layers,) SeFa analyses and moves unless others are named; None for all of them."""
        drawing = self.network.drawing_layers
        if self.space != "w" or drawing is None:
            return None
        return torch.isin(torch.arange(self.num_layers), torch.tensor(drawing))

    def variation(self, layers: torch.Tensor | None) -> float:
        """Return how far the latents vary over how far they would untruncated, at layers (L,) or all (None).

        Where truncation leaves some of these layers as they are, they vary as those do.
        """
        cutoff = self.num_layers if self.styling.cutoff is None else self.styling.cutoff
        seen = range(self.num_layers) if layers is None else layers.nonzero().flatten().tolist()
        return self.psi if self.space == "w" and max(seen) < cutoff else 1.0

    def own_directions(self) -> dict[str, torch.Tensor]:
        """Return directions (D,) whose meaning is known, by name; none in Z."""
        return self.network.own_directions() if self.space == "w" else {}

    def to(self, device: torch.device) -> Self:
        """Return the generator on `device`."""
        self.network.to(device)
        return self

    def _drawn_classes(self, count: int, rng: Stream) -> torch.Tensor | None:
        if not self.classes:
            return None
        return torch.tensor(self.classes)[rng.beside("class").integers(count, len(self.classes))]

    def _classes_of(self, latents: Latents) -> torch.Tensor | None:
        if not self.classes:
            return None
        if latents.y is None:
            raise UserError(
                f"these latents have no classes, but {self.name} needs one a latent; draw them from it with sample"
            )
        return latents.y % self.network.num_classes

    def _to_w(self, mapping: nn.Module, z: torch.Tensor, y: torch.Tensor | None) -> torch.Tensor:
        """Return w (B, D) of z (B, Z), or (B, L, D) of z (B, L, Z)."""
        if z.dim() == 3:
            y = None if y is None else y.repeat_interleave(z.shape[1])
            return self._to_w(mapping, z.flatten(0, 1), y).unflatten(0, z.shape[:2])
        return mapping(z) if y is None else mapping(z, y.to(z.device))

    def _truncated(self, w: torch.Tensor) -> torch.Tensor:
        """Return w moved by psi towards its mean, by layer where the first ones alone move."""
        if self.psi == 1:
            return w
        moved = torch.lerp(self.mean.to(w), w, self.psi)
        cutoff = self.styling.cutoff
        if cutoff is None or cutoff >= self.num_layers:
            return moved
        w, moved = (self.network.by_layer(one) for one in (w, moved))
        return torch.cat([moved[:, :cutoff], w[:, cutoff:]], dim=1)


def _require_fit(network: StyledNetwork, name: str, styling: Styling) -> None:
    """Raise UserError for a styling that names what the network has not."""
    count = network.num_classes
    wrong = [index for index in styling.classes if not 0 <= index < count]
    if wrong and not count:
        raise UserError(f"classes of {name} are chosen, but it has none; omit them")
    if wrong:
        raise UserError(f"class {wrong[0]} is unknown; {name} has classes 0 to {count - 1}")
    if styling.noise != "stored" and not network.noise_shapes:
        raise UserError(f"noise of {name} is {styling.noise!r}, but it takes none; omit the option")
    if styling.cutoff is not None and styling.cutoff > network.num_layers:
        raise UserError(f"cutoff of {name} is {styling.cutoff}, but it has {network.num_layers} layers; give fewer")
