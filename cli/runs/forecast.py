"""How long a training is going to take, said before it has cost anything."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import typer

from cli.runs.progress import Terminal
from toolkit.settings import Settings
from toolkit.watch import Advance

if TYPE_CHECKING:
    from toolkit.compute.engine import Engine

_MEASURED = 3  # steps after the first, which warms up
_LONG = 3600.0  # seconds; the preset for a CPU takes less


class Forecasting(Terminal):
    """Shows work on the screen; of steps that take over an hour on a CPU it says so on stderr after the first few.

    What a step costs depends on the generator, the settings and the machine, which no table knows: it is measured.
    """

    def __init__(self, settings: Settings, engine: "Engine", clock: Callable[[], float] = time.monotonic) -> None:
        self.settings, self.clock = settings, clock
        self.measures = engine.device.type == "cpu" and engine.team.lead

    @contextlib.contextmanager
    def bar(self, label: str, total: int, done: int = 0, unit: str = "steps") -> Iterator[Advance]:
        """Show a progress bar."""
        with super().bar(label, total, done, unit) as advance:
            yield self._measured(advance, total - done) if self.measures and unit == "steps" else advance

    def _measured(self, advance: Advance, left: int) -> Advance:
        taken, started = 0, 0.0

        def move_on(count: int = 1, note: str | None = None) -> None:
            nonlocal taken, started
            taken += count
            if taken == 1:
                started = self.clock()
            if taken == 1 + _MEASURED:
                seconds = (self.clock() - started) / _MEASURED * (left - taken)
                if seconds > _LONG:
                    typer.echo(forecast(seconds, left - taken, self.settings), err=True)
            advance(count, note)

        return move_on


def forecast(seconds: float, left: int, settings: Settings) -> str:
    """Return in a line how long the steps that are left take, and the preset that takes less, if there is one."""
    line = f"note: the {left:,} steps take about {duration(seconds)} on this CPU"
    quick = settings.presets.get("quick", {})
    if settings.preset_name == "quick" or "steps" not in quick:
        return line
    return (
        f"{line}; --preset quick, in another --out, is made for one ({quick['steps']:,} steps). Ctrl-C stops, and the "
        "same command resumes"
    )


def duration(seconds: float) -> str:
    """Return a time in words, in days, hours or minutes, with as many digits as a forecast deserves."""
    hours = seconds / 3600
    if hours >= 48:
        return f"{hours / 24:.1f} days"
    return f"{hours:.0f} hours" if hours >= 2 else f"{hours * 60:.0f} minutes"
