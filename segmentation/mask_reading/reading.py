"""A folder's masks read by the rules that its files ask for; each file is decoded once where memory allows."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from segmentation.evaluate.settings import EvaluationSettings
from segmentation.mask_reading.files import Held, read_held
from segmentation.mask_reading.forms import Question, decide, kind_of
from segmentation.mask_reading.rules import BACKGROUND, IGNORED, OBJECT, Look, Rule
from segmentation.objects.average_precision import TrueObjects
from segmentation.objects.finding import find_objects
from segmentation.objects.runs import Runs
from segmentation.objects.settings import ObjectSettings
from toolkit.compute.team import SOLO, Team
from toolkit.errors import Line, UserError, named
from toolkit.pictures.photos import read_gray

_KEPT_BYTES = 2**26  # of masks packed to bits, so that they need not be decoded twice

Over = Callable[[Sequence[Path]], Iterable[Path]]


@dataclass(frozen=True)
class Truth:
    """A mask as read: which pixels are object, and which are left out of every figure; None where none are."""

    mask: np.ndarray
    ignored: np.ndarray | None = None


@dataclass(frozen=True)
class _Packed:
    """A mask of two codes, a bit a pixel: whether it is the higher one."""

    held: Held  # without codes
    bits: np.ndarray
    shape: tuple[int, ...]

    def classes(self, rule: Rule) -> np.ndarray:
        """Return what `rule` makes of the mask, uint8 (H, W)."""
        codes = np.array([min(self.held.counts), max(self.held.counts)], np.uint8)
        low, high = rule.classes(replace(self.held, codes=codes))
        found = np.unpackbits(self.bits, count=math.prod(self.shape)).reshape(self.shape)
        return found if (low, high) == (BACKGROUND, OBJECT) else np.array([low, high], np.uint8)[found]


@dataclass
class _Kept:
    """Masks of two codes, packed, as far as they fit."""

    size: int = 0
    packed: dict[Path, _Packed] = field(default_factory=dict)

    def put(self, path: Path, held: Held) -> None:
        size = held.codes.size // 8
        if held.alpha is None and held.codes.dtype == np.uint8 and len(held.counts) <= 2:
            if self.size + size > _KEPT_BYTES:
                return
            self.size += size
            bits = np.packbits(held.codes == max(held.counts))
            self.packed[path] = _Packed(replace(held, codes=np.empty(0)), bits, held.codes.shape)


@dataclass
class MaskReading:
    """Reads the masks of one folder, after `of` has looked at all of them."""

    rules: dict[str, Rule]
    settings: EvaluationSettings
    empty: frozenset[Path] = frozenset()  # masks that hold nothing but what is ignored
    numbered: frozenset[str] = frozenset()  # kinds of files whose codes each stand for a thing of its own
    _kept: _Kept = field(default_factory=_Kept)

    @classmethod
    def of(
        cls,
        paths: Sequence[Path],
        settings: EvaluationSettings | None = None,
        folder: Path | None = None,
        team: Team = SOLO,
        over: Over = iter,
    ) -> "MaskReading":
        """Return how masks are to be read, by looking at all of them; `over` is given the paths, to show progress.

        Each process of a `team` looks at every `team.size`-th one. UserError for masks that leave a doubt, or that
        cannot be read.
        """
        settings, kept = settings or EvaluationSettings(), _Kept()
        where = f"the masks below {folder}" if folder is not None else "the masks"
        question = Question(where, settings)

        def look() -> list[Look]:
            return [_look(path, settings, kept) for path in over(paths[team.rank :: team.size])]

        shares = team.together(look)
        looks = [shares[index % team.size][index // team.size] for index in range(len(paths))]
        rules = decide(looks, question)
        empty = [look.path for look in looks if _all_ignored(look, rules[kind_of(look, rules)])]
        numbered = frozenset(kind for kind, rule in rules.items() if _is_numbered(kind, rule, looks))
        return cls(rules, settings, frozenset(empty), numbered, kept)

    @property
    def words(self) -> Line:
        """Return how the masks are read, for results and the screen."""
        parts = list(dict.fromkeys(rule.words for rule in self.rules.values()))
        return Line("; ".join(parts) + ("; inverted" if self.settings.invert else ""))

    @property
    def plain(self) -> bool:
        """Tell whether there is nothing to say: black and white, white being object."""
        return all(rule.plain for rule in self.rules.values()) and not self.settings.invert

    def truth(self, path: Path, image: Path, size: tuple[int, int]) -> Truth:
        """Return the mask in `path` of the picture `image`, which is `size` = (height, width).

        A mask of another size is a UserError, or with the setting `resize_masks` brought to it by nearest neighbours.
        """
        classes = self._classes(path)
        if classes.shape != size:
            if not self.settings.resize_masks:
                raise sizes_differ(path, classes.shape, image, size)
            classes = resized(classes, size)
        if any(rule.ignored for rule in self.rules.values()) and (ignored := classes == IGNORED).any():
            return Truth((classes == BACKGROUND) if self.settings.invert else (classes == OBJECT), ignored)
        found = classes.view(bool)  # BACKGROUND and OBJECT are 0 and 1
        return Truth(~found if self.settings.invert else found)

    def _classes(self, path: Path) -> np.ndarray:
        kept = self._kept.packed.get(path)
        if kept is not None:
            return kept.classes(self.rules[_kind(path, kept.held, self.rules)])
        held = _held(path, self.settings)
        return self.rules[_kind(path, held, self.rules)].classes(held)

    def true_objects(self, path: Path, image: Path, size: tuple[int, int]) -> TrueObjects:
        """Return the things of the picture `image`; ignored pixels are one crowd.

        Where the masks of the folder have several codes for object each is a thing, else each connected part is one.
        """
        held = _held(path, self.settings)
        kind = _kind(path, held, self.rules)
        classes = self.rules[kind].classes(held)
        if classes.shape != size:
            raise sizes_differ(path, classes.shape, image, size)
        if kind in self.numbered:
            labels = np.where(classes == OBJECT, held.codes.astype(np.int64) + 1, 0)
        else:
            settings = ObjectSettings(self.settings.min_object)
            labels = find_objects((classes == OBJECT).astype(np.float32), settings=settings).labels
        runs = Runs.of(labels)
        spans = [runs.of_label(label).spans() for label in np.unique(runs.labels)]
        crowd = [Runs.of(classes == IGNORED).spans()] if (classes == IGNORED).any() else []
        return TrueObjects([*spans, *crowd], np.array([False] * len(spans) + [True] * len(crowd), bool))


def sizes_differ(path: Path, shape: tuple[int, ...], image: Path, size: tuple[int, int]) -> UserError:
    """Return what to say of a mask (H, W) of another size than its image."""
    return UserError(
        f"the mask {path} is {shape[1]} x {shape[0]} pixels, but {image} is {size[1]} x {size[0]}; give a mask of the "
        f"same size, or {named('resize_masks')}"
    )


def resized(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return a mask or classes at `size` = (height, width), by nearest neighbours."""
    return np.asarray(Image.fromarray(mask).resize((size[1], size[0]), Image.Resampling.NEAREST))


def _is_numbered(kind: str, rule: Rule, looks: Sequence[Look]) -> bool:
    codes = set().union(*(look.counts for look in looks if look.kind == kind)) - rule.ignored
    own = codes - {0} if rule.objects is None else codes & rule.objects
    return kind == "labels" or (rule.level is None and not rule.alpha and len(own) > 1)


def _look(path: Path, settings: EvaluationSettings, kept: _Kept) -> Look:
    held = _held(path, settings)
    kept.put(path, held)
    return Look.at(path, held)


def _held(path: Path, settings: EvaluationSettings) -> Held:
    return read_held(path, by_colour="#" in f"{settings.object}{settings.ignore}")


def _kind(path: Path, held: Held, rules: dict[str, Rule]) -> str:
    kind = kind_of(Look.at(path, held), rules)
    if kind not in rules:
        raise UserError(f"the mask {path} has changed since the masks were looked at; run the command again")
    return kind


def _all_ignored(look: Look, rule: Rule) -> bool:
    return bool(look.counts) and not set(look.counts) - rule.ignored


@dataclass
class MapReading:
    """Reads predicted maps: grey levels as they are, other forms as `decide` says."""

    rules: dict[str, Rule]
    question: Question

    @classmethod
    def of(cls, paths: Sequence[Path], folder: Path) -> "MapReading":
        """Return how maps are to be read, by looking at them until one is a grey map that reaches half white.

        UserError for maps that leave a doubt.
        """
        question = Question(f"the maps below {folder}", EvaluationSettings(), maps=True)
        looks: list[Look] = []
        for path in paths:
            looks.append(Look.at(path, read_held(path)))
            if _is_ordinary(looks[-1], question):
                break
        return cls(decide(looks, question), question)

    @property
    def notes(self) -> list[str]:
        """Return how maps are read, where that is not as plain grey levels."""
        return [rule.words for rule in self.rules.values() if not rule.plain]

    def levels(self, path: Path) -> np.ndarray:
        """Return a map as uint8 (H, W), 0 for black to 255 for white; UserError when it leaves a doubt."""
        held = read_held(path)
        look = Look.at(path, held)
        if kind_of(look, self.rules) not in self.rules:
            self.rules |= decide([look], self.question)
        rule = self.rules[kind_of(look, self.rules)]
        if rule.level is None:
            return (rule.classes(held) == OBJECT).astype(np.uint8) * 255
        return held.codes if held.codes.dtype == np.uint8 else read_gray(path)


def _is_ordinary(look: Look, question: Question) -> bool:
    return look.kind == "grey" and not look.alpha_varies and question.level <= max(look.counts) <= 255
