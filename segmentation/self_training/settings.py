"""Settings of self-training. No torch here: the command line reads the defaults from it."""

from dataclasses import dataclass
from typing import ClassVar

from toolkit.errors import UserError, named
from toolkit.settings import Settings, setting

_LEAST_SIDE = 128  # pixels: what photos carry that a generator of 64 pixels does not


@dataclass(frozen=True)
class SelfTrainingSettings(Settings):
    """How a segmenter's masks of photos without labels are selected, and a new U-Net trained on them."""

    kind: ClassVar[str] = "self-train"

    rounds: int = setting(1, "times that masks are made and a U-Net is trained on them", minimum=1)
    steps: int = setting(300, "training steps of each round, one batch of photos each", minimum=1)
    batch: int = setting(32, "photos in a batch", minimum=2)
    image_size: int | None = setting(
        None,
        "side in pixels of the squares that masks are made of and that the last round trains on; not set: masks are "
        f"made at the segmenter's side, or {_LEAST_SIDE} where photos have more, and training is at the segmenter's",
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
    memory: float = setting(
        0.99, "share of the averaged weights that one step leaves as they are", minimum=0, maximum=1
    )
    frame: float = setting(
        0.05,
        "share of a photo's side that is taken for ground at each edge by the cuts that give the second opinion",
        above=0,
        maximum=0.4,
    )
    cuts: int = setting(3, "times that colours are fitted and the graph is cut", minimum=1)
    agreement: float = setting(
        0.7, "IoU of the segmenter's mask and the cut from which they agree", minimum=0, maximum=1
    )
    covered: float = setting(
        0.8,
        "share of the cut that the segmenter too takes for foreground from which they agree as well: segmenters "
        "add bright ground to a thing more often than they miss most of it",
        minimum=0,
        maximum=1,
    )
    consensus: float = setting(
        0.6,
        "mean IoU among the cuts of a photo from which they alone make its mask, where the segmenter does not agree",
        minimum=0,
        maximum=1,
    )
    min_area: float = setting(0.03, "smallest share of the photo that a kept mask covers", minimum=0, maximum=1)
    max_area: float = setting(0.75, "largest share of the photo that a kept mask covers", minimum=0, maximum=1)
    seed: int = setting(0, "names every random draw", minimum=0)
    log_every: int = setting(10, "steps between logged figures", minimum=1, watches=True)
    validate_every: int = setting(200, "steps between validations on photos held out", minimum=1, watches=True)
    held_out_share: float = setting(
        0.05, "share of the photos held out for validation", minimum=0, maximum=0.5, was="held_out"
    )
    checkpoint_every: int = setting(100, "steps between checkpoints", minimum=1, watches=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.min_area >= self.max_area:
            raise UserError(
                f"{named('min_area')} is {self.min_area} and {named('max_area')} {self.max_area}: no mask can pass; "
                f"let {named('min_area')} be the smaller one"
            )

    def side_for(self, segmenter_side: int, photo_side: int) -> int:
        """Return the side in pixels of the squares that masks are made of, by a segmenter of such a side.

        `photo_side` is the photos' usual one (toolkit.pictures.photos.usual_side): they are not enlarged for it.
        """
        return self.image_size or max(segmenter_side, min(photo_side, _LEAST_SIDE))

    def side_of_round(self, number: int, segmenter_side: int, side: int) -> int:
        """Return the side in pixels that round `number` of 1 .. `rounds` trains on; that of the squares is `side`."""
        detailed = self.image_size is not None and number == self.rounds
        return side if detailed else min(side, segmenter_side)
