"""Runs with what the user sees of them: a bar, lines, and a clean stop on Ctrl-C."""

import dataclasses
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from cli.inputs.options import require
from cli.runs.progress import console, terminal

if TYPE_CHECKING:
    from discovery.settings import DiscoverySettings
    from segmentation.unet.settings import SegmentationSettings
    from toolkit.files.driving import State, Step, Work
    from toolkit.files.runs import RunFolder

SettingsT = TypeVar("SettingsT", "DiscoverySettings", "SegmentationSettings")


def carried_out(work: "Work[Any, Any]", out: Path) -> "RunFolder":
    """Return the finished run of some work in `out`, showing what is done (toolkit.files.driving)."""
    from toolkit.files.driving import carry_out

    return carry_out(work, out, terminal)


def take_up(state: "State", run: "RunFolder") -> bool:
    """Load the run's checkpoint into `state` and return whether there was one (toolkit.files.driving.resume)."""
    from toolkit.files.driving import resume

    return resume(state, run, terminal)


def drive(
    label: str,
    steps: "Iterable[Any]",
    state: "State",
    settings: Any,
    run: "RunFolder",
    attend: Callable[[Any, bool], str | None],
    total: int | None = None,
    unit: str = "steps",
) -> None:
    """Run `steps` to `settings.steps`, or `total`, showing what is done (toolkit.files.driving.drive)."""
    from toolkit.files import driving

    driving.drive(label, steps, state, settings, run, attend, total or settings.steps, unit, terminal)


def log_figures(step: "Step", run: "RunFolder", **more: float) -> dict[str, float]:
    """Log every figure of a step, and any `more`, and return them by name."""
    from toolkit.files import driving

    return driving.log_figures(step, run, **more)


def within_memory(
    settings: SettingsT, max_memory: str | None, needed: "Callable[[], Callable[[int], int]]", processes: int
) -> SettingsT:
    """Return the settings with the largest `micro_batch` whose step fits `max_memory` in each process, if given.

    `needed` returns a function from samples at a time to bytes. UserError when not even two samples fit.
    """
    if max_memory is None:
        return settings
    from toolkit.compute.memory import largest_micro_batch, parse_bytes

    limit = parse_bytes(max_memory)
    require(settings.micro_batch is None, "--max-memory chooses --micro-batch; give one of the two")
    bytes_of = needed()
    found = largest_micro_batch(
        lambda count: bytes_of(math.ceil(count / processes)), limit, settings.batch, least=2 * processes
    )
    if found >= settings.batch:
        return settings
    console.print(f"{max_memory} hold {found} of the {settings.batch} samples of a batch at a time")
    return dataclasses.replace(settings, micro_batch=found)
