"""StyleGAN2 (Karras et al. 2020, 1912.04958) as a generator, its latents in W or in Z."""

from generators.layouts import Family, Layout, Weights
from generators.published.stylegan2.layout import (
    MEAN_LATENT,
    check_filters,
    infer_shape,
    published_shapes,
    unwrapped,
)
from generators.published.stylegan2.network import StyleGAN2Network
from generators.spec import Options
from generators.styled import StyledGenerator, Styling


def from_published(weights: Weights, options: Options) -> StyledGenerator:
    """Return the generator of a whole published state.

    Its options are those of generators.styled. UserError for other values, and for another up-sampling filter than the
    paper's.
    """
    styling = Styling.of(options)
    shape = infer_shape(weights.tensors)
    check_filters(weights.tensors, shape, weights.path)
    mean = weights.tensors[MEAN_LATENT].float() if MEAN_LATENT in weights.tensors else None
    return StyledGenerator(StyleGAN2Network(shape, weights.tensors), "stylegan2", styling, mean)


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
