"""Reads one damaged file after the other, and says of each how it ended."""

import contextlib
import json
import os
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from random import Random

from toolkit.errors import UserError
from toolkit.untrusted.printable import is_printable

from .readers import READERS, damaged
from .samples import write_all

MOST_MEMORY = 2_000_000_000  # bytes above what the libraries themselves take
_LONGEST_LINE = 4000


def outcomes(names: list[str], seed: int, numbers: range) -> Iterator[dict]:
    """Yield, for each damaged file, what is about to be read and then how that ended."""
    with tempfile.TemporaryDirectory() as place:
        whole = Path(place) / "whole"
        write_all(whole)
        contents = {name: (whole / READERS[name].file).read_bytes() for name in names}
        for number in numbers:
            name = names[number % len(names)]
            yield {"number": number, "reader": name}
            folder = Path(place) / "damaged"
            shutil.copytree(whole, folder)
            try:
                damaged(READERS[name], Random(f"{seed}:{number}"), folder, contents[name])
                started, before = time.monotonic(), _peak()
                how = _outcome(name, folder)
            except Exception:  # of the damage itself
                started, before = time.monotonic(), _peak()
                how = {"how": "fault", "why": traceback.format_exc()}
            yield {
                "number": number,
                "reader": name,
                **how,
                "seconds": time.monotonic() - started,
                "bytes": _peak() - before,
            }
            shutil.rmtree(folder)


def _outcome(name: str, folder: Path) -> dict:
    try:
        with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
            warnings.simplefilter("error")  # a user would see it, and could do nothing about it
            READERS[name].read(folder)
        return {"how": "read"}
    except UserError as error:
        text = str(error)
        if not is_printable(text) or len(text) > _LONGEST_LINE or _asked_too_much(error):
            return {"how": "fault", "why": traceback.format_exc()}
        return {"how": "refused", "why": text}
    except BaseException:
        return {"how": "fault", "why": traceback.format_exc()}


def _asked_too_much(error: BaseException | None) -> bool:
    """Return whether memory was asked for that there is not: sizes have to be checked before."""
    while error is not None:
        if isinstance(error, MemoryError) or "allocate memory" in str(error):
            return True
        error = error.__cause__
    return False


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def limit_memory() -> None:
    """Let this process have no more than MOST_MEMORY beyond what it has."""
    held = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (held + MOST_MEMORY,) * 2)


def main() -> None:
    """Work through the numbers from argv[2] to argv[3] of the seed argv[1], with the readers that follow."""
    seed, first, end = (int(text) for text in sys.argv[1:4])
    names = sys.argv[4:] or list(READERS)
    import torch

    torch.set_num_threads(1)
    if sys.platform == "linux":
        limit_memory()
    for line in outcomes(names, seed, range(first, end)):
        sys.__stdout__.write(json.dumps(line) + "\n")
        sys.__stdout__.flush()
