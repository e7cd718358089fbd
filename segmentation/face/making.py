"""Making pairs and segmenters: synthesize, segment, self-train."""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from generators.face import AnyGenerator, generator_for
from generators.protocol import fitting, image_shape
from segmentation.face.using import AnySegmenter, as_segmenter
from segmentation.predict.segmenter import Segmenter
from segmentation.self_training.rounds import self_train as rounds
from segmentation.self_training.settings import SelfTrainingSettings
from segmentation.synthesis.run import STREAM
from segmentation.synthesis.settings import SynthesizeSettings
from segmentation.synthesis.source import MaskSource
from segmentation.synthesis.synthesizer import MaskSynthesizer, latent_source
from segmentation.unet.run import SegmentationRun
from segmentation.unet.settings import SegmentationSettings
from segmentation.unet.training import SegmentationState, train
from toolkit.compute.engine import choose_engine
from toolkit.directions import DirectionSet
from toolkit.errors import UserError
from toolkit.files.driving import carry_out
from toolkit.files.shipped import recorded_name
from toolkit.files.workplace import temporary_folder
from toolkit.hub.provenance import shared_inputs
from toolkit.pictures.any_photo import Photo, as_photo
from toolkit.pictures.photo_folder import list_photos, photos_digest, require_outside
from toolkit.pictures.photos import read_squares, square, usual_side
from toolkit.screen import watch_of
from toolkit.untrusted.bg_direction import named_directions
from toolkit.watch import Watch

AnyDirections = DirectionSet | str | os.PathLike[str]
Where = str | os.PathLike[str]


def synthesize(
    directions: AnyDirections,
    *,
    generator: AnyGenerator | None = None,
    direction: str | int | None = None,
    alpha: float | None = None,
    layers: str | None = None,
    embeddings: Where | None = None,
    samples: int | None = None,
    settings: SynthesizeSettings | None = None,
    device: str = "auto",
    precision: str = "auto",
    **changes: Any,
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Return an iterator over batches of images (B, 3, H, W) in [-1, 1] and masks (B, H, W) bool, on the device.

    They come without an end, or `samples` of them; pair i of a seed is that of `toolkit synthesize`. Direction, length,
    mask rule, and the layers moved, such as "0-3,7", are those of the set unless passed. `changes` are fields of
    SynthesizeSettings, such as `batch=32`. UserError, before the first batch, for what does not go together.

    >>> images, masks = next(synthesize("flowers64", batch=4))
    >>> images.shape, masks.shape
    (torch.Size([4, 3, 64, 64]), torch.Size([4, 64, 64]))
    """
    counted = {} if samples is None else {"samples": samples}
    chosen = SynthesizeSettings.of(settings, None, {**counted, **changes})
    endless = samples is None and settings is None
    engine = choose_engine(device, precision)
    source = _source(directions, generator, direction, alpha, layers, embeddings, chosen)
    masking = source.settled(chosen).masking()
    gan, shift = source.generator.to(engine.device), source.shift.to(engine.device)
    latents = latent_source(gan, masking, source.latents)
    synthesizer = MaskSynthesizer(gan, shift, masking, latents, STREAM, engine)
    return _batches(synthesizer, chosen.batch, None if endless else chosen.samples)


def _batches(
    synthesizer: MaskSynthesizer, batch: int, count: int | None
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    done = 0
    while count is None or done < count:
        made = synthesizer.batch(batch)[: None if count is None else count - done]
        done += len(made)
        yield made.images, made.masks


def segment(
    directions: AnyDirections,
    *,
    generator: AnyGenerator | None = None,
    direction: str | int | None = None,
    alpha: float | None = None,
    layers: str | None = None,
    embeddings: Where | None = None,
    out: Where | None = None,
    preset: str = "quick",
    settings: SegmentationSettings | None = None,
    device: str = "auto",
    precision: str = "auto",
    progress: bool = False,
    **changes: Any,
) -> Segmenter:
    """Return a U-Net trained on synthetic images and the masks that a direction gives.

    Direction, length, mask rule, and the layers moved, such as "0-3,7", are those of the set unless passed. The preset
    "quick" takes four minutes of a CPU core at 64 pixels, "paper" half a day; `changes` are fields of
    SegmentationSettings, such as `steps=600`. In the folder `out` it leaves what `toolkit segment` leaves, and the same
    call resumes it.

    >>> segment("flowers64", steps=1, batch=2, width=4, validation_count=0)
    <Segmenter: U-Net of width 4, 53,134 parameters, for 64 pixels, on cpu>
    """
    chosen = SegmentationSettings.of(settings, preset, changes)
    engine, watch = choose_engine(device, precision, out).for_training("auto", chosen.steps), watch_of(progress)
    source = _source(directions, generator, direction, alpha, layers, embeddings, chosen, watch)
    chosen = source.settled(chosen)
    gan = source.generator.to(engine.device)
    latents = latent_source(gan, chosen, source.latents)
    if out is not None:
        work = SegmentationRun(gan, source.shift, chosen, engine, latents, source.inputs, source.name)
        carry_out(work, Path(out), watch)
        return Segmenter.load(out)
    state = SegmentationState.start(gan, source.shift, chosen, engine, latents)
    with watch.bar("training", chosen.steps) as advance:
        for step in train(state, chosen, engine):
            advance(1, f"loss {float(step.loss):.3f}")
    made = {**source.inputs, "direction_name": source.name}
    card = {"source": made, "steps": state.step, "settings": chosen.defining()}
    return Segmenter(state.network.cpu(), min(image_shape(gan)), card)


def self_train(
    segmenter: AnySegmenter,
    photos: Where | Iterable[Photo],
    *,
    out: Where | None = None,
    settings: SelfTrainingSettings | None = None,
    device: str = "auto",
    precision: str = "auto",
    progress: bool = False,
    **changes: Any,
) -> Segmenter:
    """Return a segmenter taught by another one's best answers on photos without labels: a folder, or photos themselves.

    `changes` are fields of SelfTrainingSettings, such as `rounds=1`. In the folder `out` it leaves what
    `toolkit self-train` leaves, and the same call resumes it. UserError when too few masks are fit to train on.

    >>> self_train("flowers64", "my-photos", rounds=1)  # doctest: +SKIP
    <Segmenter: U-Net of width 32, 3,352,290 parameters, for 128 pixels, on cpu>
    """
    chosen = SelfTrainingSettings.of(settings, None, changes)
    engine, watch = choose_engine(device, precision, out), watch_of(progress)
    teacher = as_segmenter(segmenter).to(engine.device)
    pixels, inputs = _squares(photos, partial(chosen.side_for, teacher.image_size), out, watch)
    inputs = {"model": _named(segmenter), "model_digest": teacher.digest(), **inputs}
    with temporary_folder() as folder:
        where = folder / "run" if out is None else Path(out)
        return rounds(teacher, pixels, chosen, engine, where, inputs, None, watch)


def _named(segmenter: AnySegmenter) -> str:
    if isinstance(segmenter, Segmenter):
        return "a segmenter in memory"
    return recorded_name(segmenter, "segmenters")


def _source(
    directions: AnyDirections,
    generator: AnyGenerator | None,
    direction: str | int | None,
    alpha: float | None,
    layers: str | None,
    embeddings: Where | None,
    chosen: SynthesizeSettings | SegmentationSettings,
    watch: Watch | None = None,
) -> MaskSource:
    """Return what pairs are made of; UserError where the parts do not go together."""
    opened = directions if isinstance(directions, DirectionSet) else named_directions(directions)
    shift = opened.resolve(direction, alpha)
    gan, inputs = generator_for(opened if layers is None else opened.moving(None), generator)
    if layers is not None:
        shift = fitting(opened, gan, layers).resolve(direction, alpha)
    file = None if embeddings is None else Path(embeddings)
    inputs = {**inputs, **shared_inputs("directions", opened.card)}
    return MaskSource.along(shift, gan, inputs, chosen.mask_rule, file, watch or watch_of(False), chosen.max_area)


def _squares(
    photos: Where | Iterable[Photo], side_for: Callable[[int], int], out: Where | None, watch: Watch
) -> tuple[np.ndarray, dict[str, str]]:
    """Return the photos' centre squares, uint8 (N, side, side, 3), and how runs record the photos.

    The side is `side_for` the photos' usual one.
    """
    if isinstance(photos, str | os.PathLike):
        folder = Path(photos)
        if out is not None:
            require_outside(Path(out), folder)
        paths = list_photos(folder)
        record = {"photos": str(folder.resolve()), "photos_digest": photos_digest(paths, folder)}
        return read_squares(paths, side_for(usual_side(paths)), watch).permute(0, 2, 3, 1).numpy(), record
    held = [as_photo(photo) for photo in photos]
    if not held:
        raise UserError("there are no photos; pass a folder of them, or some")
    side = side_for(usual_side(held))
    pixels = np.stack([square(photo, side) for photo in held])
    return pixels, {"photos": f"{len(held)} in memory", "photos_digest": _digest(pixels)}


def _digest(pixels: np.ndarray) -> str:
    return hashlib.sha256(pixels.tobytes()).hexdigest()[:16]
