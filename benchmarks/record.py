"""The one form of what benchmarks measure, as JSON: what ran where, and rows by what was done and by which way.

    {"benchmark": "modern", "machine": {...}, "torch": "2.15.0", "threads": 1, "rounds": 3,
     "rows": {"proggan-1024": {"plain": {"wall": [2.1, ...], "cpu": [2.1, ...], ...}, "fp32": {...}}}, "further": {...}}

`wall` and `cpu` are seconds of every repetition; other figures of a way stand beside them. `benchmarks.compare` reads
two such files.
"""

import argparse
import os
import platform
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from toolkit.files.writing import write_json

Rows = Mapping[str, Mapping[str, Mapping[str, Any]]]
INSTRUCTIONS = ("amx_bf16", "amx_int8", "avx512_bf16", "avx512f", "avx2", "bf16", "sve", "asimd")  # the last three: Arm
_PROCESSORS = Path("/proc/cpuinfo")


def add_flag(parser: argparse.ArgumentParser, *was: str) -> None:
    """Add the flag that every benchmark has, under older spellings too."""
    parser.add_argument("--json", *was, type=Path, metavar="FILE", help="file to write the record to, as JSON")


def machine(described: str | None = None) -> dict[str, Any]:
    """Return what is known of this machine; `described` is in the form of Linux's /proc/cpuinfo, read if None."""
    if described is None:
        described = _PROCESSORS.read_text(encoding="utf-8", errors="replace") if _PROCESSORS.is_file() else ""
    pairs = (line.partition(":") for line in described.splitlines())
    told = {name.strip(): value.strip() for name, _, value in pairs}
    flags = f"{told.get('flags', '')} {told.get('Features', '')}".split()
    return {
        "processor": told.get("model name") or platform.processor() or platform.machine(),
        "instructions": [name for name in INSTRUCTIONS if name in flags],
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def write(path: Path | None, benchmark: str, rows: Rows, rounds: int = 1, **further: Any) -> None:
    """Write the record of a benchmark, unless there is no path; `further` figures belong to no row.

    Threads are torch's where it is in use, else those of OMP_NUM_THREADS, else None: as the programs that ran choose.
    """
    if path is None:
        return
    held = {"benchmark": benchmark, "machine": machine(), "torch": version("torch"), "threads": threads()}
    write_json(path, {**held, "rounds": rounds, "rows": rows, "further": further})


def threads() -> int | None:
    """Return how many threads a matrix product may take in this process or, by the environment, in those it starts."""
    torch = sys.modules.get("torch")
    if torch is not None:
        return int(torch.get_num_threads())
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdecimal() else None
