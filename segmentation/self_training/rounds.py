"""Self-training round by round: masks of photos by the teacher, and a new network trained on those that are fit."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from segmentation.predict.segmenter import Segmenter
from segmentation.self_training.pseudo_masks import (
    VIEWS,
    PseudoMasks,
    cuts_of,
    join,
    probabilities,
    pseudo_masks,
    training_set,
)
from segmentation.self_training.settings import SelfTrainingSettings
from segmentation.self_training.training import MaskedPhotos, SelfTrainingState, train
from segmentation.unet.run import Measure, last_figures, log_training
from segmentation.unet.training import SegmentationStep
from toolkit.compute.engine import Engine
from toolkit.errors import UserError
from toolkit.files.artefacts import load_artefact, save_artefact
from toolkit.files.driving import Work, carry_out
from toolkit.files.runs import RunFolder
from toolkit.pictures.outlines import overlay
from toolkit.pictures.photos import write_picture
from toolkit.pictures.pixels import GREEN, RED, grid
from toolkit.watch import SILENT, Watch

_SHOWN = 48
_CUTS = "cuts of photos"
_ENOUGH = 0.4  # share of fit masks; of flowers .85 are fit, of butterflies .82


@dataclass
class SelfTrainingRound(Work[SelfTrainingState, SegmentationStep]):
    """Round `number`: masks of photos uint8 (N, S, S, 3) by the teacher and cuts (N, VIEWS, S, S), and their student.

    It trains at `side` pixels, S at most. `source` names, as text, the first teacher and the photos.
    """

    number: int
    teacher: Segmenter
    photos: np.ndarray
    cuts: np.ndarray
    settings: SelfTrainingSettings
    engine: Engine
    source: dict[str, str]
    side: int
    measure: Measure | None = None
    student: Segmenter | None = None
    extendable: tuple[str, ...] = ()

    @property
    def inputs(self) -> dict[str, str]:  # type: ignore[override]
        """Return the teacher, the photos and the round."""
        return {**self.source, "round": str(self.number)}

    def start(self, run: RunFolder, watch: Watch) -> SelfTrainingState:
        """Make the masks, which takes seconds a thousand photos and gives the same ones when resumed."""
        self.masks = make_masks(self.teacher, self.photos, self.cuts, self.settings, self.engine, watch)
        picture = run.path / "masks.png"
        _draw(self.photos, self.masks, picture)
        watch.say(f"round {self.number} of {self.settings.rounds}: masks {self.masks.describe()}")
        if self.masks.kept.mean() < _ENOUGH:
            watch.say(
                f"warning: {self.masks.kept.mean():.0%} of the masks are fit to train on; where the segmenter and "
                f"colours agree so rarely the result can be worse than the start: compare, and look at {picture}"
            )
        self.masked = MaskedPhotos(*training_set(self.photos, self.masks, self.side), self.settings.batch)
        return SelfTrainingState.start(self.settings, self.engine)

    def steps(self, state: SelfTrainingState) -> Iterator[SegmentationStep]:
        """Return the training loop."""
        return train(state, self.masked, self.settings, self.engine)

    def attend(self, state: SelfTrainingState, step: SegmentationStep, last: bool, run: RunFolder) -> str | None:
        """Log what is due."""
        due = step.step % self.settings.log_every == 0 or last
        measure = self.measure if step.step % self.settings.validate_every == 0 or last else None
        return log_training(step, run, due, "held_out", measure, state.learnt)

    def conclude(self, state: SelfTrainingState, run: RunFolder, watch: Watch) -> None:
        """Write the student and its figures."""
        figures = {**last_figures(run, "held_out"), "kept_share": float(self.masks.kept.mean())}
        card = {"source": self.source, "round": self.number, "settings": self.settings.defining(), "figures": figures}
        self.student = Segmenter(state.learnt, self.side, card)
        self.student.save(run.path / "segmenter.safetensors")
        run.finish({**figures, "steps": state.step})


def self_train(
    teacher: Segmenter,
    photos: np.ndarray,
    settings: SelfTrainingSettings,
    engine: Engine,
    out: Path,
    inputs: dict[str, str],
    measure_at: Callable[[int], Measure] | None = None,
    watch: Watch = SILENT,
) -> Segmenter:
    """Return the student of the last round, after all rounds in folders of `out`; what is finished is read again.

    photos (N, S, S, 3) uint8, S being `settings.side_for` teacher and photos; `inputs` names, as text, the teacher and
    the photos; `measure_at` a side gives figures of a network of that side on photos with masks. UserError where `out`
    holds another run or too few masks are fit to train on.
    """
    given = {**inputs, **engine.identity()}
    if (out / "round1" / "run.json").exists():  # its record is the first that a changed command would not fit
        RunFolder.open(out / "round1", settings, {**given, "round": "1"}, engine.describe()).close()
    run = RunFolder.open(out, settings, given, engine.describe())
    if run.result is not None:
        run.close()
        watch.say(f"{out} is finished already")
        return Segmenter.load(out)
    first_side = teacher.image_size
    cuts = make_cuts(photos, settings, out / "cuts.safetensors", watch)
    figures: dict[str, float] = {}
    for number in range(1, settings.rounds + 1):
        side = settings.side_of_round(number, first_side, photos.shape[1])
        measure = None if measure_at is None else measure_at(side)
        inner = SelfTrainingRound(number, teacher, photos, cuts, settings, engine, given, side, measure)
        folder = out / f"round{number}"
        try:
            figures = carry_out(inner, folder, watch).result or {}
        except UserError as error:
            if number == 1:
                raise
            before = out / f"round{number - 1}"
            raise UserError(f"round {number}: {error.marked}; the segmenter of the round before is {before}") from error
        teacher = inner.student or Segmenter.load(folder).to(engine.device)
    teacher = teacher.familiar_with(list(photos), watch)
    teacher.save(out / "segmenter.safetensors")
    run.finish({"photos": len(photos), **figures, "steps": settings.rounds * settings.steps})
    return teacher


def make_cuts(
    photos: np.ndarray, settings: SelfTrainingSettings, kept_in: Path | None = None, watch: Watch = SILENT
) -> np.ndarray:
    """Return the second opinion (N, VIEWS, S, S) bool on photos uint8 (N, S, S, 3), which all rounds share.

    It is kept in a file, one bit a pixel, since it takes minutes and a resumed run would make the same again.
    """
    if kept_in is not None and kept_in.exists():
        return _unpacked(kept_in, photos.shape[:3])
    threads, parts = torch.get_num_threads(), []
    with watch.bar("cutting photos", len(photos), unit="photos") as advance:
        for start in range(0, len(photos), settings.batch):
            batch = photos[start : start + settings.batch]
            parts.append(cuts_of(batch, settings, threads))
            advance(len(batch))
    cuts = np.concatenate(parts)
    if kept_in is not None:
        save_artefact(kept_in, _CUTS, {"cuts": torch.from_numpy(np.packbits(cuts, axis=3))}, {})
    return cuts


def _unpacked(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    packed = load_artefact(path, _CUTS)[0].get("cuts", torch.zeros(0))
    if packed.dtype != torch.uint8 or packed.shape != (shape[0], VIEWS, shape[1], -(-shape[2] // 8)):
        raise UserError(f"{path} does not fit the photos of this run; delete it, and they are cut again")
    return np.unpackbits(packed.numpy(), axis=3, count=shape[2]).astype(bool)


def make_masks(
    teacher: Segmenter,
    photos: np.ndarray,
    cuts: np.ndarray,
    settings: SelfTrainingSettings,
    engine: Engine,
    watch: Watch = SILENT,
) -> PseudoMasks:
    """Return the masks of photos uint8 (N, S, S, 3) with cuts (N, VIEWS, S, S), made batch by batch."""
    parts = []
    with watch.bar("making masks", len(photos), unit="photos") as advance:
        for start in range(0, len(photos), settings.batch):
            rows = slice(start, start + settings.batch)
            parts.append(pseudo_masks(cuts[rows], probabilities(teacher, photos[rows], engine), settings))
            advance(len(photos[rows]))
    return join(parts)


def _draw(photos: np.ndarray, masks: PseudoMasks, path: Path) -> None:
    """Write a picture of photos under their masks, the kept ones outlined in green, those left out in red."""
    rows = np.arange(len(photos))[:: max(1, len(photos) // _SHOWN)][:_SHOWN]
    shown = [overlay(photos[i], masks.masks[i], GREEN if masks.kept[i] else RED) for i in rows]
    write_picture(path, grid(np.stack(shown), 12))
