"""Predicting photos into a folder: their pictures, and the table of what was measured of them."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from segmentation.objects.coco_writing import is_recorded
from segmentation.predict.kinds import COCO, OBJECTS
from segmentation.predict.photos import Pictures, Predictor, predict_photos
from segmentation.predict.results import Making, PhotoResult, Results, earlier_rows, require_own
from toolkit.compute.team import SOLO, Team
from toolkit.errors import Line
from toolkit.files.workplace import workplace
from toolkit.files.writing import writable_folder
from toolkit.pictures.photos import read_photo
from toolkit.pictures.picture_files import Source
from toolkit.watch import SILENT, Watch

_SAVE_SECONDS = 20.0  # of rows that are lost when the process is killed; their photos are then predicted again
Targets = Mapping[Source, Path]


@dataclass(frozen=True)
class PredictionWork:
    """What is made of photos, and how; of a `team` each process writes the pictures of its share."""

    segmenter: Predictor
    pictures: Pictures
    making: Making
    out: Path
    bf16: bool = False
    skip_unreadable: bool = False
    team: Team = SOLO
    watch: Watch = SILENT

    def carry_out(self, targets: Targets, skip_existing: bool = False) -> Results:
        """Return the results of photos, {photo: output path without ending}, all of which are in the table then.

        With `skip_existing` photos stay as they are whose pictures and row are there. UserError for a folder that holds
        something else's results, or those of another segmenter or threshold while some are to be kept, and for a photo
        that cannot be read, unless those are skipped.
        """
        names = {source: _name(source, target, self.out) for source, target in targets.items()}
        kept = self.team.led(lambda: self._kept(targets, names, skip_existing))
        waiting = {source: target for source, target in targets.items() if names[source] not in kept}
        if waiting and not self.skip_unreadable:
            read_photo(next(iter(waiting)))  # before anything is made
        writable_folder(self.out)
        if waiting and OBJECTS in self.pictures.kinds:  # an older one may be of pictures that are about to be replaced
            self.team.led(lambda: (self.out / COCO).unlink(missing_ok=True))
        results = Results(self.making, list(names.values()), dict(kept), kept=len(kept), known=self.segmenter.known)
        self._predict(waiting, names, results)
        for rows, left_out in self.team.together(lambda: (results.rows, results.left_out)):
            results.rows |= rows
            results.left_out |= left_out
        self.team.led(lambda: self._save(results, targets, names))
        return results

    def _save(self, results: Results, targets: Targets, names: Mapping[Source, str]) -> None:
        results.save(self.out)
        if OBJECTS in self.pictures.kinds:
            pictures = {names[source]: self._labelled(target) for source, target in targets.items()}
            results.save_coco(self.out, pictures)

    def _labelled(self, target: Path) -> Path:
        """Return where a photo's labelled picture lies."""
        return self.pictures.paths(target)[list(self.pictures.kinds).index(OBJECTS)]

    def _kept(self, targets: Targets, names: Mapping[Source, str], skip_existing: bool) -> dict[str, PhotoResult]:
        """Return the rows of photos of which everything is there."""
        require_own(self.out)
        if not skip_existing:
            return {}
        rows = earlier_rows(self.out, self.making)
        return {
            names[source]: rows[names[source]]
            for source, target in targets.items()
            if names[source] in rows and self._is_whole(target)
        }

    def _is_whole(self, target: Path) -> bool:
        """Return whether all pictures of a photo are there, and with them what one file has of all photos' things."""
        if not all(map(Path.is_file, self.pictures.paths(target))):
            return False
        return OBJECTS not in self.pictures.kinds or is_recorded(self._labelled(target))

    def _predict(self, waiting: Targets, names: Mapping[Source, str], results: Results) -> None:
        """Predict this process's share of the photos and note down what came of each."""
        own = dict(list(waiting.items())[self.team.rank :: self.team.size])
        with workplace(self.out) as place, self._saving(results) as save:
            pictures = replace(self.pictures, place=place)
            job = predict_photos(
                self.segmenter, own, pictures, self.making.refine, self.bf16, go_on=self.skip_unreadable
            )
            bar = self.watch.bar("predicting", len(own), unit="photos")
            with bar as advance, contextlib.closing(job):  # waits for its threads
                for source, outcome in job:
                    if isinstance(outcome, PhotoResult):
                        results.rows[names[source]] = outcome
                    elif self.skip_unreadable:
                        results.left_out[names[source]] = Line(outcome.marked)
                    else:
                        raise outcome
                    advance()
                    save()

    @contextlib.contextmanager
    def _saving(self, results: Results) -> Iterator[Callable[[], None]]:
        """Yield what saves the leading process's results now and then; they are saved before, and where it ends early.

        Before, since an older table may hold rows of pictures that are about to be replaced.
        """
        saved = -_SAVE_SECONDS

        def save(least: float = _SAVE_SECONDS) -> None:
            nonlocal saved
            if self.team.lead and time.monotonic() - saved >= least:
                results.save(self.out)
                saved = time.monotonic()

        save(0)
        try:
            yield save
        except BaseException:
            save(0)
            raise


def _name(source: Source, target: Path, out: Path) -> str:
    """Return a photo's path in the folder that was named, from where its pictures go."""
    place = target.relative_to(out).as_posix()
    return place + source.suffix if isinstance(source, Path) else place
