"""The published direction, one tensor in a file, and sets by the names that stand for files."""

import io
import os
from dataclasses import replace
from pathlib import Path

import torch

from toolkit.directions import Choice, DirectionSet
from toolkit.errors import UserError
from toolkit.files.artefacts import load_pickled
from toolkit.files.shipped import file_named
from toolkit.files.writing import write_bytes
from toolkit.hub.fetching import origin

_PUBLISHED_LENGTH = 5.0  # by which the published segmentation multiplies the vector, positive side only


def load_published(path: Path) -> DirectionSet:
    """Return the chosen direction in a published `bg_direction.pth`: one tensor (D,) or (1, D) for BigBiGAN.

    UserError when the file is something else.
    """
    held = load_pickled(path, "published direction")
    if not isinstance(held, torch.Tensor) or held.dim() not in (1, 2) or held.numel() != held.shape[-1]:
        what = f"a tensor {list(held.shape)}" if isinstance(held, torch.Tensor) else type(held).__name__
        raise UserError(f"{path} holds {what}, but a direction is one tensor [D]; check that it is the right file")
    vector = held.detach().float().reshape(1, -1)
    # Six digits are what float32 numbers keep of a length for sure, so that a written one is read back as it was.
    alpha = float(f"{_PUBLISHED_LENGTH * float(vector.double().norm()):.6g}")
    card = {"source": {"generator": "bigbigan"}}
    return DirectionSet(vector, "bigbigan", "published", ("background",), choice=Choice(0, 1, alpha), card=card)


def named_directions(name: str | os.PathLike[str]) -> DirectionSet:
    """Return the direction set in a run folder or file, or the shipped or published one of that name.

    A folder of the original, whose deformator has to be rebuilt, is opened by discovery.opening.open_directions alone.
    """
    file = file_named(name, "directions", "direction")
    if file.suffix.lower() in (".pth", ".pt"):
        return load_published(file)
    directions = DirectionSet.load(file)
    return replace(directions, card={**directions.card, **origin(name, "directions")})


def save_published(path: Path, shift: torch.Tensor) -> None:
    """Write a shift (D,) as `load_published` and the original segmentation read it: float32 [D], a fifth of it."""
    held = io.BytesIO()
    # The form before torch 1.6, since the original is pinned to 1.4.
    torch.save((shift.double() / _PUBLISHED_LENGTH).float().cpu(), held, _use_new_zipfile_serialization=False)
    write_bytes(path, held.getvalue())
