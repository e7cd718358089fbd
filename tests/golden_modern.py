"""Golden numbers of the modern generators (tests/golden/modern), and states of their layouts by the fill rule."""

import json

import numpy as np
import torch
from conftest import GOLDEN
from golden_fill_modern import fill

FOLDER = GOLDEN / "modern"


def golden_arrays(name):
    """Return the arrays of one file: name -> numpy array, with `config` as a dictionary where there is one."""
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as file:
        arrays = dict(file)
    return {**arrays, "config": json.loads(str(arrays["config"]))} if "config" in arrays else arrays


def table(name):
    """Return name -> shape of a table, of a golden file's own one if there is one."""
    own = FOLDER / "tables" / f"golden_{name}_shapes.json"
    path = own if own.is_file() else FOLDER / "tables" / f"{name}_state_dict.json"
    return {key: tuple(shape) for key, shape in json.loads(path.read_text()).items()}


def filled_state(family, shapes, seed=0):
    """Return a state dict of these shapes with the values of the fill rule."""
    return {key: torch.from_numpy(np.array(fill(family, seed, key, shape, shapes))) for key, shape in shapes.items()}


def every(images, step):
    """Return every so many rows and columns of images."""
    return images[:, :, ::step, ::step]


def channel_statistics(images):
    """Return mean, population deviation, least and largest value of every channel, as in the golden files."""
    values = images.transpose(0, 1).flatten(1)
    return torch.stack([values.mean(1), values.std(1, correction=0), values.amin(1), values.amax(1)], dim=1)
