"""What predicting photos leaves beside their pictures: a table with a row a photo, and what holds for all of them.

result.csv    for spreadsheets: COLUMNS, one photo a row
result.json   how the masks were made, how many are odd, and which
objects.json  where things were asked for, those of all photos, as COCO has them
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from segmentation.objects.coco_writing import write_coco
from segmentation.predict.kinds import COCO, SUMMARY, TABLE
from segmentation.predict.unlike import is_unlike, unlike_line
from toolkit.command_line import command
from toolkit.errors import OUT, Line, UserError, named
from toolkit.files.names import read_back, written_name
from toolkit.files.writing import read_json, write_json, write_text
from toolkit.pictures.cutouts import strips
from toolkit.untrusted.text import is_there, read_text

COLUMNS = {
    "photo": "its path in the folder that was named; an apostrophe before it keeps a spreadsheet from calculating it",
    "width": "pixels",
    "height": "pixels",
    "area": "share of the photo that the mask covers",
    "confidence": "mean over pixels of the probability or one minus it, whichever is larger: 0.5 to 1",
    "x0": "first column of the mask; this and the next three are empty where there is none",
    "y0": "first row of the mask",
    "x1": "first column to its right",
    "y1": "first row below it",
    "note": "empty, or nearly everything: more than 95 % of the photo",
    "familiarity": "share of training photos at least as unusual; empty where the segmenter remembers none",
    "unlike": "yes where that is below 0.03: it looks unlike the training photos, whose masks say little about its own",
    "objects": "number of things found in the mask; empty where they were not asked for",
}
EMPTY, NEARLY_EVERYTHING = "empty", "nearly everything"
_SAID = {
    EMPTY: ("is empty", "are empty"),
    NEARLY_EVERYTHING: ("covers nearly everything", "cover nearly everything"),
}
_NEARLY = 0.95
_COMMAND = "predict"
_LARGEST = 1_000_000_000  # bytes of a table that is read again
_CALCULATED = ("=", "+", "-", "@", "\t", "＝", "＋", "－", "＠", "'")  # starts that spreadsheets act upon
_NAMED = 5


@dataclass(frozen=True)
class PhotoResult:
    """What is measured of one photo's prediction; `box` is x0, y0, x1, y1 in pixels, None where the mask is empty.

    `familiarity` is the share of training photos at least as unusual, None where the segmenter remembers none;
    `objects` is the number of things found, None where they were not asked for.
    """

    width: int
    height: int
    area: float
    confidence: float
    box: tuple[int, int, int, int] | None
    familiarity: float | None = None
    objects: int | None = None

    @classmethod
    def of(
        cls,
        probability: np.ndarray,
        threshold: float = 0.5,
        familiarity: float | None = None,
        objects: int | None = None,
    ) -> "PhotoResult":
        """Return that of a probability (H, W) in [0, 1], which is foreground where it is at least `threshold`."""
        height, width = probability.shape
        rows, columns = np.zeros(height, bool), np.zeros(width, bool)
        covered, certainty = 0, 0.0
        for part in strips(probability.shape):
            mask = probability[part] >= threshold
            covered += int(np.count_nonzero(mask))
            certainty += float(np.abs(probability[part] - 0.5).sum(dtype=np.float64))
            rows[part] = mask.any(axis=1)
            columns |= mask.any(axis=0)
        pixels = height * width
        box = _box(rows, columns)
        return cls(width, height, covered / pixels, 0.5 + certainty / pixels, box, familiarity, objects)

    @property
    def note(self) -> str:
        """Return what is odd about the mask, or nothing."""
        return EMPTY if self.box is None else NEARLY_EVERYTHING if self.area > _NEARLY else ""

    @property
    def unlike(self) -> bool:
        """Return whether the photo is known to look unlike the training photos."""
        return self.familiarity is not None and is_unlike(self.familiarity)

    def cells(self) -> list[str]:
        """Return its cells of the table."""
        box = ("",) * 4 if self.box is None else map(str, self.box)
        seen = ("", "") if self.familiarity is None else (f"{self.familiarity:.6f}", "yes" if self.unlike else "no")
        shares = (f"{self.area:.6f}", f"{self.confidence:.6f}")
        objects = "" if self.objects is None else str(self.objects)
        return [str(self.width), str(self.height), *shares, *box, self.note, *seen, objects]

    @classmethod
    def read(cls, cells: Mapping[str, str]) -> "PhotoResult":
        """Return what its cells hold, by column; ValueError for what is no such row."""
        corners = [cells[name] for name in ("x0", "y0", "x1", "y1")]
        box = None if not any(corners) else tuple(map(int, corners))
        area, confidence = float(cells["area"]), float(cells["confidence"])
        familiarity = float(cells["familiarity"]) if cells["familiarity"] else None
        objects = int(cells["objects"]) if cells.get("objects") else None  # a column that older tables lack
        size = int(cells["width"]), int(cells["height"])
        return cls(*size, area, confidence, box, familiarity, objects)  # type: ignore[arg-type]


def _box(rows: np.ndarray, columns: np.ndarray) -> tuple[int, int, int, int] | None:
    if not rows.any():
        return None
    (top, bottom), (left, right) = ((int(held[0]), int(held[-1]) + 1) for held in map(np.flatnonzero, (rows, columns)))
    return left, top, right, bottom


@dataclass(frozen=True)
class Making:
    """How masks were made; `background` is that of composites, where some were made.

    `min_object` and `neck` say how things were found in them (segmentation.objects.settings), where they were.
    """

    segmenter: str
    digest: str
    threshold: float
    refine: bool
    background: str | None = None
    min_object: float | None = None
    neck: float | None = None


@dataclass
class Results:
    """The results of photos: by their paths in the folders that were named, in order, and why others have none.

    `known` counts the training photos that their familiarity was measured against, 0 where it was not.
    """

    making: Making
    photos: Sequence[str]
    rows: dict[str, PhotoResult] = field(default_factory=dict)
    left_out: dict[str, Line] = field(default_factory=dict)
    kept: int = 0  # rows that were there before
    known: int = 0

    def save(self, folder: Path) -> None:
        """Write both files."""
        write_text(folder / TABLE, self.table())
        write_json(folder / SUMMARY, self.summary())

    def table(self) -> str:
        """Return the rows as comma-separated text with a header line."""
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(COLUMNS)
        table.writerows([_cell(photo), *self.rows[photo].cells()] for photo in self._done())
        return text.getvalue()

    def summary(self) -> dict[str, Any]:
        """Return what holds for all photos, as result.json has it."""
        return {
            "command": _COMMAND,
            **self._made(),
            "photos": len(self.rows),
            "empty": len(self.noted(EMPTY)),
            "nearly_everything": len(self.noted(NEARLY_EVERYTHING)),
            "unlike": len(self.unlike()),
            "objects": self.objects(),
            "warning": self.warning(),
            "left_out": len(self.left_out),
            "named": {
                "empty": [written_name(photo) for photo in self.noted(EMPTY)],
                "nearly_everything": [written_name(photo) for photo in self.noted(NEARLY_EVERYTHING)],
                "unlike": [written_name(photo) for photo in self.unlike()],
                "left_out": {written_name(photo): why for photo, why in self.left_out.items()},
            },
            "columns": COLUMNS,
        }

    def noted(self, note: str) -> list[str]:
        """Return the photos with that note."""
        return [photo for photo in self._done() if self.rows[photo].note == note]

    def unlike(self) -> list[str]:
        """Return the photos that look unlike the training photos."""
        return [photo for photo in self._done() if self.rows[photo].unlike]

    def objects(self) -> int | None:
        """Return how many things there are in all photos; None where they were not asked for."""
        counts = [self.rows[photo].objects for photo in self._done()]
        return None if self.making.min_object is None else sum(count for count in counts if count is not None)

    def save_coco(self, folder: Path, pictures: Mapping[str, Path]) -> None:
        """Write the things of all photos, whose labelled pictures are named by photo."""
        done = ((photo, (self.rows[photo].width, self.rows[photo].height), pictures[photo]) for photo in self._done())
        write_coco(folder / COCO, done, {"description": f"things that {command(_COMMAND)} found", **self._made()})

    def _made(self) -> dict[str, Any]:
        return {name: written_name(v) if isinstance(v, str) else v for name, v in asdict(self.making).items()}

    def warning(self) -> str | None:
        """Return what to say where the photos together look unlike the training photos."""
        rows = (self.rows[photo].familiarity for photo in self._done())
        return unlike_line([familiarity for familiarity in rows if familiarity is not None], self.known)

    def lines(self) -> list[str]:
        """Return a line for each way in which masks are odd."""
        return [
            f"{len(odd)} of {len(self.rows)} masks {words[len(odd) > 1]}: {_listed(odd)}"
            for note, words in _SAID.items()
            if (odd := self.noted(note))
        ]

    def _done(self) -> list[str]:
        return [photo for photo in self.photos if photo in self.rows]


def _listed(photos: Sequence[str]) -> str:
    more = len(photos) - _NAMED
    return ", ".join(photos[:_NAMED]) + (f" and {more} more (see {SUMMARY})" if more > 0 else "")


def _cell(photo: str) -> str:
    """Return a photo's path as a cell that no spreadsheet takes for a formula."""
    text = written_name(photo)
    return f"'{text}" if text.startswith(_CALCULATED) else text


def require_own(folder: Path) -> None:
    """Raise UserError when a folder holds the results of another command, which would be replaced."""
    path = folder / SUMMARY
    if is_there(path) and not _is_own(read_json(path)):
        raise UserError(f"{folder} holds the {SUMMARY} of another command; choose another {OUT}")


def _is_own(summary: Any) -> bool:
    return isinstance(summary, dict) and summary.get("command") == _COMMAND


def earlier_rows(folder: Path, making: Making) -> dict[str, PhotoResult]:
    """Return the rows of the table in a folder, by photo; none where there is no table.

    UserError where it cannot be read, or its masks were made in another way.
    """
    if not is_there(folder / TABLE) or not is_there(folder / SUMMARY):
        return {}
    _require_same(folder, read_json(folder / SUMMARY), making)
    return dict(_rows(folder / TABLE))


def _require_same(folder: Path, summary: Mapping[str, Any], making: Making) -> None:
    for name in (one.name for one in fields(making)):
        before, now = summary.get(name), getattr(making, name)
        if before != now and None not in (before, now) and name != "segmenter":  # which its digest names
            shown = "segmenter" if name == "digest" else name
            raise UserError(
                f"the results in {folder} are of {named(shown, _shown(summary, shown))}, not "
                f"{_shown(asdict(making), shown)}; repeat it, or choose another {OUT}"
            )


def _shown(values: Mapping[str, Any], name: str) -> str:
    return f"{values[name]} ({values['digest']})" if name == "segmenter" else f"{values[name]}"


def _rows(path: Path) -> Iterator[tuple[str, PhotoResult]]:
    lines = csv.DictReader(io.StringIO(read_text(path, "table of results", _LARGEST), newline=""), strict=True)
    try:
        for cells in lines:
            yield read_back(cells["photo"].removeprefix("'")), PhotoResult.read(cells)
    except (KeyError, TypeError, ValueError, AttributeError, csv.Error) as error:
        raise UserError(
            f"{path} is no table of {_COMMAND} from line {lines.line_num} on; delete it to make the results again"
        ) from error
