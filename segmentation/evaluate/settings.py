"""Settings of evaluation. No torch here: the command line reads the defaults from it."""

from dataclasses import dataclass
from typing import ClassVar

from segmentation.mask_reading.codes import parse_codes
from segmentation.objects.settings import ObjectSettings
from toolkit.errors import UserError, named
from toolkit.settings import Settings, same_as, setting


@dataclass(frozen=True)
class EvaluationSettings(Settings):
    """What counts as foreground in predictions and masks, and what is done with files that do not fit."""

    kind: ClassVar[str] = "eval"

    threshold: float = setting(0.5, "probability from which a pixel is foreground", minimum=0, maximum=1)
    mask_threshold: float = setting(
        0.5, "brightness of a mask, as a share of full white, from which a pixel is foreground", above=0, maximum=1
    )
    stretch: bool = setting(False, "move each map's range to 0..1 before all measures, as PySODMetrics does")
    boundary_tolerance: float = setting(
        2.0,
        "distance up to which boundaries agree for boundary_f, in pixels of a picture whose shorter side is 256",
        minimum=0,
    )
    inset: float = setting(
        0.0,
        "pixels, of a picture whose shorter side is 256, by which masks lie inside the things they are of (negative: "
        "beyond them): predictions are made smaller by as much before they are measured",
        minimum=-32,
        maximum=32,
    )
    object: str | None = setting(
        None,
        "what of the masks is object: codes as 1,2 or 1-20, colours as #ff0000, or alpha; by default told from them",
    )
    ignore: str | None = setting(
        None, "codes or colours of pixels left out of every figure, or none; by default index 255 beside others"
    )
    invert: bool = setting(False, "take the complement of the masks for the object")
    resize_masks: bool = setting(False, "bring masks to the size of their images (nearest neighbours)")
    ignore_unpaired: bool = setting(False, "leave out images without a mask")
    objects: bool = setting(
        False, "measure single things too: AP and CorLoc of what masks are taken apart into, against the true things"
    )
    min_object: float = same_as(ObjectSettings, "min_object")
    neck: float = same_as(ObjectSettings, "neck")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.objects and (self.invert or self.resize_masks):
            raise UserError(
                f"{named('objects')} needs the things of masks as they are; omit {named('invert')} and "
                f"{named('resize_masks')}"
            )
        for flag, text in ((named("object"), self.object), (named("ignore"), self.ignore)):
            if text is not None:
                parse_codes(text, flag)
