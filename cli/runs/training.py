"""Runs with what the user sees of them: a bar, lines, and a clean stop on Ctrl-C."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.inputs.options import require
from cli.runs.progress import console, terminal
from toolkit.watch import Watch

if TYPE_CHECKING:
    from toolkit.files.driving import Work
    from toolkit.files.runs import RunFolder


def carried_out(work: "Work[Any, Any]", out: Path, watch: Watch = terminal) -> "RunFolder":
    """Return the finished run of some work in `out`, showing what is done (toolkit.files.driving)."""
    from toolkit.files.driving import carry_out

    return carry_out(work, out, watch)


def within_memory(
    settings: Any, max_memory: str | None, needed: "Callable[[], Callable[[int], int]]", processes: int
) -> Any:
    """Return the settings with the largest `micro_batch` whose step fits `max_memory` in each process, if given.

    They have `batch` and `micro_batch`. `needed` returns a function from samples at a time to bytes. UserError when not
    even two samples fit.
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
