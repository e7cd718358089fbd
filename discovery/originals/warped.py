"""Reading the support sets of WarpedGANSpace: directions that are different at every point of the latent space.

Its runs (Tzelepis et al., ICCV 2021) leave a folder with args.json and models/support_sets.pt, or, before they are
done, models/support_sets-N.pt, which its checkpoint2model.py takes out of models/checkpoint.pt.
"""

import re
from pathlib import Path
from typing import Any

import torch

from generators.spec import join_spec
from toolkit.directions import DirectionSet
from toolkit.errors import UserError
from toolkit.files.artefacts import Tensors, load_state_file, match_state
from toolkit.files.writing import read_json
from toolkit.provenance import GeneratorSource
from toolkit.warps import Warps

_ARGS = "args.json"
_NUMBERED = re.compile(r"support_sets(?:-(\d+))?\.pt")
_ENTRIES = ("SUPPORT_SETS", "ALPHAS", "LOGGAMMA")


def is_warped(path: Path) -> bool:
    """Return whether `path` is a folder of WarpedGANSpace, or the file of its support sets by its name."""
    path = Path(path)
    if path.is_file():
        return _NUMBERED.fullmatch(path.name) is not None
    return path.is_dir() and not (path / "directions.safetensors").exists() and bool(_support_sets(path))


def _support_sets(folder: Path) -> list[tuple[float, Path]]:
    """Return (step, file) of a folder's support sets; those without a number are of the end."""
    files = [*folder.glob("models/support_sets*.pt"), *folder.glob("support_sets*.pt")]
    matches = ((_NUMBERED.fullmatch(file.name), file) for file in files)
    return [(float(match[1] or "inf"), file) for match, file in matches if match is not None]


def load_warped(path: Path) -> DirectionSet:
    """Return the K curved directions in the support sets at `path`, a folder or a file.

    The file holds SUPPORT_SETS (K, 2 N D), N pairs of opposite vectors each; ALPHAS (K, 2 N), 1 and -1 in turn unless
    they were learnt; LOGGAMMA (K, 1). Walks follow the gradient of sum alpha exp(-gamma |z - s|^2) at unit speed
    (toolkit.warps); `vectors` are the gradients at the origin, about which the pairs lie. UserError for a file that is
    something else, and for paths in W+, which are of another vector for each layer.
    """
    path = Path(path)
    file = max(_support_sets(path), key=lambda pair: pair[0])[1] if path.is_dir() else path
    root = file.parent.parent if file.parent.name == "models" else file.parent
    args = read_json(root / _ARGS) if (root / _ARGS).exists() else {}
    if not isinstance(args, dict):
        raise UserError(f"{root / _ARGS} holds no table of arguments; check that it is the right file")
    if args.get("stylegan_space") == "W+":
        raise UserError(f"{file} holds paths in W+, each of another vector a layer; those in Z and in W open")
    warps = _warps(load_state_file(file, "support sets"), file)
    name, source = _generator(args)
    return DirectionSet(
        warps.ways(torch.zeros(warps.centres.shape[2])),
        name,
        "published (WarpedGANSpace)",
        warps=warps,
        card={"source": source.as_dict()},
    )


def _warps(state: Tensors, file: Path) -> Warps:
    alphas = state.get("ALPHAS")
    count, each = alphas.shape if alphas is not None and alphas.dim() == 2 and alphas.numel() else (1, 2)
    sets = state.get("SUPPORT_SETS")
    latent_dim = max(1, sets.shape[-1] // each) if sets is not None and sets.dim() else 1
    shapes = {"SUPPORT_SETS": (count, each * latent_dim), "ALPHAS": (count, each), "LOGGAMMA": (count, 1)}
    match_state(state, shapes, file, "the support sets of a WarpedGANSpace")
    centres, weights, loggammas = (state[name].float() for name in _ENTRIES)
    return Warps(centres.reshape(count, each, latent_dim), weights, loggammas[:, 0].exp())


def _generator(args: dict[str, Any]) -> tuple[str, GeneratorSource]:
    """Return the name of the generator that the paths were learnt on, and what to name for it.

    args.json says `gan` and `stylegan_space`, in older versions `gan_type` and whether W is meant.
    """
    gan = str(args.get("gan") or args.get("gan_type") or "unknown")
    options = {}
    if gan.lower().startswith("stylegan"):
        older = args.get("shift_in_w_space") or args.get("stylegan2_w_shift") or args.get("stylegan2_w_space")
        options["space"] = "w" if str(args.get("stylegan_space", "")) == "W" or older else "z"
    classes = args.get("biggan_target_classes")
    if isinstance(classes, list) and classes and all(type(one) is int and one >= 0 for one in classes):
        options["classes"] = ",".join(map(str, classes))
    name = f"{gan}-z" if options.get("space") == "z" else gan
    return name, GeneratorSource(join_spec(gan, options), missing=join_spec("FILE", options))
