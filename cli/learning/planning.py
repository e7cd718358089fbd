"""The plan of a run: measured when it begins, read when it is resumed, made again when the hours are others."""

from collections.abc import Sequence
from pathlib import Path

from cli.learning.job import Job
from cli.learning.plan import Plan, minutes
from cli.learning.rates import measured, unmeasured
from toolkit.compute.planning import Part
from toolkit.errors import UserError, named
from toolkit.files.runs import PLAN

_LONGER = 1.1  # times the hours that a plan may take before it is said


def plan_of(job: Job, stages: Sequence[str], given: Path | None = None) -> Plan:
    """Return the plan for these stages, and write it down; `given` is that of another run, to be used instead.

    UserError where a plan is given to a run that has another.
    """
    path, hours = job.out / PLAN, job.settings.hours
    if path.is_file():
        recorded = _loaded(path, stages)
        if given is not None and _loaded(given, stages).rows != recorded.rows:
            raise UserError(f"{path} is another plan than {given}; choose another {named('out')}")
        if given is not None or recorded.hours == hours:
            return recorded
        plan = recorded.again(hours, _begun(job))
        job.watch.say(
            f"note: hours was {recorded.hours:g}, now {hours:g}: planned again; what has begun keeps its steps"
        )
    elif given is not None:
        plan = _loaded(given, stages)
    else:
        plan = Plan.made(_parts(job, stages), hours)
    if plan.seconds > _LONGER * hours * 3600:
        job.watch.say(
            f"note: the fewest steps that make sense take about {minutes(plan.seconds)} minutes here, longer than the "
            f"{hours * 60:.0f} minutes there are"
        )
    plan.save(path, {"photos": len(job.paths), "device": job.engine.describe()})
    return plan


def _loaded(path: Path, stages: Sequence[str]) -> Plan:
    """Return the plan in a file; UserError unless it has a part for each stage."""
    plan = Plan.load(path)
    missing = [stage for stage in stages if stage != "directions" and all(row.part.name != stage for row in plan.rows)]
    if missing:
        raise UserError(f"{path} plans nothing for {', '.join(missing)}; name the plan of a run with the same stages")
    return plan


def _parts(job: Job, stages: Sequence[str]) -> list[Part]:
    if job.settings.smoke:
        return unmeasured(job, stages)
    job.watch.say("measuring how fast each stage is here")
    return measured(job, stages)


def _begun(job: Job) -> set[str]:
    """Return the parts that cannot be given other steps any more."""
    folders = {"generator": job.at("generator"), "segmenter": job.at("segmenter")}
    folders |= {name: job.at("directions") / name for name in job.settings.method_names}
    left = ("checkpoint.pt", "metrics.jsonl", "result.json")
    begun = {name for name, folder in folders.items() if any((folder / file).is_file() for file in left)}
    picked = (job.at("pick") / "directions.safetensors").is_file()
    return begun | (set(job.settings.method_names) if picked else set())
