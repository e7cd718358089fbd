"""toolkit compare: several direction sets of one generator, side by side."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.inputs.options import DeviceOption, PrecisionOption, WeightsOption, require, with_settings
from cli.listing import DIRECTIONS, listed_in
from cli.reports.compare_report import Entry, Judged, notes, overlaps, summary, write_results
from cli.reports.hints import command, generator_words, print_outcome
from cli.runs.progress import console, terminal
from discovery.comparing.settings import CompareSettings
from discovery.settings import PickSettings

if TYPE_CHECKING:
    from discovery.picking.picker import Candidate
    from generators.protocol import Generator
    from toolkit.compute.engine import Engine


@with_settings(CompareSettings)
@listed_in(
    DIRECTIONS,
    "toolkit compare flowers64 by-ganspace by-sefa --out comparison",
    "toolkit compare long=directions short=other-directions --out comparison",
)
def compare(
    settings: CompareSettings,
    sets: Annotated[
        list[str],
        typer.Argument(help="Direction sets: run folders, files, shipped or published names, each also as LABEL=SET."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the results; the same command again resumes it.")],
    generator: Annotated[
        str | None, typer.Option(help="Generator to compare on, if not the one recorded in the sets.")
    ] = None,
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
) -> None:
    """Compare direction sets of one generator: how recognisable, useful and distinct their directions are."""
    require(len(sets) > 1, f"compare needs two direction sets or more, but {sets[0]} came alone; name another one")
    _require_own_folder(out)
    from rich.table import Table

    from cli.inputs.sources import generator_of
    from discovery.comparing.comparison import compared
    from discovery.comparing.merging import require_one_generator
    from discovery.opening import labelled_sets
    from generators.protocol import fitting
    from toolkit.compute.engine import choose_engine
    from toolkit.files.locks import hold, let_go
    from toolkit.files.writing import writable_folder

    entries = [
        Entry(label, path, len(directions), directions) for label, (path, directions) in labelled_sets(sets).items()
    ]
    engine = choose_engine(device, precision)
    if generator is None:
        require_one_generator({entry.label: entry.directions for entry in entries})
    opened, source = generator_of(entries[0].directions, generator, weights)
    for entry in entries:
        fitting(entry.directions, opened)
    opened = opened.to(engine.device)
    settings, entries = _cut_alike(settings, entries)
    writable_folder(out)
    hold(out)
    (out / "rca").mkdir(exist_ok=True)  # the first thing there, by which a later command knows the folder
    trained = [_recognition(entry, opened, settings, engine, out / "rca", source) for entry in entries]
    vectors = compared([entry.directions for entry in entries])
    judged = [
        Judged(entry, *recognised, _candidates(entry, opened, settings, engine), own)
        for entry, recognised, own in zip(entries, trained, vectors, strict=True)
    ]
    write_results(out, judged, opened, settings, engine, source)
    let_go(out)
    for columns, rows in (summary(judged), overlaps(judged)):
        table = Table(*columns, box=None)
        for row in rows:
            table.add_row(*row)
        console.print(table)
    for note in notes(judged):
        console.print(f"note: {note}")
    first = max(judged, key=lambda one: one.candidates[0].score)
    best = first.name(first.candidates[0].index)
    given = generator_words(generator, weights)
    following = command("render-gif", first.entry.path, *given, "--direction", best, "--out", "direction.gif")
    print_outcome(out / "report.html", out / "result.json", out / "compare.png", following=following)


def _require_own_folder(out: Path) -> None:
    """Raise UserError where `out` holds files that no earlier run of this command left."""
    from toolkit.files.workplace import holdings

    require(
        (out / "rca").is_dir() or not holdings(out),
        f"{out} holds files of something else; choose an empty or new folder with --out",
    )


def _cut_alike(settings: CompareSettings, entries: list[Entry]) -> tuple[CompareSettings, list[Entry]]:
    """Return the settings with the number of directions that are compared, and each set cut to it.

    Sets of a single direction, on which there is nothing to recognise, do not count.
    """
    from discovery.comparing.comparison import selected

    several = [entry for entry in entries if entry.size > 1]
    smallest = min(several, key=lambda entry: entry.size, default=None)
    if smallest is None:
        return settings, entries
    count = settings.directions or smallest.size
    require(
        count <= smallest.size,
        f"--directions is {count}, but {smallest.label} has {smallest.size}; give {smallest.size} or fewer",
    )
    cut = [dataclasses.replace(entry, directions=selected(entry.directions, count)) for entry in entries]
    return dataclasses.replace(settings, directions=count), cut


def _recognition(
    entry: Entry,
    generator: "Generator",
    settings: CompareSettings,
    engine: "Engine",
    folder: Path,
    source: dict[str, str],
) -> tuple[dict[str, Any] | None, tuple[list[float], list[float]]]:
    """Return the figures of a reconstructor trained on the set, and its curve, after training what is left of it."""
    from cli.runs.training import carried_out
    from discovery.comparing.recognition import RecognitionRun

    if len(entry.directions) < 2:
        return None, ([], [])
    label = f"recognising {entry.label}"
    run = carried_out(
        RecognitionRun(entry.directions, generator, settings, engine, source, label), folder / entry.label
    )
    logged = [line for line in run.metrics() if "accuracy" in line]
    return run.result, ([line["step"] for line in logged], [line["accuracy"] for line in logged])


def _candidates(entry: Entry, generator: "Generator", settings: CompareSettings, engine: "Engine") -> "list[Candidate]":
    """Return each direction's best candidate as a background darkener, best direction first."""
    from discovery.picking.picker import best_of_each
    from discovery.picking.picking import judged

    picking = PickSettings(truncation=settings.truncation, seed=settings.seed)
    return best_of_each(judged(generator, entry.directions, picking, engine, terminal, f"judging {entry.label}"))
