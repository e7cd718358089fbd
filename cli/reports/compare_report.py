"""What toolkit compare writes and prints: tables, result.json, pictures and the report page."""

import itertools
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from discovery.comparing.settings import CompareSettings

if TYPE_CHECKING:
    import numpy as np
    import torch

    from discovery.picking.picker import Candidate
    from generators.protocol import Generator
    from toolkit.compute.engine import Engine
    from toolkit.directions import DirectionSet
    from toolkit.pictures.report import Report

Cells = tuple[list[str], list[list[str]]]  # columns and rows of a table
Curve = tuple[list[float], list[float]]  # x and y
_STRIPS, _LATENTS, _FRAMES_A_SIDE, _FRAME_SIDE = 4, 3, 2, 96  # of each set in compare.png
_FIGURES = ("border", "centre", "area", "pass_rate", "separation")  # of the picker, in tables
_ROWS = 10  # of the page's long tables; result.json holds everything


@dataclass(frozen=True)
class Entry:
    """A set as the command line named it, its whole size, and the directions of it that are compared."""

    label: str
    path: str
    size: int
    directions: "DirectionSet"


@dataclass(frozen=True)
class Judged:
    """A set and its figures.

    `recognition` and `curve` (logged steps and accuracies) are a reconstructor's, None and empty for a single
    direction; `candidates` are the directions as background darkeners, best first; `vectors` (K, N) are the directions
    as unit vectors beside those of the other sets (discovery.comparing.comparison.compared).
    """

    entry: Entry
    recognition: dict[str, Any] | None
    curve: Curve
    candidates: "list[Candidate]"
    vectors: "torch.Tensor"

    @property
    def label(self) -> str:
        """Return the set's label."""
        return self.entry.label

    def name(self, index: int) -> str:
        """Return the name of a direction."""
        return self.entry.directions.names[index]


def summary(judged: list[Judged]) -> Cells:
    """Return a table with the figures of each set."""
    from discovery.comparing.comparison import effective_rank, nearest

    columns = ["set", "method", "directions", "rca", "chance", "best", "alpha", "score"]
    rows = []
    for one in judged:
        vectors, best, found = one.vectors, one.candidates[0], one.recognition
        accuracy = ["-", "-"] if found is None else [f"{found['rca']:.3f}", f"{found['chance']:.3f}"]
        rows.append(
            [one.label, one.entry.directions.method, f"{len(vectors)} of {one.entry.size}", *accuracy]
            + [one.name(best.index), f"{best.sign * best.alpha:+.1f}", f"{best.score:.3f}"]
            + [_digits(nearest(vectors)), f"{effective_rank(vectors):.1f}"]
        )
    return [*columns, "nearest", "effective rank"], rows


def overlaps(judged: list[Judged]) -> Cells:
    """Return a table of how much of each set (row) lies in each other (column); the last row is the yardstick."""
    from discovery.comparing.comparison import overlap, random_overlap

    rows = [
        [one.label, *("-" if one is other else _digits(overlap(one.vectors, other.vectors)) for other in judged)]
        for one in judged
    ]
    yardstick = ["random vectors", *(_digits(random_overlap(*one.entry.directions.vectors.shape)) for one in judged)]
    return ["overlap of", *(f"with {one.label}" for one in judged)], [*rows, yardstick]


def notes(judged: list[Judged]) -> list[str]:
    """Return what the tables do not say by themselves, one sentence each."""
    found = []
    alone = [one.label for one in judged if one.recognition is None]
    if alone:
        found.append(f"RCA needs two classes, so it has no value for a single direction ({', '.join(alone)})")
    cut = [one for one in judged if len(one.entry.directions) < one.entry.size]
    for one in cut:
        count = len(one.entry.directions)
        which = f"{count} of the highest score" if "score" in one.entry.directions.scores else f"first {count}"
        found.append(f"of the {one.entry.size} directions of {one.label} the {which} are compared")
    layered = [one.label for one in judged if one.entry.directions.layers is not None]
    if layered:
        found.append(
            f"cosines count the layers that two directions both move, since {layered[0]} moves some layers alone"
        )
    errors = [one.recognition["rca_error"] for one in judged if one.recognition is not None]
    if errors:
        found.append(f"the validation's standard error of the RCA is up to {max(errors):.3f}")
    return found


def _digits(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def write_results(
    out: Path,
    judged: list[Judged],
    generator: "Generator",
    settings: CompareSettings,
    engine: "Engine",
    source: dict[str, str],
) -> None:
    """Write result.json, compare.png and report.html into `out`; `source` is what runs record of the generator."""
    from toolkit.files.writing import write_json
    from toolkit.pictures.photos import write_picture

    strips = _strips(judged, generator, settings, engine)
    write_json(out / "result.json", _result(judged, settings, source))
    write_picture(out / "compare.png", strips)
    _report(out / "compare.png", judged, source["generator"]).write(out / "report.html")


def _result(judged: list[Judged], settings: CompareSettings, source: dict[str, str]) -> dict[str, Any]:
    from discovery.comparing.comparison import DEFINITIONS
    from discovery.picking.picker import FIGURES, OF_FINALISTS

    pairs = list(itertools.combinations(judged, 2))
    return {
        "source": source,
        "settings": settings.as_dict(),
        "definitions": {**DEFINITIONS, **{name: FIGURES[name] for name in FIGURES if name not in OF_FINALISTS}},
        "notes": notes(judged),
        "sets": [_set_result(one) for one in judged],
        "overlaps": [_overlap(*pair) for a, b in pairs for pair in ((a, b), (b, a))],
        "matches": [{"first": a.label, "second": b.label, "pairs": _matches(a, b)} for a, b in pairs],
    }


def _set_result(one: Judged) -> dict[str, Any]:
    from discovery.comparing.comparison import effective_rank, nearest, random_overlap

    directions = one.entry.directions
    several = len(directions) > 1
    return {
        "set": one.label,
        "path": one.entry.path,
        "method": directions.method,
        "size": one.entry.size,
        "directions": list(directions.names),
        "recognition": one.recognition,
        "nearest": nearest(one.vectors),
        "nearest_random": random_overlap(len(directions) - 1, directions.vectors.shape[1]) if several else None,
        "effective_rank": effective_rank(one.vectors),
        "candidates": [{**asdict(candidate), "name": one.name(candidate.index)} for candidate in one.candidates],
    }


def _overlap(first: Judged, second: Judged) -> dict[str, Any]:
    from discovery.comparing.comparison import overlap, random_overlap

    shared, size = overlap(first.vectors, second.vectors), second.entry.directions.vectors.shape
    return {"first": first.label, "second": second.label, "overlap": shared, "random": random_overlap(*size)}


def _matches(first: Judged, second: Judged) -> list[dict[str, Any]]:
    from discovery.comparing.comparison import matches

    found = matches(first.vectors, second.vectors)
    return [{"first": first.name(m.first), "second": second.name(m.second), "cosine": m.cosine} for m in found]


def _strips(judged: list[Judged], generator: "Generator", settings: CompareSettings, engine: "Engine") -> "np.ndarray":
    """Return a picture of walks along each set's best directions, all over the same latents, darker to the right."""
    import torch

    from discovery.charts import chart_page, walk
    from toolkit.streams import Stream

    shown = [(one, candidate) for one in judged for candidate in one.candidates[:_STRIPS]]
    units = torch.broadcast_tensors(*(c.sign * one.entry.directions.units[c.index] for one, c in shown))
    labels = [f"{one.label}  {'+' if c.sign > 0 else '-'}{one.name(c.index)}  {c.score:.2f}" for one, c in shown]
    latents = generator.sample(_LATENTS, Stream(settings.seed, "charts"), settings.truncation).to(engine.device)
    shifts = walk(torch.stack(units), settings.max_alpha, _FRAMES_A_SIDE).to(engine.device)
    return chart_page(generator, latents, shifts, labels, frame_side=_FRAME_SIDE)


def _report(strips: Path, judged: list[Judged], generator: str) -> "Report":
    import torch

    from discovery.charts import cosine_picture
    from discovery.comparing.comparison import DEFINITIONS, cosines
    from discovery.picking.picker import FIGURES
    from toolkit.pictures.report import Report

    report = Report("Direction sets compared", f"{', '.join(one.label for one in judged)} of {generator}")
    figures = report.section("Figures").table(*summary(judged))
    for note in notes(judged):
        figures.text(note[0].upper() + note[1:] + ".")
    report.section("Strips").picture_file(
        strips,
        "The best directions of each set by score, with their signs, on the same latents; framed: the unmoved image.",
    )
    _recognition_section(report, [one for one in judged if one.recognition is not None])
    report.section("As background darkeners").table(*_darkeners(judged))
    vectors = torch.cat([one.vectors for one in judged])
    picture = cosine_picture(
        cosines(vectors, vectors).numpy(),
        [one.label for one in judged],
        [len(one.entry.directions) for one in judged],
    )
    distinct = report.section("Distinctness").table(*overlaps(judged))
    distinct.picture(picture, "|cosine| between all directions.")
    for first, second in itertools.combinations(judged, 2):
        pairs = [[m["first"], m["second"], f"{m['cosine']:+.2f}"] for m in _matches(first, second)[:_ROWS]]
        distinct.table([first.label, second.label, "cosine"], pairs)
    shown = {**DEFINITIONS, **{name: FIGURES[name] for name in _FIGURES}}
    report.section("What the figures mean").table(["figure", "meaning"], [list(row) for row in shown.items()])
    return report


def _recognition_section(report: "Report", judged: list[Judged]) -> None:
    """Add how well each direction is recognised, and how the reconstructors came to it."""
    from toolkit.pictures.report import curve_picture

    if not judged:
        return
    section = report.section("Recognisable directions")
    ordered = {one.label: _by_recognition(one) for one in judged}
    ranks = {label: (list(range(1, len(found) + 1)), [share for _, share in found]) for label, found in ordered.items()}
    section.picture(curve_picture(ranks, "direction, best first", "share recognised"), "RCA of each direction alone.")
    curves = {one.label: one.curve for one in judged}
    section.picture(curve_picture(curves, "step", "accuracy"), "Accuracy of the reconstructors in training.")
    texts = [[f"{name} {share:.2f}" for name, share in found[:_ROWS]] for found in ordered.values()]
    # A direction that the validation never drew has no share, so that the columns may differ in length.
    rows = list(itertools.zip_longest(*texts, fillvalue="-"))
    section.table(list(ordered), rows)


def _by_recognition(one: Judged) -> list[tuple[str, float]]:
    """Return names and shares recognised of the directions that the validation drew, best first."""
    shares = [] if one.recognition is None else one.recognition["recognised"]
    named = [(one.name(index), share) for index, share in enumerate(shares) if share is not None]
    return sorted(named, key=lambda pair: -pair[1])


def _darkeners(judged: list[Judged]) -> Cells:
    rows = [
        [one.label, one.name(c.index), f"{c.sign * c.alpha:+.1f}", f"{c.score:.3f}"]
        + [f"{c.figures[name]:.2f}" for name in _FIGURES]
        for one in judged
        for c in one.candidates[:_STRIPS]
    ]
    return ["set", "direction", "alpha", "score", *_FIGURES], rows
