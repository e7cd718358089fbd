"""Starting a training from the weights of another one: no step, optimiser or random stream is taken over."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from generators.compact.network import KIND
from toolkit.command_line import command
from toolkit.errors import UserError
from toolkit.files.artefacts import Tensors, artefact_kind, load_artefact, load_pickled, match_state
from toolkit.state import ResumableState

_NETWORKS = ("network", "average", "encoder", "encoder_average", "critic")
_IMAGES = "images."  # where a joint discriminator keeps the one for images


def start_from(state: ResumableState, path: Path) -> list[str]:
    """Load the weights at `path` into the networks of `state` and return their names.

    `path` is a checkpoint, the run folder that holds one, or a generator file. Between objectives the discriminator of
    images is handed on; what the file does not hold stays as drawn. UserError when there are no such weights, or
    networks of other sizes.
    """
    saved = _read(path)
    parts = {name: part for name, part in state.parts().items() if name in _NETWORKS and name in saved}
    for name, part in parts.items():
        wanted = part.state_dict()
        offered = _completed(saved[name], wanted)
        match_state(offered, {key: value.shape for key, value in wanted.items()}, path, "networks of these settings")
        part.load_state_dict(offered)
    return list(parts)


def _read(path: Path) -> dict[str, Any]:
    """Return state dicts by the names of the networks."""
    file = path / "checkpoint.pt" if path.is_dir() else path
    if artefact_kind(file) == KIND:
        tensors, _ = load_artefact(file, KIND)
        return {"network": tensors, "average": tensors}
    saved = load_pickled(file, "checkpoint or generator to start from")
    if not isinstance(saved, dict) or not isinstance(saved.get("network"), dict) or "critic" not in saved:
        raise UserError(
            f"{file} is no checkpoint of {command('train-generator')}; name its run folder or a generator file"
        )
    return saved


def _completed(offered: Tensors, wanted: Mapping[str, Any]) -> Tensors:
    """Return discriminator weights for the other objective where they are of one; anything else as it is."""
    inner = {name.removeprefix(_IMAGES): value for name, value in offered.items() if name.startswith(_IMAGES)}
    if inner and inner.keys() == wanted.keys():
        return inner
    outer = {_IMAGES + name: value for name, value in offered.items()}
    return {**wanted, **outer} if outer.keys() <= wanted.keys() else offered
