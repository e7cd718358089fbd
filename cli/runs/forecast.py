"""How long a training is going to take, said before it has cost anything."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Protocol, TypeVar

import typer

from toolkit.settings import Settings

if TYPE_CHECKING:
    from toolkit.compute.engine import Engine


class _Step(Protocol):
    @property
    def step(self) -> int: ...


StepT = TypeVar("StepT", bound=_Step)
_MEASURED = 3  # steps after the first, which warms up
_LONG = 3600.0  # seconds; the preset for a CPU takes less


def forewarned(
    steps: Iterable[StepT],
    total: int,
    settings: Settings,
    engine: "Engine",
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[StepT]:
    """Yield the steps; after the first few say on stderr how long the others take, where on a CPU that is over an hour.

    What a step costs depends on the generator, the settings and the machine, which no table knows: it is measured.
    """
    measures = engine.device.type == "cpu" and engine.team.lead
    started = 0.0
    for number, step in enumerate(steps):
        if measures and number == 0:
            started = clock()
        if measures and number == _MEASURED:
            seconds = (clock() - started) / _MEASURED * (total - step.step)
            if seconds > _LONG:
                typer.echo(_forecast(seconds, total - step.step, settings), err=True)
        yield step


def _forecast(seconds: float, left: int, settings: Settings) -> str:
    line = f"note: the {left:,} steps take about {duration(seconds)} on this CPU"
    quick = settings.presets.get("quick", {})
    if settings.preset_name == "quick" or "steps" not in quick:
        return line
    return (
        f"{line}; --preset quick, in another --out, is made for one ({quick['steps']:,} steps). Ctrl-C stops, and the "
        "same command resumes"
    )


def duration(seconds: float) -> str:
    """Return a time in words, in days or hours, with as many digits as a forecast deserves."""
    hours = seconds / 3600
    return (
        f"{hours / 24:.1f} days" if hours >= 48 else f"{hours:.0f} hours" if hours >= 2 else f"{hours * 60:.0f} minutes"
    )
