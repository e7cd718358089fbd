"""Photos with masks that a training is measured on; they measure and never train."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from segmentation.evaluate.evaluation import evaluate, read_masks
from segmentation.evaluate.pairs import Pairs, pair_folders
from segmentation.evaluate.settings import EvaluationSettings
from segmentation.mask_reading.annotations import Masks
from segmentation.mask_reading.reading import Over
from segmentation.predict.protocols import PROTOCOLS
from segmentation.predict.segmenter import Segmenter
from segmentation.unet.network import UNet
from toolkit.errors import Line, named
from toolkit.pictures.photos import read_photo
from toolkit.watch import SILENT, Watch


@dataclass(frozen=True)
class ValidationSet:
    """Photos with their masks, and how these are read."""

    pairs: Pairs
    masks: Masks

    @classmethod
    def open(
        cls, images: Path, masks: Path, settings: EvaluationSettings, watch: Watch = SILENT, over: Over = iter
    ) -> "ValidationSet":
        """Return the pairs of both folders, after reading every file once: a broken one should not end a training.

        `over` is given the masks' paths, to show progress.
        """
        pairs, reading = read_masks(pair_folders(images, masks), settings, over=over)
        for line in [*pairs.notes(), *([] if reading.plain else [Line(f"masks read as {reading.words.marked}")])]:
            watch.say(line)
        objects = False
        for pair in pairs:
            height, width = read_photo(pair.image).shape[:2]
            objects |= bool(reading.truth(pair.mask, pair.image, (height, width)).mask.any())
        if not objects:
            text = f"warning: every mask is empty as it was read ({reading.words.marked}); see {named('object')}"
            watch.say(Line(text))
        return cls(pairs, reading)

    def figures(self, network: UNet, image_size: int) -> dict[str, float]:
        """Return how well a network, trained on images of this side, does on the photos."""
        segmenter, meaning = Segmenter(network, image_size), PROTOCOLS["float"].meaning
        evaluation = evaluate(
            self.pairs, segmenter.probability, "photos", meaning, self.masks.settings, masks=self.masks
        )
        measures = evaluation.result()["measures"]
        return {f"photo_{name}": measures[name] for name in ("iou", "accuracy", "max_f")}

    def figures_at(self, image_size: int) -> Callable[[UNet], dict[str, float]]:
        """Return `figures` for networks of this side."""
        return lambda network: self.figures(network, image_size)
