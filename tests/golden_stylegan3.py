"""States of StyleGAN3 by the golden fill, in its golden configurations and in one that takes milliseconds."""

import json

import numpy as np
import torch
from conftest import GOLDEN
from golden_fill_modern import fill

from generators.published.stylegan3 import filters
from generators.published.stylegan3.geometry import Constants
from generators.published.stylegan3.layout import StyleGAN3Shape, infer_shape, published_shapes

MODERN = GOLDEN / "modern"
# Five layers, of which one goes up four times and the last but one crops the margin.
TINY = StyleGAN3Shape(
    ((36, 6), (36, 6), (52, 5), (52, 5), (32, 4), (32, 3)), latent_dim=7, style_dim=8, num_classes=0, mapping_layers=2
)


def table(name):
    """Name -> shape of one of the golden tables."""
    with (MODERN / "tables" / f"{name}.json").open(encoding="utf-8") as handle:
        return {key: tuple(size) for key, size in json.load(handle).items()}


def filled(sizes, seed=0):
    """A state of these entries by the fill, its filters designed."""
    rounded = any(name.endswith("down_filter") and len(size) == 2 for name, size in sizes.items())
    shape = infer_shape({name: torch.empty(size, device="meta") for name, size in sizes.items()}, rounded)
    designed = {
        f"synthesis.{layer.name}.{kind}": design(layer)
        for layer in shape.geometry(Constants())
        for kind, design in (("up_filter", filters.up_filter), ("down_filter", filters.down_filter))
    }
    values = {name: fill("stylegan3", seed, name, size) for name, size in sizes.items()}
    return {name: torch.from_numpy(np.asarray(designed[name] if v is None else v)) for name, v in values.items()}


def filled_shape(shape, seed=0):
    """A state of a network of these sizes by the fill."""
    return filled(published_shapes(shape), seed)


def golden_arrays(name):
    """The arrays of a golden file, and the arguments of its network's constructor."""
    with np.load(MODERN / f"{name}.npz", allow_pickle=False) as held:
        arrays = {key: torch.from_numpy(held[key]) for key in held if held[key].dtype.kind != "U"}
        names = [str(one) for one in held["layer_names"]]
        return arrays, json.loads(str(held["config"])), names
