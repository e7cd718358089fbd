"""Settings of self-training. No torch here: the command line reads the defaults from it."""

from dataclasses import dataclass
from typing import ClassVar

from toolkit.errors import UserError, named
from toolkit.settings import Settings, setting


@dataclass(frozen=True)
class SelfTrainingSettings(Settings):
    """How a segmenter's masks of photos without labels are sharpened and selected, and a new U-Net trained on them."""

    kind: ClassVar[str] = "self-train"

    rounds: int = setting(2, "times that masks are made and a U-Net is trained on them", minimum=1)
    steps: int = setting(300, "training steps of each round, one batch of photos each", minimum=1)
    batch: int = setting(32, "photos in a batch", minimum=2)
    image_size: int | None = setting(
        None,
        "side in pixels of the squares that masks are made of and trained on; not set: the segmenter's",
        minimum=16,
    )
    width: int = setting(32, "channels of the U-Net's first stage", minimum=1)
    rate: float = setting(1e-3, "Adam learning rate", above=0)
    decay_share: float = setting(
        0.4,
        "share of the steps, at the end, that are taken at a fifth of the rate",
        minimum=0,
        maximum=1,
        was="rate_drop",
    )
    first_core: float = setting(
        0.5, "probability from which a pixel starts as foreground in the first round", minimum=0, maximum=1
    )
    core: float = setting(0.8, "the same in later rounds", minimum=0, maximum=1)
    bar: float = setting(
        0.9, "probability from which a pixel of the cut mask is foreground in later rounds", minimum=0, maximum=1
    )
    certain: float = setting(0.98, "probability above which a pixel stays foreground", minimum=0, maximum=1)
    ground: float = setting(0.05, "probability below which a pixel stays background", minimum=0, maximum=1)
    cuts: int = setting(2, "times that colours are fitted and the graph is cut", minimum=1)
    agreement: float = setting(
        0.7, "IoU of a mask before and after the cut from which it is kept", minimum=0, maximum=1
    )
    min_area: float = setting(0.05, "smallest share of the photo that a kept mask covers", minimum=0, maximum=1)
    max_area: float = setting(0.65, "largest share of the photo that a kept mask covers", minimum=0, maximum=1)
    max_border: float = setting(
        0.25, "largest share of the photo's outermost pixels that a kept mask covers", minimum=0, maximum=1
    )
    seed: int = setting(0, "names every random draw", minimum=0)
    log_every: int = setting(10, "steps between logged figures", minimum=1, watches=True)
    validate_every: int = setting(200, "steps between validations on photos held out", minimum=1, watches=True)
    held_out_share: float = setting(
        0.05, "share of the photos held out for validation", minimum=0, maximum=0.5, was="held_out"
    )
    checkpoint_every: int = setting(100, "steps between checkpoints", minimum=1, watches=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.ground <= self.first_core <= self.core <= self.certain:
            raise UserError(
                f"{named('ground')} is {self.ground}, {named('first_core')} {self.first_core}, {named('core')} "
                f"{self.core} and {named('certain')} {self.certain}; they have to rise in this order"
            )
        if self.min_area >= self.max_area:
            raise UserError(
                f"{named('min_area')} is {self.min_area} and {named('max_area')} {self.max_area}: no mask can pass; "
                f"let {named('min_area')} be the smaller one"
            )
