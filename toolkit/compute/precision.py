"""Whether this CPU is faster in bfloat16: measured once, and remembered with all that the answer depends on."""

import contextlib
import functools
import hashlib
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import torch

from toolkit.errors import UserError
from toolkit.files.places import cache_folder
from toolkit.files.writing import read_json, write_json

# oneDNN and torch may be told to leave instructions alone.
_LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ONEDNN_CPU_ISA_HINTS", "ATEN_CPU_CAPABILITY")
_OF_CPU = ("model name", "flags", "Features", "CPU implementer", "CPU part")  # lines of /proc/cpuinfo
# Of a convolution and of its backward pass, each by itself, on an AMD EPYC: 1.7 to 2.0 and 1.3 to 1.9 times as fast in
# bfloat16 with avx512_bf16, .41 and .35 times limited to AVX512_CORE, .22 and .07 limited to AVX2. Nothing is near the
# bound, so that a busy machine decides as an idle one does.
_LEAST_GAIN = 1.1
_SECONDS, _MOST_ROUNDS = 0.1, 24
# Of this thread's own work, which no other program lengthens; Windows counts that in steps of 16 ms.
_FINE = time.get_clock_info("thread_time").resolution < 1e-5
_clock = time.thread_time if _FINE else time.perf_counter


@functools.cache
def cpu_gains_by_bf16() -> bool:
    """Return whether convolutions and their backward passes are both faster in bfloat16 on this CPU, by a tenth.

    Measured in about a tenth of a second the first time, remembered in the folder for downloads. False where torch
    cannot compute them in bfloat16.
    """
    known = cache_folder() / "precision" / f"{_fingerprint()}.json"
    with contextlib.suppress(
        UserError, ValueError, TypeError, KeyError, AttributeError
    ):  # missing, or not what was written
        return min(float(gain) for gain in read_json(known)["gains"].values()) >= _LEAST_GAIN
    gains = measured_gains()
    with contextlib.suppress(OSError, UserError):  # of a disk that is full or not to be written on: measured again
        known.parent.mkdir(parents=True, exist_ok=True)
        write_json(known, {"cpu": platform.processor(), "torch": torch.__version__, "gains": gains})
    return min(gains.values()) >= _LEAST_GAIN


def measured_gains() -> dict[str, float]:
    """Return how many times as fast a convolution is in bfloat16, `forward` and `backward`; 0 where it cannot be."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        works = {dtype: _works(dtype) for dtype in (torch.float32, torch.bfloat16)}
        times = _best_seconds([work for pair in works.values() for work in pair])
    except RuntimeError:  # no kernel for it
        return {"forward": 0.0, "backward": 0.0}
    finally:
        torch.set_num_threads(threads)
    return {"forward": times[0] / times[2], "backward": times[1] / times[3]}


def _works(dtype: torch.dtype) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return a convolution of 64 channels, and its backward pass without autograd's machinery, to be timed."""
    images = torch.ones(1, 64, 32, 32, dtype=dtype).contiguous(memory_format=torch.channels_last)
    weights = torch.ones(64, 64, 3, 3, dtype=dtype).contiguous(memory_format=torch.channels_last)
    one, none, wanted = [1, 1], [0, 0], [True, True, False]

    def forward() -> object:
        return torch.conv2d(images, weights, padding=1)

    def backward() -> object:
        operator = torch.ops.aten.convolution_backward
        return operator(images, images, weights, None, one, one, one, False, none, 1, wanted)

    return forward, backward


@torch.no_grad()
def _best_seconds(works: list[Callable[[], object]]) -> list[float]:
    """Return the least seconds of each work, by turns, so that whatever else runs slows all alike."""
    for work in works:
        work()  # makes its kernels
    best = [float("inf")] * len(works)
    began, rounds = _clock(), 0
    while rounds < 2 or (rounds < _MOST_ROUNDS and _clock() - began < _SECONDS):
        for number, work in enumerate(works):
            start = _clock()
            work()
            best[number] = min(best[number], _clock() - start)
        rounds += 1
    return best


def _fingerprint() -> str:
    """Return a name for this CPU, this torch, and the limits set for their instructions."""
    limits = [os.environ.get(name, "") for name in _LIMITS]
    said = json.dumps([platform.machine(), _cpu(), torch.__version__, limits])
    return hashlib.sha256(said.encode()).hexdigest()[:32]


def _cpu() -> list[str]:
    with contextlib.suppress(OSError):
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split("\n\n")[0]
        return [line for line in first.splitlines() if line.split("\t")[0].strip(" :") in _OF_CPU]
    return [platform.processor()]
