"""Predictions measured against masks: image by image, then figures, rows and pictures of the data set."""

import contextlib
import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from segmentation.evaluate.ahead import Many, one_by_one, predicted_ahead
from segmentation.evaluate.measures import BETA_SQUARED, DEFINITIONS, IGNORED_DEFINITION, stretched
from segmentation.evaluate.outlines import EdgeProfiles, edge_profile, shrunk
from segmentation.evaluate.pairs import Pair, Pairs, pair_folders
from segmentation.evaluate.scores import Tally, odd_readings, score_image
from segmentation.evaluate.settings import EvaluationSettings
from segmentation.mask_reading.annotations import AnnotatedMasks, Masks
from segmentation.mask_reading.reading import MapReading, MaskReading, Over, Truth
from segmentation.objects.average_precision import OBJECT_DEFINITIONS, ObjectTally
from segmentation.objects.finding import find_objects
from segmentation.objects.settings import ObjectSettings
from toolkit.command_line import as_flags
from toolkit.compute.team import SOLO, Team
from toolkit.errors import Line, UserError, named
from toolkit.files.names import written_name
from toolkit.pictures.photos import read_photo

Predictor = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Scored:
    """One image that was measured: its pair, and its figures by name."""

    pair: Pair
    figures: dict[str, float]


@dataclass
class Evaluation:
    """An evaluation under way: iterate over it to measure image after image, then ask for the results.

    It holds a few images at a time and 2 KB of figures for each image measured (segmentation.evaluate.ahead). Asking
    for results measures first whatever is still to be measured. Of a `team` each process measures every
    `team.size`-th image; all have to ask for results, and get the same.
    """

    dataset: str
    pairs: Pairs
    predict: Predictor
    protocol: str
    masks: Masks
    settings: EvaluationSettings = field(default_factory=EvaluationSettings)
    read: Callable[[Path], np.ndarray] = read_photo
    team: Team = SOLO
    maps: MapReading | None = None
    many: Many | None = None
    _tally: Tally = field(default_factory=Tally)  # of this process's images, as are the next four
    _empty_truths: int = 0
    _ignored_pixels: int = 0
    _edges: EdgeProfiles = field(default_factory=EdgeProfiles)
    _objects: ObjectTally = field(default_factory=ObjectTally)

    def __repr__(self) -> str:
        known = ""
        if "_finished" in vars(self):
            figures = self.measures
            known = "".join(f", {name} {figures[name]:.3f}" for name in ("iou", "accuracy", "max_f"))
        return f"<Evaluation of {self.dataset}: {len(self.pairs)} images{known}>"

    @property
    def _own(self) -> range:
        return range(self.team.rank, len(self.pairs), self.team.size)

    def __len__(self) -> int:
        return len(self._own)

    def __iter__(self) -> Iterator[Scored]:
        pairs = [self.pairs[index] for index in self._own[len(self._tally) :]]
        job = predicted_ahead(pairs, self.read, self.masks, self.many or one_by_one(self.predict))
        with contextlib.closing(job):
            for (pair, truth), picture, probability in job:
                yield self._measure(pair, truth, picture, shrunk(probability, self.settings.inset))

    def _measure(self, pair: Pair, truth: Truth, picture: np.ndarray, probability: np.ndarray) -> Scored:
        threshold, stretch, reach = self.settings.threshold, self.settings.stretch, self.settings.boundary_tolerance
        scores = score_image(probability, truth.mask, threshold, stretch, truth.ignored, reach)
        self._empty_truths += not truth.mask.any()
        self._ignored_pixels += 0 if truth.ignored is None else int(np.count_nonzero(truth.ignored))
        # Maps have no photos beside them, and what a trimap leaves open is ignored already, not taken for ground.
        if self.maps is None and truth.ignored is None:
            self._edges.add(edge_profile(picture, truth.mask))
        if self.settings.objects:
            self._measure_objects(pair, probability)
        self._tally.add(scores)
        return Scored(pair, scores.figures)

    def _measure_objects(self, pair: Pair, probability: np.ndarray) -> None:
        height, width = probability.shape
        settings = ObjectSettings(self.settings.min_object, self.settings.neck)
        values = stretched(probability) if self.settings.stretch else probability
        found = find_objects(values, self.settings.threshold, settings)
        self._objects.add(found, self.masks.true_objects(pair.mask, pair.image, (height, width)))

    def measured(self, pair: Pair) -> tuple[np.ndarray, np.ndarray, Truth]:
        """Return a pair's picture uint8 (H, W, 3), its probability (H, W) in [0, 1] as compared, and its truth."""
        picture = self.read(pair.image)
        truth = self.masks.truth(pair.mask, pair.image, (picture.shape[0], picture.shape[1]))
        return picture, shrunk(self.predict(picture), self.settings.inset), truth

    def notes(self) -> list[str]:
        """Return lines to show before measuring: which files are left out, and how masks and maps are read."""
        masks = [] if self.masks.plain else [Line(f"masks read as {self.masks.words.marked}")]
        maps = [] if self.maps is None else [f"maps read as {words}" for words in self.maps.notes]
        return [*self.pairs.notes(), *masks, *maps]

    def warnings(self) -> list[str]:
        """Return lines to show with the figures, where these say less than they seem to."""
        done = self._finished
        return [*odd_readings(done.tally, self.masks.words), *done.edges.warnings(self.settings.inset)]

    @property
    def measures(self) -> dict[str, float]:
        """Return the figures of the data set by name: iou, accuracy, max_f, mae and so on."""
        return self._finished.tally.summary()

    @property
    def objects(self) -> dict[str, Any] | None:
        """Return the figures of single things, and how many there are; None where they were not asked for."""
        if not self.settings.objects:
            return None
        tally = self._finished.objects
        return {**tally.figures(), "true": tally.true, "predicted": tally.predicted, "photos_with_things": tally.photos}

    def result(self) -> dict[str, Any]:
        """Return what `result.json` holds: data set, number of images, measures, definitions, protocol."""
        tally, empty_truths, ignored_pixels, edges, _ = self._finished
        things = {} if self.objects is None else {"objects": {**self.objects, "definitions": OBJECT_DEFINITIONS}}
        return {
            "dataset": written_name(self.dataset),
            "images": len(self.pairs),
            "empty_masks": empty_truths,
            "masks": {
                "read_as": as_flags(self.masks.words),  # with the words that ask for it again
                "ignored_pixels": ignored_pixels,
                "definition_of_ignored": IGNORED_DEFINITION,
                **({"edges_of_photos": edges.as_dict()} if self.maps is None else {}),
            },
            "images_without_mask": len(self.pairs.unpaired_images),
            "masks_without_image": len(self.pairs.extra_masks),
            "measures": tally.summary(),
            "best_threshold": tally.best_threshold,
            **things,
            "definitions": DEFINITIONS,
            "protocol": {
                "prediction": self.protocol,
                "beta_squared": BETA_SQUARED,
                **self.settings.as_dict(),
            },
        }

    def rows(self) -> list[dict[str, Any]]:
        """Return one row an image: its name, its figures, and `f` at the data set's best threshold."""
        tally = self._finished.tally
        figures = zip(self.pairs, tally.figures, tally.best_f(), strict=True)
        return [{"name": written_name(pair.name), **row, "f": f} for pair, row, f in figures]

    @cached_property
    def _finished(self) -> "_Finished":
        """Return what all images gave, in order."""

        def measure() -> _Finished:
            for _ in self:
                pass
            return _Finished(self._tally, self._empty_truths, self._ignored_pixels, self._edges, self._objects)

        tallies, empty, ignored, edges, objects = zip(*self.team.together(measure), strict=True)
        joined = EdgeProfiles.joined(list(edges))
        return _Finished(Tally.dealt(list(tallies)), sum(empty), sum(ignored), joined, ObjectTally.dealt(objects))


class _Finished(NamedTuple):
    """The figures of images, of how many the truth is empty, what was left out, where edges lie, and single things."""

    tally: Tally
    empty_truths: int
    ignored_pixels: int
    edges: EdgeProfiles
    objects: ObjectTally


def evaluate(
    pairs: Pairs,
    predict: Predictor,
    dataset: str,
    protocol: str,
    settings: EvaluationSettings | None = None,
    team: Team = SOLO,
    masks: Masks | None = None,
    over: Over = iter,
    many: Many | None = None,
) -> Evaluation:
    """Return the evaluation of `predict`, photo uint8 (H, W, 3) -> probability (H, W) in [0, 1], on pairs.

    `many` does the same to many photos, (key, photo) -> (key, photo, probability) in order, where that is faster.

    The masks are looked at, unless `masks` has done so, but nothing is measured yet: iterate for progress, or ask for
    the result at once. `protocol` is the sentence on how `predict` predicts that the result carries; `over` is given
    the masks' paths, to show progress. UserError when there are no pairs, or masks that cannot be read for certain.
    """
    settings = settings or EvaluationSettings()
    pairs, masks = read_masks(pairs, settings, team, over) if masks is None else (pairs, masks)
    return Evaluation(dataset, pairs, predict, protocol, masks, settings, team=team, many=many)


def read_masks(
    pairs: Pairs, settings: EvaluationSettings | None = None, team: Team = SOLO, over: Over = iter
) -> tuple[Pairs, Masks]:
    """Return how the pairs' masks are read, and the pairs less those of which no pixel is to be measured."""
    if not pairs:
        raise UserError("there are no images to evaluate; name a folder of images and one of masks")
    paths = [pair.mask for pair in pairs]
    masks: Masks
    if pairs.annotations is not None:
        masks = AnnotatedMasks.of(pairs.annotations, paths, settings or EvaluationSettings(), team, over)
    else:
        masks = MaskReading.of(paths, settings, pairs.masks_folder, team, over)
    measured = pairs.without_masks(masks.empty, "masks that hold nothing but ignored pixels")
    if not measured:
        raise UserError(
            f"the {len(pairs)} masks hold nothing but ignored pixels; ignore other codes with {named('ignore')}"
        )
    return measured, masks


def evaluate_predictions(
    predictions: Path,
    masks: Path,
    dataset: str = "",
    settings: EvaluationSettings | None = None,
    team: Team = SOLO,
    over: Over = iter,
) -> Evaluation:
    """Return the evaluation of a folder of grey-level maps (black 0, white 1) against a folder of masks.

    `dataset` is the mask folder's name unless given. UserError as from `pair_folders`.
    """
    settings = settings or EvaluationSettings()
    pairs, masks_read = read_masks(pair_folders(predictions, masks, settings.ignore_unpaired), settings, team, over)
    maps = MapReading.of([pair.image for pair in pairs], Path(predictions))
    name, protocol = dataset or Path(masks).resolve().name, "grey levels of picture files / 255"

    def read(path: Path) -> np.ndarray:
        return np.repeat(maps.levels(path)[..., None], 3, axis=-1)

    return Evaluation(name, pairs, _level_probability, protocol, masks_read, settings, read, team, maps)


def _level_probability(picture: np.ndarray) -> np.ndarray:
    return picture[..., 0] / 255


def rows_csv(rows: Sequence[dict[str, Any]]) -> str:
    """Return rows as comma-separated text with a header line, figures with six decimals."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(rows[0])
    table.writerows([f"{cell:.6f}" if isinstance(cell, float) else cell for cell in row.values()] for row in rows)
    return text.getvalue()
