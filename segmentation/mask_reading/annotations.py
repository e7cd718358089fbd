"""Masks and true things from a file of COCO annotations, as those of picture files are read beside it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segmentation.evaluate.settings import EvaluationSettings
from segmentation.mask_reading.codes import Codes, parse_codes, shown
from segmentation.mask_reading.reading import MaskReading, Over, Truth, resized, sizes_differ
from segmentation.objects.average_precision import TrueObjects
from segmentation.objects.coco_reading import CocoAnnotation, CocoFile
from segmentation.objects.runs import painted
from toolkit.compute.team import SOLO, Team
from toolkit.errors import Line, UserError, named


@dataclass(frozen=True)
class AnnotatedMasks:
    """Reads the masks of one file of annotations: the union of an image's things, crowds ignored.

    `objects` and `ignored` are the categories that are object, and those left out of every figure; None: all.
    """

    file: CocoFile
    settings: EvaluationSettings
    objects: frozenset[int] | None
    ignored: frozenset[int]
    crowds_count: bool = False
    empty: frozenset[Path] = frozenset()  # masks that hold nothing but what is ignored; never, since ground is there
    plain: bool = False

    @classmethod
    def of(
        cls, file: CocoFile, paths: Sequence[Path], settings: EvaluationSettings, team: Team = SOLO, over: Over = iter
    ) -> "AnnotatedMasks":
        """Return how the masks `paths` of a file are to be read, after looking at all of them; see MaskReading.of."""
        objects, ignored = _categories(settings.object, "object"), _categories(settings.ignore, "ignore")
        if objects is not None and not objects.numbers & file.categories:
            held = shown(file.categories, "grey") if file.categories else "none"
            raise UserError(
                f"{named('object', settings.object)} names no category that is used in {file.path}: {held}; name these"
            )
        team.together(lambda: [file.images[path].spans() and None for path in over(paths[team.rank :: team.size])])
        return cls(
            file,
            settings,
            None if objects is None else objects.numbers,
            frozenset() if ignored is None else ignored.numbers,
            settings.ignore == "none",
        )

    @property
    def words(self) -> Line:
        """Return how the masks are read, for results and the screen."""
        chosen = (
            "" if self.objects is None else f" of the categories {named('object', words='the setting object')} names"
        )
        strays = f"; {self.file.strays} of images that are not in the file" if self.file.strays else ""
        inverted = "; inverted" if self.settings.invert else ""
        held = any(one.crowd for image in self.file.images.values() for one in image.annotations)
        crowds = f", crowds {'counted' if self.crowds_count else 'ignored'}" if held else ""
        return Line(f"COCO annotations{chosen}{crowds}{strays}{inverted}")

    def truth(self, path: Path, image: Path, size: tuple[int, int]) -> Truth:
        """Return the mask of the picture `image`, which is `size` = (height, width); see MaskReading.truth."""
        held = self.file.images[path]
        spans: dict[bool, list[np.ndarray]] = {True: [], False: []}
        for annotation, own in zip(held.annotations, held.spans(), strict=True):
            if self._is_ignored(annotation) or self._is_object(annotation):
                spans[self._is_object(annotation)] += own
        mask = painted(spans[True], held.shape)
        ignored = painted(spans[False], held.shape) & ~mask
        if held.shape != size:
            if not self.settings.resize_masks:
                raise sizes_differ(path, held.shape, image, size)
            mask, ignored = (resized(each, size) for each in (mask, ignored))
        mask = ~mask & ~ignored if self.settings.invert else mask
        return Truth(mask, ignored if ignored.any() else None)

    def true_objects(self, path: Path, image: Path, size: tuple[int, int]) -> TrueObjects:
        """Return the things of the picture `image`; those of ignored categories are crowds."""
        held = self.file.images[path]
        if held.shape != size:
            raise sizes_differ(path, held.shape, image, size)
        kept = [
            (annotation, own)
            for annotation, own in zip(held.annotations, held.spans(), strict=True)
            if self._is_ignored(annotation) or self._is_object(annotation)
        ]
        crowds = [not self._is_object(annotation) for annotation, _ in kept]
        return TrueObjects([_joined(own) for _, own in kept], np.array(crowds, bool))

    def _is_ignored(self, annotation: CocoAnnotation) -> bool:
        if annotation.category in self.ignored:
            return True
        wanted = self.objects is None or annotation.category in self.objects
        return wanted and annotation.crowd and not self.crowds_count

    def _is_object(self, annotation: CocoAnnotation) -> bool:
        wanted = self.objects is None or annotation.category in self.objects
        return wanted and not self._is_ignored(annotation)


Masks = MaskReading | AnnotatedMasks


def _categories(text: str | None, name: str) -> Codes | None:
    found = None if text is None else parse_codes(text, named(name))
    if found is not None and (found.colours or found.alpha):
        raise UserError(f"{named(name, text)} names a colour or alpha, but annotations have numbers of categories")
    return found


def _joined(spans: list[np.ndarray]) -> np.ndarray:
    """Return the union of spans as one: of several outlines, which may overlap."""
    if len(spans) == 1:
        return spans[0]
    depth = Counter[int]()
    for first, last in np.concatenate(spans).tolist():
        depth[first] += 1
        depth[last] -= 1
    found, open_, start = [], 0, 0
    for place in sorted(depth):
        before, open_ = open_, open_ + depth[place]
        if before == 0 and open_ > 0:
            start = place
        elif before > 0 and open_ == 0:
            found.append((start, place))
    return np.array(found, np.int64).reshape(-1, 2)
