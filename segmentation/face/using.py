"""Using a segmenter: evaluate, predict, mask, objects, cutout."""

import functools
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from segmentation.evaluate.ahead import Many
from segmentation.evaluate.evaluation import Evaluation
from segmentation.evaluate.evaluation import evaluate as evaluation_of
from segmentation.evaluate.pairs import pair_folders
from segmentation.evaluate.settings import EvaluationSettings
from segmentation.objects.finding import FoundObject, find_objects
from segmentation.objects.settings import ObjectSettings
from segmentation.predict.prediction import Prediction
from segmentation.predict.protocols import PROTOCOLS
from segmentation.predict.segmenter import Segmenter
from toolkit.compute.engine import Engine, choose_engine
from toolkit.errors import UserError
from toolkit.files.shipped import file_named
from toolkit.pictures.any_photo import Photo, named_photos
from toolkit.pictures.cutouts import composite, cut_out
from toolkit.pictures.grounds import ground_of
from toolkit.screen import watch_of

DEFAULT = "flowers64"  # the shipped segmenter
AnySegmenter = Segmenter | str | os.PathLike[str]
Where = str | os.PathLike[str]


def evaluate(
    segmenter: AnySegmenter | Callable[[np.ndarray], np.ndarray],
    images: Where,
    masks: Where,
    *,
    name: str | None = None,
    protocol: str = "float",
    refine: bool = False,
    settings: EvaluationSettings | None = None,
    device: str = "auto",
    progress: bool = False,
    **changes: Any,
) -> Evaluation:
    """Return a segmenter's measures on a folder of photos with masks, as `toolkit eval` takes them.

    In place of a segmenter it measures any function from a photo uint8 (H, W, 3) to probabilities (H, W) in [0, 1].
    `changes` are fields of EvaluationSettings. UserError for files that do not pair up or cannot be read.

    >>> result = evaluate("flowers64", "flowers17/images", "flowers17/masks")  # doctest: +SKIP
    >>> result.measures["iou"]  # doctest: +SKIP
    0.716
    """
    chosen = EvaluationSettings.of(settings, None, changes)
    if protocol not in PROTOCOLS:
        raise UserError(f"protocol is {protocol!r}; choose one of {', '.join(PROTOCOLS)}")
    watch = watch_of(progress)
    predict_one: Callable[[np.ndarray], np.ndarray]
    many: Many | None = None
    if callable(segmenter):
        predict_one, meaning = segmenter, "by a function"
    else:
        opened = as_segmenter(segmenter).to(choose_engine(device, "fp32").device)
        predict_one = functools.partial(opened.probability, protocol=protocol, refine=refine)
        many = functools.partial(opened.predictions, protocol=protocol, refine=refine)
        meaning = PROTOCOLS[protocol].meaning + ("; refined by a dense CRF" if refine else "")
    pairs = pair_folders(Path(images), Path(masks), chosen.ignore_unpaired)
    evaluation = evaluation_of(pairs, predict_one, name or Path(images).resolve().name, meaning, chosen, many=many)
    with watch.bar(evaluation.dataset, len(evaluation), unit="images") as advance:
        for _ in evaluation:
            advance()
    assert evaluation.measures  # worked out once, so that its repr shows them
    return evaluation


def predict(
    photos: Photo | Iterable[Photo],
    segmenter: AnySegmenter = DEFAULT,
    *,
    refine: bool = False,
    device: str = "auto",
    precision: str = "auto",
) -> Iterator[Prediction]:
    """Return an iterator over the predictions of photos, in order: a folder of them, one photo, or several.

    A photo is a path, the bytes of a picture file, a PIL image, an array or a tensor (toolkit.pictures.any_photo), of
    any size. UserError for one that cannot be read, when its turn comes.

    >>> from toolkit.files.shipped import shipped_file
    >>> next(predict(shipped_file("photos")))
    <Prediction of ...flower.jpg: 640 x 427 pixels, ...% foreground>
    """
    engine = choose_engine(device, precision)
    opened = _opened(segmenter, engine)
    found = opened.judged_predictions(named_photos(photos), refine=refine, bf16=engine.bf16)
    return (Prediction(*each) for each in found)


def mask(
    photo: Photo,
    segmenter: AnySegmenter = DEFAULT,
    *,
    threshold: float = 0.5,
    refine: bool = False,
    device: str = "auto",
    precision: str = "auto",
) -> np.ndarray:
    """Return the mask (H, W) bool of one photo of any kind and size; see `predict`.

    >>> from toolkit.files.shipped import shipped_file
    >>> mask(shipped_file("photos") / "flower.jpg").shape
    (427, 640)
    """
    engine = choose_engine(device, precision)
    return _opened(segmenter, engine).probability(photo, refine=refine, bf16=engine.bf16) >= threshold


def objects(
    photo: Photo,
    segmenter: AnySegmenter = DEFAULT,
    *,
    threshold: float = 0.5,
    refine: bool = False,
    settings: ObjectSettings | None = None,
    device: str = "auto",
    precision: str = "auto",
    **changes: Any,
) -> list[FoundObject]:
    """Return the things in one photo of any kind and size, the largest first, each with its box and own mask.

    `changes` are fields of ObjectSettings, such as `min_object=0.01`; see `predict`.

    >>> from toolkit.files.shipped import shipped_file
    >>> objects(shipped_file("photos") / "flower.jpg")
    [<Object of ... pixels, ... x ... at (..., ...), confidence 0...>]
    """
    engine = choose_engine(device, precision)
    chosen = ObjectSettings.of(settings, None, changes)
    probability = _opened(segmenter, engine).probability(photo, refine=refine, bf16=engine.bf16)
    return find_objects(probability, threshold, chosen).items


def cutout(
    photo: Photo,
    segmenter: AnySegmenter = DEFAULT,
    *,
    background: Photo | tuple[int, int, int] | None = None,
    threshold: float = 0.5,
    refine: bool = False,
    device: str = "auto",
    precision: str = "auto",
) -> Image.Image:
    """Return the foreground of one photo of any kind and size as an "RGBA" picture with a smooth edge; see `predict`.

    It is Pillow's picture, which knows that its fourth channel is alpha: it can be saved, shown, pasted, and passed to
    `numpy.asarray`. Where `background` is given the foreground lies on it, in "RGB": a colour (a name, "#00ff00",
    (0, 255, 0)), a picture in any form a photo may have, or "blur", which blurs the photo's own ground.

    >>> from toolkit.files.shipped import shipped_file
    >>> flower = shipped_file("photos") / "flower.jpg"
    >>> cutout(flower).mode, cutout(flower, background="white").mode
    ('RGBA', 'RGB')
    """
    engine = choose_engine(device, precision)
    ground = None if background is None else ground_of(background)
    found = _opened(segmenter, engine).predictions([(None, photo)], refine=refine, bf16=engine.bf16)
    _, pixels, probability = next(found)
    cut = cut_out(pixels, probability, threshold)
    return Image.fromarray(cut) if ground is None else composite(cut, ground.behind(pixels, cut[..., 3]))


def as_segmenter(segmenter: AnySegmenter) -> Segmenter:
    """Return a segmenter, opened where it is named; UserError for what is none."""
    return segmenter if isinstance(segmenter, Segmenter) else Segmenter.load(segmenter)


def _opened(segmenter: AnySegmenter, engine: Engine) -> Segmenter:
    """Return a segmenter on the engine's device; one that is named is kept for the next call."""
    if isinstance(segmenter, Segmenter):
        return segmenter.to(engine.device) if segmenter.device != engine.device else segmenter
    path = file_named(segmenter, "segmenters", "segmenter")
    files = [file for file in (path, path / "segmenter.safetensors") if file.exists()]
    return _kept(path, max((file.stat().st_mtime_ns for file in files), default=0), engine.device)


@functools.lru_cache(maxsize=2)
def _kept(path: Path, changed: int, device: torch.device) -> Segmenter:
    return Segmenter.load(path).to(device)
