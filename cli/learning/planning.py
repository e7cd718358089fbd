"""The plan of a run: measured when it begins, read when it is resumed, made again when the hours are others."""

from collections.abc import Sequence
from pathlib import Path

from cli.learning.job import Job
from cli.learning.plan import Plan
from toolkit.errors import UserError, named
from toolkit.files.runs import PLAN


def plan_of(job: Job, stages: Sequence[str], given: Path | None = None) -> Plan:
    """Return the plan for these stages, and write it down; `given` is that of another run, to be used instead.

    UserError where a plan is given to a run that has another.
    """
    path, hours = job.out / PLAN, job.settings.hours
    if path.is_file():
        recorded = Plan.load(path)
        if given is not None and Plan.load(given).rows != recorded.rows:
            raise UserError(f"{path} is another plan than {given}; choose another {named('out')}")
        if given is not None or recorded.hours == hours:
            return recorded
        plan = recorded.again(hours, _begun(job))
        job.watch.say(
            f"note: hours was {recorded.hours:g}, now {hours:g}: planned again; what has begun keeps its steps"
        )
    elif given is not None:
        plan = Plan.load(given)
    else:
        plan = Plan.made(_parts(job, stages), hours)
    plan.save(path, {"photos": len(job.paths), "device": job.engine.describe()})
    return plan


def _parts(job: Job, stages: Sequence[str]) -> list:
    from cli.learning.rates import measured, unmeasured

    if job.settings.smoke:
        return unmeasured(job, stages)
    job.watch.say("measuring how fast each stage is here")
    return measured(job, stages)


def _begun(job: Job) -> set[str]:
    """Return the parts that cannot be given other steps any more."""
    folders = {"generator": job.at("generator"), "segmenter": job.at("segmenter")}
    folders |= {name: job.at("directions") / name for name in job.settings.method_names}
    begun = {name for name, folder in folders.items() if (folder / "run.json").is_file()}
    picked = (job.at("pick") / "directions.safetensors").is_file()
    return begun | (set(job.settings.method_names) if picked else set())
