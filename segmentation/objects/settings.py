"""What counts as one thing of a mask. Neither torch nor numpy here: the command line reads the defaults from it."""

from dataclasses import dataclass
from typing import ClassVar

from toolkit.settings import Settings, setting


@dataclass(frozen=True)
class ObjectSettings(Settings):
    """How a mask is taken apart into things."""

    kind: ClassVar[str] = "objects"

    min_object: float = setting(
        0.005,
        "share of the photo that a connected thing covers at least; smaller ones are dropped",
        minimum=0,
        maximum=1,
    )
    neck: float = setting(
        0.0,
        "width of a neck, as a share of the width of the narrower thing beside it, up to which things that touch there "
        "are parted; 0: never",
        minimum=0,
        maximum=1,
    )
