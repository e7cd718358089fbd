"""Where and how tensors are computed: device, precision, threads and processes, chosen once at the edge."""

import contextlib
import os
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from toolkit.compute.compilation import Work, compiled, pays
from toolkit.compute.precision import cpu_gains_by_bf16
from toolkit.compute.ranks import local_rank, world_size
from toolkit.compute.team import SOLO, Team, join_team
from toolkit.errors import UserError, named
from toolkit.files.run_record import recorded_precision
from toolkit.untrusted.text import whole_number

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "fp32", "bf16")


@dataclass(frozen=True)
class Engine:
    """A device, the precision of its matrix products, the processes that share the work, and whether to compile it."""

    device: torch.device
    bf16: bool
    team: Team = SOLO
    compile: bool = False

    def autocast(self) -> AbstractContextManager:
        """Return a context in which convolutions and matrix products run in bfloat16, or one that does nothing."""
        if not self.bf16:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def for_training(self, mode: str, steps: int) -> "Engine":
        """Return the engine of a training of so many steps, with a compile mode of toolkit.compute.compilation.

        UserError for another mode, and where several processes would have to compile what they exchange.
        """
        wanted = pays(mode, self.device, steps)
        if wanted and mode == "on" and self.team.size > 1:
            raise UserError(f"{named('compile', 'on')} goes with one process; omit it")
        return replace(self, compile=wanted and self.team.size == 1)

    def fast(self, work: Work) -> Work:
        """Return `work`, a module or function, or its compiled form where this engine compiles."""
        return compiled(work) if self.compile else work

    def identity(self) -> dict[str, str]:
        """Return what has to stay the same for a resumed run to go on.

        Compiling and the number of processes change no more than rounding, and may differ.
        """
        return {"precision": "bf16" if self.bf16 else "fp32"}

    def describe(self) -> str:
        """Return a few words for run records, such as `cpu, bf16, 2 threads, 1 process`."""
        processes = f"{self.team.size} process{'es' if self.team.size > 1 else ''}"
        return f"{self.device}, {'bf16' if self.bf16 else 'fp32'}, {torch.get_num_threads()} threads, {processes}" + (
            ", compiled" if self.compile else ""
        )


def choose_engine(device: str = "auto", precision: str = "fp32", run: str | os.PathLike[str] | None = None) -> Engine:
    """Return the engine for names from DEVICES (or `cuda:1`) and PRECISIONS, with the processes the environment names.

    `auto` takes the first of cuda, mps, cpu that is there, and bf16 where it is faster for every process; of a `run`
    that is resumed it takes what the run began with. Of several processes each takes the GPU of its number. UserError
    when the device is not there, or is one for all of them.
    """
    name = device if device != "auto" else _best_device()
    if name.split(":")[0] not in DEVICES or not _available(name):
        raise UserError(f"no device {device!r} on this machine; use {named('device', 'cpu')}, or auto")
    if precision not in PRECISIONS:
        raise UserError(f"precision {precision!r} is unknown; choose one of {', '.join(PRECISIONS)}")
    if world_size() > 1:
        name = _own_device(name)
    chosen = torch.device(name)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    team = join_team(chosen.type == "cuda")
    if precision == "auto":
        begun = None if run is None else team.led(lambda: recorded_precision(Path(run)))
        precision = begun or ("fp32" if team.any(not _gains_by_bf16(chosen)) else "bf16")
    return Engine(chosen, precision == "bf16", team)


def _own_device(name: str) -> str:
    """Return the device of one process of several."""
    if name == "cpu":
        return name
    own = f"cuda:{local_rank()}"
    if name != "cuda" or not _available(own):
        raise UserError(
            f"process {local_rank()} of this machine cannot have {name} to itself; start one process a GPU, "
            f"or use {named('device', 'cpu')}"
        )
    return own


def _best_device() -> str:
    return next(name for name in ("cuda", "mps", "cpu") if _available(name))


def _available(name: str) -> bool:
    kind, colon, index = name.partition(":")
    if kind == "cuda":
        number = whole_number(index)
        there = not colon or (number is not None and number < torch.cuda.device_count())
        return there and torch.cuda.is_available()
    if kind == "mps":
        return not colon and torch.backends.mps.is_available()
    return name == "cpu"


def _gains_by_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and cpu_gains_by_bf16()
