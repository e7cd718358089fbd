"""toolkit learn: from a folder of photos of one kind of thing to a segmenter, in one run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.inputs.options import DeviceOption, PrecisionOption, with_settings
from cli.inputs.photo_folder import photos_in
from cli.learning.settings import STAGES, LearnSettings
from cli.listing import START, listed_in
from cli.reports.hints import command, print_outcome
from cli.runs.progress import console, terminal
from toolkit.command_line import as_flags

if TYPE_CHECKING:
    from cli.learning.plan import Plan
    from cli.learning.run import Learned


@with_settings(LearnSettings)
@listed_in(
    START,
    "toolkit learn MY_PHOTOS --out my-run",
    "toolkit learn MY_PHOTOS --out my-run --hours 1 --until generator",
)
def learn(
    settings: LearnSettings,
    photos: Annotated[Path, typer.Argument(help="Folder of photos of one kind of thing.")],
    out: Annotated[Path, typer.Option(help="Run folder; the same command again resumes it.")],
    generator: Annotated[str | None, typer.Option(help="Generator to use instead of training one.")] = None,
    directions: Annotated[
        str | None, typer.Option(help="Direction set to use instead of searching; one that was chosen in it is kept.")
    ] = None,
    segmenter: Annotated[str | None, typer.Option(help="Segmenter to go on from with self-training alone.")] = None,
    until: Annotated[str | None, typer.Option(help=f"Stop after this stage: {', '.join(STAGES)}.")] = None,
    go_on: Annotated[bool, typer.Option("--go-on", help="Go on after a stage that gave nothing useful.")] = False,
    plan: Annotated[Path | None, typer.Option(help="plan.json of another run, to take the same steps.")] = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
) -> None:
    """Learn a segmenter from photos without a label: generator, directions, masks, U-Net, self-training."""
    from cli.inputs.sources import open_typed
    from cli.learning.job import Brought, Job
    from cli.learning.run import learn as learn_from
    from toolkit.compute.engine import choose_engine
    from toolkit.pictures.photo_folder import require_outside

    require_outside(out, photos)
    engine = choose_engine(device, precision, out)
    brought = Brought(generator, directions, segmenter)
    job = Job(photos, photos_in(photos), settings, brought, engine, out, terminal, open_typed, show_plan)
    learned = learn_from(job, until, go_on, plan)
    _show(learned)


def show_plan(plan: "Plan") -> None:
    """Print the plan as a small table."""
    from rich.table import Table

    table = Table("stage", "steps", "minutes", box=None)
    for row in plan.table():
        table.add_row(*row)
    console.print(table)


def _show(learned: "Learned") -> None:
    if learned.findings:
        console.print("weak points:")
    for finding in learned.findings:
        console.print(as_flags(f"- {finding.about}: {finding.line}"))
    following = command("predict", "MY_PHOTOS", "--segmenter", learned.out, "--refine", "--out", "predictions")
    if not learned.finished:
        following = "the same command without --until goes on"
    print_outcome(*learned.written, following=following)
