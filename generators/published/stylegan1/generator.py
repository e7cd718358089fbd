"""StyleGAN (Karras et al. 2019, 1812.04948) as a generator, its latents in W or in Z."""

import torch

from generators.layouts import Family, Layout, Weights
from generators.published.stylegan1.layout import MEAN_LATENT, infer_shape, published_shapes
from generators.published.stylegan1.network import BLUR, StyleGAN1Network
from generators.spec import Options
from generators.styled import StyledGenerator, Styling
from toolkit.errors import UserError


def from_published(weights: Weights, options: Options) -> StyledGenerator:
    """Return the generator of a whole published state.

    Its options are those of generators.styled; what genforce and SeFa show are samples of `psi=0.7@cutoff=8`. UserError
    for other values, for another blur than the paper's and for a file of an unfinished growth.
    """
    styling = Styling.of(options)
    state = weights.tensors
    for name, kernel in state.items():
        if name.endswith(".blur.kernel") and not torch.equal(kernel.float(), BLUR.expand_as(kernel)):
            raise UserError(
                f"{name} in {weights.path} is another filter than 1, 2, 1, the only one this toolkit renders; use a "
                "file of the original training"
            )
    if float(state["synthesis.lod"]) != 0:
        raise UserError(
            f"{weights.path} was saved while the network grew (synthesis.lod is {float(state['synthesis.lod']):g}, not "
            "0); use the file at the end of the training"
        )
    network = StyleGAN1Network(infer_shape(state), state)
    return StyledGenerator(network, "stylegan1", styling, state[MEAN_LATENT].float())


FAMILY = Family(
    (Layout("a StyleGAN (genforce layout)", lambda state: published_shapes(infer_shape(state)), from_published),)
)
