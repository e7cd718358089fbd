"""Photos with masks that a training is measured on, as the flags of `segment` and `self-train` name them."""

from pathlib import Path
from typing import TYPE_CHECKING

from cli.inputs.options import require
from cli.inputs.photo_folder import over_masks
from cli.runs.progress import terminal

if TYPE_CHECKING:
    from segmentation.evaluate.photo_validation import ValidationSet


def open_validation(
    photos: Path | None,
    masks: Path | None,
    object_codes: str | None,
    ignore: str | None,
    invert: bool,
    resize_masks: bool,
) -> "ValidationSet | None":
    """Return the pairs of both folders, None where neither is named; UserError for one without the other."""
    both = "--validation-photos and --validation-masks"
    require((photos is None) == (masks is None), f"{both} go together; give both or neither")
    if photos is None or masks is None:
        flags = {"--object": object_codes, "--ignore": ignore, "--invert": invert, "--resize-masks": resize_masks}
        named = [flag for flag, value in flags.items() if value]
        require(not named, f"{', '.join(named)} say how --validation-masks are read; give {both} too")
        return None
    from segmentation.evaluate.photo_validation import ValidationSet
    from segmentation.evaluate.settings import EvaluationSettings

    settings = EvaluationSettings(object=object_codes, ignore=ignore, invert=invert, resize_masks=resize_masks)
    return ValidationSet.open(photos, masks, settings, terminal, over_masks)
