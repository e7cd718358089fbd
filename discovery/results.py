"""What every discovery method leaves in its run folder: the set, charts, a page and the figures."""

from pathlib import Path
from typing import Any

import torch

from discovery.annotations import annotations_beside, read_annotations, write_annotations
from discovery.charts import write_charts
from generators.protocol import Generator
from toolkit.command_line import command
from toolkit.directions import DirectionSet
from toolkit.files.runs import RunFolder
from toolkit.pictures.report import Report, curve_picture
from toolkit.watch import SILENT, Watch


def write_results(
    run: RunFolder,
    directions: DirectionSet,
    generator: Generator,
    walks: torch.Tensor,
    seed: int,
    figures: dict[str, Any],
    explanation: str,
    watch: Watch = SILENT,
) -> DirectionSet:
    """Write set, charts of `walks` (K, F, D), report.html and result.json, and return the set under its labels.

    `explanation` says on the page what the directions are. Files of an earlier pick are removed: they
    describe directions that are gone.
    """
    labels = annotations_beside(run.path / "directions.safetensors")
    if labels.exists():
        directions = directions.renamed(read_annotations(labels))
    else:
        write_annotations(labels, {})
    for stale in ("pick.json", "pick.csv", "pick.png"):
        if (run.path / stale).exists():
            (run.path / stale).unlink()
            watch.say(f"removed {stale}: the directions have moved on since; run {command('pick')} again")
    with watch.bar("drawing", len(walks), unit="directions") as advance:
        drawn = write_charts(run.path / "charts", generator, walks, directions.names, seed=seed, drew=advance)
    directions.save(run.path / "directions.safetensors")
    reach = float(walks[0, -1].norm())
    _page(run, directions, drawn, reach, figures, explanation).write(run.path / "report.html")
    run.finish({"directions": len(directions), **figures})
    return directions


def _page(
    run: RunFolder,
    directions: DirectionSet,
    charts: list[Path],
    reach: float,
    figures: dict[str, Any],
    explanation: str,
) -> Report:
    lead = f"{len(directions)} directions of {directions.generator}, found by {directions.method}."
    report = Report(f"Directions of {directions.generator}", lead)
    section = report.section("Directions")
    section.text(explanation)
    section.text(
        f"A row is a direction, its number at the left; a strip is one latent moved by -{reach:.3g} to {reach:.3g}; "
        "the unmoved image is framed in red."
    )
    for chart in charts:
        first, last = (int(number) for number in chart.stem.split("_"))
        section.picture_file(chart, f"directions {first} to {last}", width=1100)
    if directions.choice is None:
        section.text(f"Next: {command('pick', run.path)} ranks them as background darkeners and chooses one.")
    section.text(f"{command('browse', run.path)} shows them live, names them and chooses one by hand.")
    if directions.scores:
        columns = list(directions.scores)
        rows = [
            [i, directions.names[i], *(directions.scores[name][i] for name in columns)] for i in range(len(directions))
        ]
        report.section("Scores").table(["number", "name", *columns], rows)
    lines = run.metrics()
    if lines:
        section = report.section("Training")
        for name in [key for key in lines[-1] if key != "step"]:
            logged = [line for line in lines if name in line]
            curve = [line["step"] for line in logged], [line[name] for line in logged]
            section.picture(curve_picture({name: curve}, "step", name), name)
    report.section("Figures").table(["figure", "value"], [[name, value] for name, value in figures.items()])
    return report
