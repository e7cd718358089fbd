"""StyleGAN2 (Karras et al. 2020, 1912.04958) as a generator, its latents in W or in Z, from three layouts."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from generators.layouts import Family, Layout, Weights
from generators.published.stylegan2 import genforce, nvlabs, rosinality
from generators.published.stylegan2.naming import Naming
from generators.published.stylegan2.network import FILTER, StyleGAN2Network
from generators.published.stylegan2.nvlabs import Arguments
from generators.published.stylegan2.shape import MEAN_LATENT, StyleGAN2Shape, filter_names, infer_shape
from generators.spec import Options
from generators.styled import StyledGenerator, Styling
from toolkit.errors import UserError


def from_published(
    naming: Naming, arguments: Callable[[Weights], Arguments], sums: tuple[int, ...], weights: Weights, options: Options
) -> StyledGenerator:
    """Return the generator of a whole state in the layout of `naming`.

    Its options are those of generators.styled. UserError for other values, for another up-sampling filter than the
    paper's (of one of the `sums` of its taps), and for images that are neither coloured nor grey.
    """
    styling = Styling.of(options)
    shape = infer_shape(naming.ours(weights.tensors))
    _check_filters(naming, weights, shape, sums)
    if shape.colours not in (1, 3):
        raise UserError(f"images of {weights.path} have {shape.colours} channels; colour has 3, grey 1")
    given, state = arguments(weights), naming.canonical(weights.tensors)
    mean = state[MEAN_LATENT].float() if MEAN_LATENT in state else None
    network = StyleGAN2Network(shape, state, given.clamp, given.rate)
    return StyledGenerator(network, "stylegan2", styling, mean, given.notes)


def _check_filters(naming: Naming, weights: Weights, shape: StyleGAN2Shape, sums: tuple[int, ...]) -> None:
    """Raise UserError unless every up-sampling filter has the taps 1, 3, 3, 1 of the paper.

    They are part of how the network computes (its skips are interpolated), hence checked rather than read.
    """
    entries = {entry.name for name in filter_names(shape) if (entry := naming.entry(name)) is not None}
    for name in sorted(entries):
        taps = weights.tensors[name].float().squeeze()
        if not any(torch.equal(taps, FILTER * (total / 4)) for total in sums):
            raise UserError(
                f"{name} in {weights.path} is another filter than 1, 3, 3, 1 (sum {' or '.join(map(str, sums))}), the "
                "only one this toolkit renders; use a file of the original training"
            )


def _unclamped(_weights: Weights) -> Arguments:
    return Arguments(clamp=None)


def _layout(
    what: str,
    naming: Naming,
    sums: tuple[int, ...],
    arguments: Callable[[Weights], Arguments] = _unclamped,
    optional: Callable[[str], bool] = lambda name: False,
) -> Layout:
    return Layout(what, naming.shapes, partial(from_published, naming, arguments, sums), optional)


def unwrapped(held: Any) -> Any:
    """Return the flat state in what a file of any of the layouts holds, and anything else as it is."""
    return genforce.unwrapped(rosinality.unwrapped(held))


FAMILY = Family(
    (
        _layout("a StyleGAN2-ADA", nvlabs.NAMING, (1,), Arguments.of),
        _layout(
            "a StyleGAN2 (rosinality layout)", rosinality.NAMING, (4,), optional=lambda name: name == rosinality.MEAN
        ),
        _layout("a StyleGAN2 (genforce layout)", genforce.NAMING, (4, 1)),
    ),
    unwrapped,
)
