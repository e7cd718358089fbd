"""Projection as a method of the command that embeds many photos."""

from collections.abc import Mapping

import numpy as np
import torch

from generators.encoder.embedding import Embedder
from generators.encoder.method import Estimated, Method, Moved, Whose
from generators.projection.projector import Projector
from generators.projection.settings import Projection
from generators.styled import StyledGenerator
from toolkit.compute.engine import Engine
from toolkit.pictures.any_photo import Photo, as_photo
from toolkit.pictures.photos import square


def by_projection(
    whose: Whose,
    generator: StyledGenerator,
    settings: Projection,
    engine: Engine,
    encoder: Embedder | None = None,
    source: Mapping[str, str] | None = None,
) -> Method:
    """Return the way of steps through the generator, from where an encoder that `source` names begins, if there is one.

    UserError for a generator whose photos cannot be embedded so.
    """
    projector = Projector(generator, settings, engine, encoder)
    made = {
        **whose.described(generator.latent_dim),
        **(source or {}),
        "latents": "projected",
        **settings.described(),
        **engine.identity(),
    }

    def read(photo: Photo) -> np.ndarray:
        return square(as_photo(photo), projector.side)

    def estimate(photos: torch.Tensor, first_row: int, moved: Moved) -> Estimated:
        return projector.embed(photos, moved)

    return Method(made, read, estimate, projector.images, settings.steps)
