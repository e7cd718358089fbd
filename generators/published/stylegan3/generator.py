"""StyleGAN3-T and -R (Karras et al. 2021, 2106.12423) as generators, their latents in W or in Z."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F

from generators.layouts import Family, Layout, Weights
from generators.published.stylegan3.geometry import Constants
from generators.published.stylegan3.layout import INPUT, infer_shape, published_shapes
from generators.published.stylegan3.network import StyleGAN3Network
from generators.published.stylegan3.pose import NAMES, PosedNetwork, source_points
from generators.spec import Options
from generators.styled import StyledGenerator, Styling
from toolkit.errors import UserError

POSES = ("fixed", "walk")


def from_published(rounded: bool, weights: Weights, options: Options) -> StyledGenerator:
    """Return the generator of a whole published state.

    Its options are those of generators.styled, and where the image lies: `rotate` by degrees, clockwise, then `shift`
    right and down, in sides of the image; with pose=walk this is part of the latents (see pose). UserError for other
    values, and for images that are neither coloured nor grey.
    """
    styling, pose = Styling.of(options), options.choice("pose", POSES, "fixed")
    transform = weights.tensors[f"{INPUT}.transform"].float() @ _fixed(options)
    shape = infer_shape(weights.tensors, rounded)
    if shape.layers[-1][1] not in (1, 3):
        raise UserError(f"images of {weights.path} have {shape.layers[-1][1]} channels; colour has 3, grey 1")
    arguments, notes = _arguments(weights)
    network = StyleGAN3Network(shape, weights.tensors, Constants.of(arguments), transform)
    mean = weights.tensors["mapping.w_avg"].float()
    name = "stylegan3-r" if rounded else "stylegan3-t"
    if pose == "fixed":
        return StyledGenerator(network, name, styling, mean, notes)
    if styling.space != "w":
        raise UserError(f"pose=walk of {name} needs latents in w, where a pose is known; omit space")
    return StyledGenerator(PosedNetwork(network), f"{name}-pose", styling, F.pad(mean, (0, len(NAMES))), notes)


def _arguments(weights: Weights) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """Return what the file states of its constructor's arguments, and a note for the user where it states nothing."""
    arguments = weights.config.get("init_kwargs")
    if isinstance(arguments, Mapping):
        return arguments, ()
    note = "does not say where features are clamped (conv_clamp) and how images are scaled; 256 and 0.25 are taken"
    return {}, (f"{weights.path} {note}, with which NVIDIA's programs train",)


def _fixed(options: Options) -> torch.Tensor:
    """Return the transform (3, 3) of the options `rotate` and `shift`."""
    pose = [options.number("rotate", 0.0, -360, 360), *options.numbers("shift", (0.0, 0.0), -1, 1)]
    return source_points(torch.tensor([pose]))[0]


def _layout(what: str, rounded: bool) -> Layout:
    return Layout(what, lambda state: published_shapes(infer_shape(state, rounded)), partial(from_published, rounded))


FAMILY = Family((_layout("a StyleGAN3-T", rounded=False), _layout("a StyleGAN3-R", rounded=True)))
