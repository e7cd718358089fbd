"""The one page of a run of learning: pictures and figures of every stage, and what is weak."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cli.learning.job import Job
from cli.learning.stages import DirectionsStage, GeneratorStage, PickStage, SegmenterStage, SelfTrainingStage, Stage
from discovery.charts import chart_page, walk
from segmentation.predict.segmenter import Segmenter
from toolkit.command_line import as_flags
from toolkit.errors import WeakPoint
from toolkit.pictures.outlines import overlay
from toolkit.pictures.pixels import grid
from toolkit.pictures.report import Report, Section
from toolkit.streams import Stream

_SHOWN, _SHOWN_SIDE, _COLUMNS = 36, 128, 9
_FRAMES_A_SIDE = 4
_WIDE = 1100


def write_report(
    job: Job, stages: Sequence[Stage], findings: Sequence[WeakPoint], path: Path, segmenter: Segmenter | None = None
) -> None:
    """Write the page of the stages that were taken; of a run at its end the masks of its `segmenter` too."""
    lead = f"Learnt from {len(job.paths):,} photos without a label. Every stage lies in a folder of {job.out}."
    report = Report("From photos to a segmenter", lead)
    _weak_points(report.section("Weak points"), findings)
    if segmenter is not None:
        _predictions(report.section("Photos and their masks"), job, segmenter)
    for stage in stages:
        section = report.section(f"{stage.folder.name[0]}. {stage.name.capitalize()}")
        _ADDING[type(stage)](section, stage)
    if job.plan is not None:
        section = report.section("Plan").table(["stage", "steps", "minutes"], job.plan.table())
        section.text(f"Planned for {job.plan.hours:g} hours by the rates of a few steps on {job.engine.describe()}.")
    report.write(path)


def _weak_points(section: Section, findings: Sequence[WeakPoint]) -> None:
    if not findings:
        section.text("None were found. They are judged by figures; look at the pictures all the same.")
    for finding in findings:
        section.text(as_flags(("Failed. " if finding.failed else "") + f"{finding.about}: {finding.line}"))


def _predictions(section: Section, job: Job, segmenter: Segmenter) -> None:
    photos = job.some_photos(_SHOWN, _SHOWN_SIDE)
    masks = np.stack([segmenter.mask(photo) for photo in photos])
    section.picture(
        grid(overlay(photos, masks), _COLUMNS), "Photos spread over the folder, their masks outlined.", 0.95
    )


def _generator(section: Section, stage: Stage) -> None:
    sheets = sorted((stage.folder / "samples").glob("*.png"))
    for sheet in sheets[-1:]:
        section.picture_file(sheet, f"Samples after {int(sheet.stem):,} steps.", width=_WIDE // 2)
    if (stage.folder / "nearest.png").is_file():
        section.picture_file(stage.folder / "nearest.png", "Samples nearest to a photo, each above its photo.")
    _table(section, stage.figures())


def _directions(section: Section, stage: Stage) -> None:
    assert isinstance(stage, DirectionsStage)
    section.table(["method", "directions"], [[name, count] for name, count in stage.figures().items()])
    section.text("Each has a page of its own, report.html in its folder, with a strip of every direction.")


def _pick(section: Section, stage: Stage) -> None:
    assert isinstance(stage, PickStage)
    if (strip := _strip(stage)) is not None:
        section.picture(strip, "Along the chosen direction; the unmoved image is framed in red.")
    section.picture_file(stage.folder / "pick.png", "The best candidates: images, shifted images, masks.", width=_WIDE)
    _table(section, stage.figures())


def _strip(stage: PickStage) -> np.ndarray | None:
    """Return a picture of walks along the choice, None where these are curved."""
    directions, generator, _ = SegmenterStage(stage.job).chosen()
    choice, device = directions.chosen(), stage.job.engine.device
    unit = directions.shift(choice.index, float(choice.sign))
    if not isinstance(unit, torch.Tensor):
        return None
    latents = generator.sample(2, Stream(stage.job.settings.seed, "charts")).to(device)
    with torch.inference_mode():
        walks = walk(unit[None].to(device), choice.alpha, _FRAMES_A_SIDE)
        return chart_page(generator, latents, walks, [directions.names[choice.index]])


def _segmenter(section: Section, stage: Stage) -> None:
    section.picture_file(stage.folder / "synthetic.png", "Generated images, and the masks the direction gives.")
    _table(section, stage.figures())


def _self_training(section: Section, stage: Stage) -> None:
    for sheet in sorted(stage.folder.glob("round*/masks.png")):
        caption = f"Masks of photos in {sheet.parent.name}: green are trained on, red are left out."
        section.picture_file(sheet, caption, width=_WIDE)
    _table(section, stage.figures())


def _table(section: Section, figures: dict[str, Any]) -> None:
    if figures:
        section.table(["figure", "value"], [[name, value] for name, value in figures.items()])


_ADDING = {
    GeneratorStage: _generator,
    DirectionsStage: _directions,
    PickStage: _pick,
    SegmenterStage: _segmenter,
    SelfTrainingStage: _self_training,
}
