"""The page of a discovery run: written when the run ends, and again when its set is named, ranked or chosen from."""

from pathlib import Path
from typing import Any

from discovery.methods.table import METHODS
from discovery.opening import open_directions
from discovery.picking.consensus import ORDER
from toolkit.command_line import command
from toolkit.directions import DirectionSet
from toolkit.files.runs import logged_figures
from toolkit.files.writing import read_json
from toolkit.pictures.report import Report, Section, curve_picture

NAME = "report.html"
_OF_THE_SET = ("directions", "method", "reach")  # of result.json, which the page says in its text


def write_page(folder: Path, directions: DirectionSet, result: dict[str, Any]) -> None:
    """Write the page of the run in `folder`, of the set as it is and the figures of its result."""
    lead = f"{len(directions)} directions of {directions.generator}, found by {directions.method}."
    report = Report(f"Directions of {directions.generator}", lead)
    _add_directions(report.section("Directions"), folder, directions, result)
    if (folder / "pick.json").is_file():
        _add_pick(report.section("Ranked as background darkeners"), folder)
    if directions.scores:
        columns = list(directions.scores)
        rows = [
            [i, directions.names[i], *(directions.scores[name][i] for name in columns)] for i in range(len(directions))
        ]
        section = report.section("Scores").text("In the order of the directions' numbers.")
        section.table(["number", "name", *columns], rows)
    _add_training(report, logged_figures(folder))
    figures = [[name, value] for name, value in result.items() if name not in _OF_THE_SET]
    report.section("Figures").table(["figure", "value"], figures)
    report.write(folder / NAME)


def refresh_page(folder: Path) -> bool:
    """Write the page of a finished run again, of its set as it is now; False where `folder` holds no such run."""
    parts = [folder / name for name in (NAME, "result.json", "run.json", "directions.safetensors")]
    if not all(path.is_file() for path in parts):
        return False
    result = read_json(folder / "result.json")
    if not isinstance(result, dict) or "method" not in result:  # of before the page was written again
        return False
    write_page(folder, open_directions(folder), result)
    return True


def _add_directions(section: Section, folder: Path, directions: DirectionSet, result: dict[str, Any]) -> None:
    method = result["method"]
    if method in METHODS:
        section.text(METHODS[method].explanation)
    section.text(
        f"A row is a direction, its number at the left; a strip is one latent moved by -{result['reach']:.3g} to "
        f"{result['reach']:.3g}; the unmoved image is framed in red."
    )
    for chart in sorted((folder / "charts").glob("*_*.png")):
        first, last = (int(number) for number in chart.stem.split("_"))
        section.picture_file(chart, f"directions {first} to {last}", width=1100)
    choice = directions.choice
    if choice is None:
        section.text(f"Next: {command('pick', folder)} ranks them as background darkeners and chooses one.")
    else:
        rule = "" if choice.mask_rule is None else f"; its masks are best made by the rule {choice.mask_rule}"
        chosen = (
            f"{directions.names[choice.index]}, {choice.sign * choice.alpha:+.2f}{directions.place_of(choice.index)}"
        )
        section.text(f"Chosen: {chosen}{rule}.")
        section.text(
            f"Next: {command('segment', folder, '--out', 'segmenter', '--preset', 'quick')} trains a segmenter along "
            "it on a CPU; without the preset it has the papers' settings, for a GPU."
        )
    section.text(f"{command('browse', folder)} shows them live, names them and chooses one by hand.")


def _add_pick(section: Section, folder: Path) -> None:
    """Add the finalists as pick.json has them, and their picture."""
    picked = read_json(folder / "pick.json")
    for point in picked.get("weak", []):
        section.text(f"Weak: {point['what']}; {point['advice']}.")
    columns = ["name", "sign", "alpha", "score", "mask_rule"]
    names = list(picked["figures"])
    rows = [
        [place, *(c[name] for name in columns), *(c["figures"].get(name, "-") for name in names)]
        for place, c in enumerate(picked["candidates"], start=1)
    ]
    section.text(f"{ORDER[0].upper()}{ORDER[1:]}.").table(["place", *columns, *names], rows)
    if (folder / "pick.png").is_file():
        section.picture_file(folder / "pick.png", "The best candidates: images, shifted images, masks.", width=1100)
    section.table(["figure", "meaning"], [[name, meaning] for name, meaning in picked["figures"].items()])


def _add_training(report: Report, lines: list[dict[str, float]]) -> None:
    if not lines:
        return
    section = report.section("Training")
    for name in [key for key in lines[-1] if key != "step"]:
        logged = [line for line in lines if name in line]
        curve = [line["step"] for line in logged], [line[name] for line in logged]
        section.picture(curve_picture({name: curve}, "step", name), name)
