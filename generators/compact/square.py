"""What networks of square pictures share: three sizes, checked, and read back from an artefact's card."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from torch import nn

from toolkit.errors import UserError
from toolkit.files.artefacts import load_artefact, match_state
from toolkit.untrusted.text import guarded


@dataclass(frozen=True)
class SquareShape:
    """Picture side in pixels, latent length, channels at half that side; UserError for sizes that cannot be built."""

    what: ClassVar[str] = "a network"

    image_size: int = 64
    latent_dim: int = 64
    width: int = 64

    def __post_init__(self) -> None:
        sizes = (self.image_size, self.latent_dim, self.width)
        whole = all(isinstance(size, int) and size > 0 for size in sizes)
        if not whole or self.image_size < 8 or self.image_size & (self.image_size - 1):
            raise UserError(
                f"{self.what} of {self} cannot be built; its side has to be 8, 16, 32, 64 ..., the rest 1 or more"
            )


ShapeT = TypeVar("ShapeT", bound=SquareShape)
NetworkT = TypeVar("NetworkT", bound=nn.Module)


def load_network(
    path: Path, kind: str, shape_class: type[ShapeT], build: Callable[[ShapeT], NetworkT], names_generator: str
) -> tuple[NetworkT, dict[str, Any]]:
    """Return the network in an artefact of `kind`, in 32 bits, and its card, which names its sizes as `shape` and its
    generator as `names_generator`.

    UserError when the file is another kind, damaged or does not fit.
    """
    tensors, card = load_artefact(path, kind)
    try:
        shape = shape_class(**card["shape"])
    except (KeyError, TypeError) as error:
        raise UserError(f"{path} names no network sizes ({error}); train or download it again") from error
    if not isinstance(card.get(names_generator), str):
        raise UserError(f"{path} names no generator; train or download it again")
    # Without memory first: a card may name sizes that no file of this one's size can have.
    with guarded(f"{path} names sizes that cannot be built", "train or download it again"), torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in build(shape).state_dict().items()}
    match_state(tensors, shapes, path, "its own card")
    network = build(shape)
    network.load_state_dict(tensors)  # copies into the network's own precision
    return network.to(memory_format=torch.channels_last), card
