"""Photos with masks that a training is measured on, in `toolkit segment` and `toolkit self-train`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cli.inputs.options import require
from cli.inputs.photo_folder import over_masks
from cli.runs.progress import console

if TYPE_CHECKING:
    from segmentation.evaluate.pairs import Pairs
    from segmentation.mask_reading.reading import MaskReading
    from segmentation.unet.network import UNet


@dataclass(frozen=True)
class ValidationSet:
    """Photos with their masks, and how these are read."""

    pairs: "Pairs"
    masks: "MaskReading"

    @classmethod
    def open(
        cls,
        images: Path | None,
        masks: Path | None,
        object_codes: str | None,
        ignore: str | None,
        invert: bool,
        resize_masks: bool,
    ) -> "ValidationSet | None":
        """Return the pairs of both folders, None where neither is named; UserError for one without the other.

        Every file is read once: a broken mask should not end a training hours later.
        """
        require((images is None) == (masks is None), "--images and --masks go together; give both or neither")
        if images is None or masks is None:
            flags = {"--object": object_codes, "--ignore": ignore, "--invert": invert, "--resize-masks": resize_masks}
            named = [flag for flag, value in flags.items() if value]
            require(not named, f"{', '.join(named)} say how --masks are read; give --images and --masks too")
            return None
        from segmentation.evaluate.evaluation import read_masks
        from segmentation.evaluate.pairs import pair_folders
        from segmentation.evaluate.settings import EvaluationSettings
        from toolkit.pictures.photos import read_photo

        settings = EvaluationSettings(object=object_codes, ignore=ignore, invert=invert, resize_masks=resize_masks)
        pairs, reading = read_masks(pair_folders(images, masks), settings, over=over_masks)
        for line in [*pairs.notes(), *([] if reading.plain else [f"masks read as {reading.words}"])]:
            console.print(line)
        objects = False
        for pair in pairs:
            height, width = read_photo(pair.image).shape[:2]
            objects |= bool(reading.truth(pair.mask, pair.image, (height, width)).mask.any())
        if not objects:
            console.print(f"warning: every mask is empty as it was read ({reading.words}); see --object")
        return cls(pairs, reading)

    def figures_at(self, image_size: int) -> "Callable[[UNet], dict[str, float]]":
        """Return a function that measures a network, as it is at that step, on the photos."""

        def measure(network: "UNet") -> dict[str, float]:
            from segmentation.evaluate.evaluation import evaluate
            from segmentation.predict.protocols import PROTOCOLS
            from segmentation.predict.segmenter import Segmenter

            segmenter = Segmenter(network, image_size)
            meaning = PROTOCOLS["float"].meaning
            evaluation = evaluate(
                self.pairs, segmenter.probability, "photos", meaning, self.masks.settings, masks=self.masks
            )
            measures = evaluation.result()["measures"]
            return {f"photo_{name}": measures[name] for name in ("iou", "accuracy", "max_f")}

        return measure
