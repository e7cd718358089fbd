"""Exporting a segmenter: one table of layouts, and what an export costs in accuracy, measured and written beside it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segmentation.evaluate.evaluation import evaluate
from segmentation.evaluate.pairs import pair_folders
from segmentation.export.settings import LAYOUTS, Export
from segmentation.predict.onnx_segmenter import NEEDS, OnnxSegmenter
from segmentation.predict.protocols import PROTOCOLS
from segmentation.predict.segmenter import Segmenter
from segmentation.predict.windows import without_strips
from toolkit.errors import UserError, named
from toolkit.files.workplace import temporary_folder
from toolkit.files.writing import writable_file, write_bytes
from toolkit.pictures.photo_folder import list_photos
from toolkit.pictures.photos import read_photo
from toolkit.pictures.scaling import scaled_photo, shorter_side
from toolkit.watch import SILENT, Watch

MOST_CALIBRATED = 64  # photos, spread over the folder


def export_segmenter(segmenter: Segmenter, out: Path, how: Export, watch: Watch = SILENT) -> dict[str, Any]:
    """Write a segmenter to `out` in another layout, whole or not at all, and return its card.

    UserError, before any long work, for an ending that is not the layout's and for what cannot be read.
    """
    writable_file(out, LAYOUTS[how.layout])
    write: dict[str, Callable[[Segmenter, Path, Export, Watch], dict[str, Any]]]
    write = {"onnx": _onnx, "torch-export": _exported, "torchscript": _script}
    return write[how.layout](segmenter, out, how, watch)


def _exported(segmenter: Segmenter, out: Path, how: Export, watch: Watch) -> dict[str, Any]:
    from segmentation.export.card import card_of
    from segmentation.export.programs import SMALLEST_EXPORTED, save_exported

    if segmenter.image_size < SMALLEST_EXPORTED:
        raise UserError(
            f"the segmenter is for {segmenter.image_size} pixels, but torch.export's program of this network takes "
            f"{SMALLEST_EXPORTED} or more; choose another {named('layout')}"
        )
    card = card_of(segmenter, how.precision)
    save_exported(out, segmenter.network, card)
    return card


def _script(segmenter: Segmenter, out: Path, how: Export, watch: Watch) -> dict[str, Any]:
    from segmentation.export.card import card_of
    from segmentation.export.programs import save_script

    card = card_of(segmenter, how.precision)
    save_script(out, segmenter.network, card)
    return card


def _onnx(segmenter: Segmenter, out: Path, how: Export, watch: Watch) -> dict[str, Any]:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise UserError(f"{named('layout', 'onnx')} needs {NEEDS}; or choose another") from error
    from segmentation.export.card import card_of
    from segmentation.export.files import serialised
    from segmentation.export.graph import graph_of
    from segmentation.export.quantisation import quantised

    calibrating = _some(list_photos(how.calibrate)) if how.calibrate is not None else []
    model = graph_of(segmenter.network, how.half)
    if how.int8:
        size = segmenter.image_size
        model = quantised(model, (_input(path, size) for path in watch.over(calibrating, "calibrating", "photos")))
    with temporary_folder() as folder:
        unmeasured = folder / "unmeasured.onnx"
        unmeasured.write_bytes(serialised(model, card_of(segmenter, how.precision)))
        measured = _measured(segmenter, OnnxSegmenter.load(unmeasured), how, calibrating, watch)
    card = card_of(segmenter, how.precision, measured)
    write_bytes(out, serialised(model, card))
    return card


def _some(paths: Sequence[Path]) -> list[Path]:
    """Return at most MOST_CALIBRATED of the paths, spread over all."""
    count = min(MOST_CALIBRATED, len(paths))
    return [paths[number * len(paths) // count] for number in range(count)]


def _input(path: Path, size: int) -> np.ndarray:
    photo = without_strips(read_photo(path))
    return scaled_photo(photo, shorter_side(photo.shape[0], photo.shape[1], size))[None]


def _measured(
    segmenter: Segmenter, made: OnnxSegmenter, how: Export, calibrating: Sequence[Path], watch: Watch
) -> dict[str, Any]:
    """Return how far the masks of an export are off: in IoU, or from the segmenter's on the photos of calibration."""
    if how.photos is not None and how.masks is not None:
        before = _iou(segmenter.probability, how, watch)
        after = _iou(made.probability, how, watch)
        return {"photos": len(list_photos(how.photos)), "iou": after, "iou_lost": before - after}
    if calibrating:
        differing = [_differing(segmenter, made, path) for path in watch.over(calibrating, "comparing", "photos")]
        return {"photos": len(calibrating), "pixels_differing": float(np.mean(differing))}
    return {}


def _iou(predict: Callable[[np.ndarray], np.ndarray], how: Export, watch: Watch) -> float:
    assert how.photos is not None
    assert how.masks is not None
    pairs = pair_folders(how.photos, how.masks)
    evaluation = evaluate(pairs, predict, how.photos.name, PROTOCOLS["float"].meaning)
    with watch.bar("measuring", len(evaluation), unit="images") as advance:
        for _ in evaluation:
            advance()
    return evaluation.measures["iou"]


def _differing(segmenter: Segmenter, made: OnnxSegmenter, path: Path) -> float:
    photo = read_photo(path)
    return float(np.mean(segmenter.mask(photo) != made.mask(photo)))
