"""An exported segmenter, computed by onnxruntime: photos of any size become probabilities without torch."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segmentation.predict.windows import CPU_PIXELS, Judged, Key, alike, as_photos, settled, windows, without_strips
from toolkit.errors import UserError, named
from toolkit.pictures.any_photo import Photo
from toolkit.pictures.scaling import scaled, scaled_photo, shorter_side
from toolkit.untrusted.onnx_models import DIGEST, read_model
from toolkit.untrusted.text import guarded, parse_json, whole_number

NEEDS = "the onnx extra: pip install 'latent-segmentation-toolkit[onnx]'"
ENDING = ".onnx"
KIND = "segmenter"
INPUT, OUTPUT = "image", "probability"
_SIDES = (16, 4096)  # that a file may ask for, as a segmenter's own
_FATAL = 4  # the level of messages below which the runtime prints none: what is wrong is in its errors


@dataclass(frozen=True, repr=False)
class OnnxSegmenter:
    """A segmenter's file for onnxruntime, opened: the shorter side that its network sees, its card, and a session.

    It predicts what the segmenter does that it was exported from, by the protocol "float".
    """

    image_size: int
    card: Mapping[str, Any]
    session: Any
    graph_digest: str = ""

    def __repr__(self) -> str:
        return f"<OnnxSegmenter: {self.card.get('precision')}, for {self.image_size} pixels, on cpu>"

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "OnnxSegmenter":
        """Return the segmenter in a `.onnx` file; UserError for one of another make, damaged, or that does more."""
        path = Path(path)
        file = read_model(path)
        image_size, card = _described(file.metadata, path)
        return cls(image_size, card, _session(file.content, path), file.metadata[DIGEST])

    def digest(self) -> str:
        """Return 16 letters that identify its graph, weights and precision, for run records."""
        return self.graph_digest[:16]

    @property
    def known(self) -> int:
        """Return 0: statistics of training photos are not exported, so that it cannot say which photos are unlike."""
        return 0

    def judged_predictions(
        self, photos: Iterable[tuple[Key, Photo]], *, refine: bool = False, bf16: bool = False
    ) -> Iterator[Judged[Key]]:
        """Yield what `predictions` does, and None for what it does not know: how familiar a photo is."""
        for found in self.predictions(photos, refine=refine, bf16=bf16):
            yield *found, None
            del found

    def predictions(
        self, photos: Iterable[tuple[Key, Photo]], *, refine: bool = False, bf16: bool = False
    ) -> Iterator[tuple[Key, np.ndarray, np.ndarray]]:
        """Yield the caller's key, the photo, and its foreground probability (H, W) float32 in [0, 1], in order.

        As Segmenter.predictions does. UserError for `bf16`: a file is computed in the precision that it has.
        """
        if bf16:
            raise UserError(f"{named('precision', 'bf16')} is not for onnx files, which have one of their own; omit it")
        for window in windows(as_photos(photos)):
            soft_maps = self._soft_maps([without_strips(photo) for _, photo in window])
            yield from settled(window, soft_maps, refine)

    def probability(self, photo: Photo, refine: bool = False) -> np.ndarray:
        """Return the foreground probability (H, W) of one photo; see `predictions`."""
        return next(self.predictions([(None, photo)], refine=refine))[2]

    def mask(self, photo: Photo, threshold: float = 0.5, refine: bool = False) -> np.ndarray:
        """Return the mask (H, W) bool of a photo: probability at least `threshold`."""
        return self.probability(photo, refine) >= threshold

    def computed(self, images: np.ndarray) -> np.ndarray:
        """Return foreground probabilities (B, h, w) of network inputs (B, 3, h, w) float32 in [-1, 1]."""
        (soft,) = self.session.run([OUTPUT], {INPUT: images})
        if soft.shape != (len(images), *images.shape[2:]) or not np.isfinite(soft).all():
            raise UserError("the onnx file gives no probabilities for a photo; export the segmenter again")
        return soft

    def _soft_maps(self, photos: list[np.ndarray]) -> list[np.ndarray]:
        """Return the foreground probability (H, W) of each photo uint8 (H, W, 3)."""
        results: list[np.ndarray] = [np.empty(0)] * len(photos)
        shapes = [shorter_side(photo.shape[0], photo.shape[1], self.image_size) for photo in photos]
        for batch in alike(shapes, CPU_PIXELS):
            images = np.stack([scaled_photo(photos[index], shapes[index]) for index in batch])
            for index, soft in zip(batch, self.computed(images), strict=True):
                height, width = photos[index].shape[:2]
                results[index] = scaled(soft[..., None], (height, width))[0].clip(0, 1)
        return results


def _described(metadata: Mapping[str, str], path: Path) -> tuple[int, dict[str, Any]]:
    """Return image size and card of a file's metadata; UserError where it says none that can be used."""
    size = whole_number(metadata.get("image_size", ""))
    if metadata.get("kind") != KIND or size is None or not _SIDES[0] <= size <= _SIDES[1]:
        raise UserError(f"{path} does not say the image size of a segmenter; export it again")
    card = parse_json(metadata.get("card", "{}"), f"the card in {path}")
    if not isinstance(card, dict):
        raise UserError(f"{path} holds no table of how it was made; export it again")
    return size, card


def _session(content: bytes, path: Path) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError(f"{path} needs {NEEDS}") from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL
    options.intra_op_num_threads = _threads()
    with guarded(f"{path} cannot be computed by onnxruntime {onnxruntime.__version__}", "export the segmenter again"):
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        inputs, outputs = ([(one.name, one.type, len(one.shape)) for one in ends] for ends in _ends(session))
        if inputs != [(INPUT, "tensor(float)", 4)] or outputs != [(OUTPUT, "tensor(float)", 3)]:
            raise ValueError("it does not take images or give probabilities")
    return session


def _ends(session: Any) -> tuple[list[Any], list[Any]]:
    return session.get_inputs(), session.get_outputs()


def _threads() -> int:
    """Return how many threads compute: what OMP_NUM_THREADS says, as it does for torch, or the cores there are."""
    wished = whole_number(os.environ.get("OMP_NUM_THREADS", "0")) or 0
    return wished or (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
