"""Reading directions of two other tools: the components of GANSpace, and boundaries of InterFaceGAN and SeFa."""

import re
from pathlib import Path

import torch

from discovery.originals.arrays import read_array, read_arrays
from generators.spec import join_spec
from toolkit.directions import DirectionSet
from toolkit.errors import UserError
from toolkit.provenance import GeneratorSource

_COMPONENTS, _BOUNDARIES = ".npz", ".npy"
# stylegan2-ffhq_style_ipca_c80_n1000000_w.npz: model and class, layer, estimator, samples, and w for W instead of Z
_CACHED = re.compile(r"(?P<gan>(?:stylegan|biggan-|pro|dc)[a-z0-9]*(?:_ada)?)(?:-.*)?_n\d+(?P<w>_w)?(?:_seed\d+)?")
_READ = ("lat_comp", "lat_mean", "lat_stdev", "var_ratio")


def holds_arrays(path: Path) -> bool:
    """Return whether `path` is, by its name, one of the files read here."""
    return Path(path).suffix.lower() in (_COMPONENTS, _BOUNDARIES)


def load_arrays(path: Path) -> DirectionSet:
    """Return the directions in one of the files read here; UserError for one that holds none."""
    return load_components(path) if Path(path).suffix.lower() == _COMPONENTS else load_boundaries(path)


def load_components(path: Path) -> DirectionSet:
    """Return the components in a file of GANSpace's cache (Harkonen et al. 2020), with their signs.

    Read are `lat_comp` (K, 1, D), the components as latents, of unit length; `lat_stdev` (K,), the latents' deviations
    along them, 1 in Z: the score column `sigma`; `lat_mean` (1, D), of which the column `centre` holds the products
    with the components; and `var_ratio` (K,), the shares of the features' variance. Those of the features, `act_*`,
    say nothing more of the latents: where these are the features, in W, they are the same. Which generator it was,
    the name of the file says, if it still has the one that GANSpace gave it.
    """
    path = Path(path)
    arrays = read_arrays(path, _READ, "components of GANSpace")
    lacking = [name for name in _READ if name not in arrays]
    if lacking:
        raise UserError(f"{path} lacks {', '.join(lacking)}; name a file of GANSpace's cache/components")
    components, mean = _rows(arrays["lat_comp"], path), arrays["lat_mean"].flatten()
    count, size = components.shape
    columns = {"variance": arrays["var_ratio"].flatten(), "sigma": arrays["lat_stdev"].flatten()}
    if len(mean) != size or any(len(column) != count for column in columns.values()):
        shapes = ", ".join(f"{name} {list(arrays[name].shape)}" for name in _READ)
        raise UserError(f"{path} holds arrays that do not fit one another ({shapes}); make or download it again")
    columns["centre"] = components @ mean
    name, source = _generator(path)
    scores = {column: values.tolist() for column, values in columns.items()}
    return DirectionSet(components, name, "published (GANSpace)", scores=scores, card={"source": source.as_dict()})


def load_boundaries(path: Path) -> DirectionSet:
    """Return the directions in a `.npy` file: one vector (1, D), as InterFaceGAN's boundaries are, or K of them.

    One alone has the name of the file.
    """
    path = Path(path)
    vectors = _rows(read_array(path, "directions"), path)
    names = (path.stem,) if len(vectors) == 1 else ()
    source = GeneratorSource("GENERATOR", missing="FILE")
    return DirectionSet(vectors, "unknown", "published (boundaries)", names, card={"source": source.as_dict()})


def _rows(array: torch.Tensor, path: Path) -> torch.Tensor:
    """Return directions (K, D) in an array (K, D), (K, 1, D) or (D,); UserError for another."""
    shape = list(array.shape)
    if array.dim() == 3 and shape[1] == 1:
        array = array[:, 0]
    if array.dim() == 1:
        array = array[None]
    if array.dim() != 2 or not array.numel() or not bool(array.norm(dim=1).all()):
        raise UserError(f"{path} holds an array {shape}; K vectors that are not 0, [K, D] or [K, 1, D], are needed")
    return array


def _generator(path: Path) -> tuple[str, GeneratorSource]:
    """Return the name of the generator that a cached file is of, and what to name for it."""
    found = _CACHED.fullmatch(path.stem.lower())
    if found is None:
        return path.stem, GeneratorSource(path.stem, missing="FILE")
    name, options = found["gan"], {}
    if name.startswith("stylegan"):  # directions of one space mean nothing in the other
        options["space"] = "w" if found["w"] else "z"
        name += "" if found["w"] else "-z"
    return name, GeneratorSource(join_spec(found["gan"], options), missing=join_spec("FILE", options))
