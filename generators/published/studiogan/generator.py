"""PyTorch-StudioGAN's BigGAN and SNGAN as generators."""

from generators.frozen import FrozenGenerator
from generators.layers.conditional import ConditionalGenerator
from generators.layouts import Family, Layout, Weights
from generators.published.studiogan.layout import infer_shape, is_optional, published_shapes
from generators.published.studiogan.network import StudioGANNetwork
from generators.spec import Options
from toolkit.errors import UserError


def from_published(weights: Weights, options: Options) -> FrozenGenerator:
    """Return the generator of a whole published state; option `classes` of a conditional one: those it draws from.

    UserError for an unknown class, and for a network that reads its classes as one-hot vectors.
    """
    shape = infer_shape(weights.tensors)
    if shape.num_classes and not shape.embedded:
        raise UserError(
            f"{weights.path} is a conditional generator of StudioGAN without embeddings of its {shape.num_classes} "
            "classes (backbone resnet: ACGAN, SAGAN and the like), which this toolkit does not render; it renders "
            "StudioGAN's BigGAN (with shared.weight) and unconditional SNGAN, and others as package.module:factory"
        )
    network = StudioGANNetwork(shape, weights.tensors)
    if not shape.num_classes:
        return FrozenGenerator(network, f"studiogan-sngan{shape.image_size}")
    classes = options.integers("classes")
    return ConditionalGenerator(network, f"studiogan-biggan{shape.image_size}", shape.num_classes, classes)


FAMILY = Family(
    (
        Layout(
            "a BigGAN or SNGAN (StudioGAN layout)",
            lambda state: published_shapes(infer_shape(state)),
            from_published,
            is_optional,
        ),
    )
)
