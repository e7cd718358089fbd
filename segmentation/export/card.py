"""What an exported file says of itself, for whoever uses it without this toolkit."""

from collections.abc import Mapping
from typing import Any

from segmentation.predict.segmenter import Segmenter

BEFORE = (
    "photo upright in sRGB; where one side is shorter than an eighth of the other it is padded to that by repeating "
    "its lower or right edge; shorter side resized to image_size, the longer one alike and rounded down, bilinearly "
    "with anti-aliasing; levels 0 to 255 brought to -1 to 1 linearly; channels R, G, B first"
)
AFTER = (
    "probability of foreground at the network's size, resized bilinearly (with anti-aliasing where it shrinks) to the "
    "padded photo's size; the padding cut off; foreground where it is at least 0.5"
)


def card_of(segmenter: Segmenter, precision: str, measured: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what a file says of itself: how it is used, its precision, what that costs, how the segmenter was made."""
    ways = {"preprocessing": BEFORE, "postprocessing": AFTER}
    network = {"image_size": segmenter.image_size, "width": segmenter.network.width, "digest": segmenter.digest()}
    return {
        **ways,
        **network,
        "precision": precision,
        "measured": dict(measured or {}),
        "segmenter": dict(segmenter.card),
    }
