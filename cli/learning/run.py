"""Learning a segmenter from photos: the plan, one stage after another, and what all of it leaves."""

from dataclasses import asdict, dataclass, field
from pathlib import Path

from cli.learning import verdicts
from cli.learning.job import Job
from cli.learning.plan import Plan
from cli.learning.planning import plan_of
from cli.learning.report import write_report
from cli.learning.stages import STAGES, SelfTrainingStage, Stage
from segmentation.predict.segmenter import Segmenter
from toolkit.errors import Line, UserError, WeakPoint, named
from toolkit.files.runs import RunFolder
from toolkit.files.writing import write_bytes

REPORT, SEGMENTER = "report.html", "segmenter.safetensors"
_FEWEST = 16  # photos: fewer teach no generator and no segmenter


@dataclass
class Learned:
    """What came of a run: the stages it went through, what is wrong with their results, and whether it has its end."""

    out: Path
    stages: list[Stage]
    findings: list[WeakPoint] = field(default_factory=list)
    finished: bool = False

    @property
    def written(self) -> list[Path]:
        """Return what one looks at first."""
        last = self.out / SEGMENTER if self.finished else self.stages[-1].folder
        return [last, self.out / REPORT]


def learn(job: Job, until: str | None = None, go_on: bool = False, plan: Path | None = None) -> Learned:
    """Return what the run in `job.out` led to, after starting it, resuming it or finding it finished.

    The stages after `until` are left for later; `plan` is that of another run, to be used here too. Where a stage gives
    nothing useful the run ends with a UserError that says so, unless it is to `go_on`. `toolkit.watch.Stopped` where
    the watch asked for a stop.
    """
    if len(job.paths) < _FEWEST:
        raise UserError(
            f"too few photos came ({len(job.paths)}); at least {_FEWEST} are needed, and a thousand do well"
        )
    stages = [stage for stage in (kind(job) for kind in STAGES) if stage.needed]
    wanted = _until(stages, until)
    run = RunFolder.open(job.out, job.settings, job.inputs, job.engine.describe())
    try:
        finished = run.result if wanted == stages else None
        if finished is None or plan is not None:  # which may be another than the run's
            job.plan = plan_of(job, [stage.name for stage in stages], plan)
        if finished is not None:
            job.watch.say(f"{job.out} is finished already")
            return Learned(job.out, stages, [WeakPoint.read(one) for one in finished.get("weak_points", [])], True)
        assert job.plan is not None
        job.show_plan(job.plan)
        learned = Learned(job.out, [], verdicts.of_photos(len(job.paths)) + _of_plan(job.plan))
        for stage in wanted:
            _take(stage, learned, go_on)
        if wanted == stages:
            _finish(run, job, learned)
        else:
            write_report(job, learned.stages, learned.findings, job.out / REPORT)
        return learned
    finally:
        run.close()


def _of_plan(plan: Plan) -> list[WeakPoint]:
    of_parts = [verdicts.of_plan(row.part.name, row.steps, row.part.least, row.part.most) for row in plan.rows]
    return [finding for found in of_parts for finding in found]


def _until(stages: list[Stage], name: str | None) -> list[Stage]:
    names = [stage.name for stage in stages]
    if name is not None and name not in names:
        raise UserError(f"{named('until')} is {name!r}; choose one of {', '.join(names)}")
    return stages if name is None else stages[: 1 + names.index(name)]


def _take(stage: Stage, learned: Learned, go_on: bool) -> None:
    """Run a stage and judge it; UserError where it failed, after what there is was reported."""
    job, broken = stage.job, None
    job.watch.say(f"{stage.name}: {stage.folder}")
    try:
        stage.run()
        found = stage.findings()
    except UserError as error:
        if not stage.spare:
            raise UserError(f"{stage.name}: {error.marked}") from error
        broken, found = error, [stage.broken(error.marked)]
    learned.stages.append(stage)
    learned.findings += found
    for one in found:
        job.watch.say(Line(f"weak: {one.about}: {one.line}"))
    failed = next((one for one in found if one.failed), None)
    if failed is not None and not go_on:
        report = job.out / REPORT
        write_report(job, learned.stages, learned.findings, report)
        raise UserError(
            f"{failed.about}: {failed.line}; look at {report}, or go on all the same with {named('go_on')}"
        ) from broken


def _finish(run: RunFolder, job: Job, learned: Learned) -> None:
    """Write segmenter, report and figures, the last of which say that the run is done."""
    made = _final(learned)
    Segmenter.load(made)  # refuses what is damaged
    write_bytes(job.out / SEGMENTER, (made / SEGMENTER).read_bytes() if made.is_dir() else made.read_bytes())
    write_report(job, learned.stages, learned.findings, job.out / REPORT, Segmenter.load(job.out))
    learned.finished = True
    run.finish(
        {
            "photos": len(job.paths),
            "steps": sum(row.steps for row in job.plan.rows) if job.plan is not None else 0,
            "segmenter": made.name,
            "stages": {stage.name: stage.figures() for stage in learned.stages},
            "weak_points": [asdict(finding) for finding in learned.findings],
        }
    )


def _final(learned: Learned) -> Path:
    """Return the segmenter of the run: that of self-training, or where that failed the one before it."""
    last = learned.stages[-1]
    assert isinstance(last, SelfTrainingStage)
    failed = any(one.failed and one.about == last.name for one in learned.findings)
    return Path(last.teacher()) if failed else last.folder
