"""BigGAN-deep (Brock et al. 2019, 1809.11096) as a class-conditional generator."""

import copy
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Self

import torch

from generators.layers.conditional import ConditionalGenerator
from generators.layouts import Family, Layout, Weights
from generators.protocol import Latents
from generators.published.biggan_deep.config import configured_shape, read_config
from generators.published.biggan_deep.layout import BigGANDeepShape, infer_shape, is_optional, published_shapes
from generators.published.biggan_deep.network import BigGANDeepNetwork
from generators.spec import Options
from toolkit.errors import UserError
from toolkit.streams import Stream

_CUT = 2.0  # of the normal distribution that latents come from, before they are scaled
_LEAST = 1e-3


class BigGANDeep(ConditionalGenerator):
    """The generator (see generators.protocol, Layered too), at one `truncation` in (0, 1].

    Latents are N(0, 1) restricted to +-2, times the truncation, of whose statistics the network makes use as well.
    """

    network: BigGANDeepNetwork

    def __init__(
        self,
        network: BigGANDeepNetwork,
        classes: Sequence[int] = (),
        truncation: float = 1.0,
        notes: Sequence[str] = (),
    ) -> None:
        super().__init__(
            network.truncated(truncation), f"biggan-deep-{network.image_size}", network.shape.num_classes, classes
        )
        self.num_layers = network.num_layers
        self.truncation = truncation
        self.notes = tuple(notes)

    def restyled(self, truncation: float) -> Self:
        """Return the same generator at another truncation; weights are shared."""
        other = copy.copy(self)
        other.truncation, other.network = truncation, self.network.truncated(truncation)
        return other

    def layer_weights(self) -> list[torch.Tensor]:
        """Return the weights (M_i, D) of the map of every layer that reads its latent, float32."""
        return self.network.layer_weights()

    def sample(self, count: int, rng: Stream, truncation: float | None = None) -> Latents:
        """Return `count` latents by the rule above, each with a drawn class.

        `truncation` restricts their numbers to +-that, as of every generator, and leaves the statistics alone.
        """
        classes = self.drawn_classes(count, rng)
        bound = _CUT if truncation is None else min(_CUT, truncation / self.truncation)
        z = self.truncation * rng.normal(count, self.latent_dim, bound)
        return Latents(z if truncation is None else z.clamp_(-truncation, truncation), classes)


def from_published(weights: Weights, options: Options) -> BigGANDeep:
    """Return the generator of a whole published state and its configuration.

    Options: `classes` that it draws from (all), `truncation` (1). UserError for an unknown class, and for a
    configuration that states other sizes than the weights have; without one, sizes are the weights' own, and the rest
    is as published, which a note of the generator says.
    """
    shape, notes = infer_shape(weights.tensors), []
    if weights.config:
        shape = _stated(shape, weights)
    else:
        notes.append(
            f"{weights.path} has no config.json beside it; sizes are read from the weights, and eps {shape.eps:g} and "
            "doubling by every second block are taken as published"
        )
    classes, truncation = options.integers("classes"), options.number("truncation", 1.0, _LEAST, 1.0)
    return BigGANDeep(BigGANDeepNetwork(shape, weights.tensors), classes, truncation, notes)


def _stated(shape: BigGANDeepShape, weights: Weights) -> BigGANDeepShape:
    """Return the sizes that the configuration of `weights` states; UserError where theirs, `shape`, are others."""
    try:
        stated = configured_shape(weights.config)
    except UserError as error:
        raise UserError(f"the config.json of {weights.path} cannot be used: {error}; download it again") from error
    # What no entry of the weights shows, the configuration alone says.
    held = replace(shape, doubles=stated.doubles, eps=stated.eps)
    different = [field.name for field in fields(held) if getattr(held, field.name) != getattr(stated, field.name)]
    if different:
        name = different[0]
        raise UserError(
            f"the config.json of {weights.path} says {name} {getattr(stated, name)}, but the weights have "
            f"{getattr(held, name)}; they do not belong together, so download the folder again"
        )
    return stated


FAMILY = Family(
    (
        Layout(
            "a BigGAN-deep (Hugging Face's layout)",
            lambda state: published_shapes(infer_shape(state)),
            from_published,
            is_optional,
        ),
    ),
    beside=read_config,
)
