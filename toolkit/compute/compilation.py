"""torch.compile behind a switch: never a reason for a run to end, and no change to a network's names or state."""

import sys
import warnings
from collections.abc import Callable
from typing import Any

import torch

from toolkit.compute.torch_private import compiler_errors
from toolkit.errors import UserError, named

MODES = ("auto", "on", "off")

_WORTH_STEPS = 2000  # compiling takes a minute or two

Work = Callable[..., Any]


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr)


def pays(mode: str, device: torch.device, steps: int) -> bool:
    """Return whether to compile what runs for so many steps on `device`; UserError for a mode not in MODES.

    `auto` does so in long runs on CUDA. On CPUs, where most time goes to convolutions and matrix products that stay as
    they are, compiling gains nothing (0.96 to 1.07 times as fast, after 27 to 98 seconds of it).
    """
    if mode not in MODES:
        raise UserError(f"{named('compile')} is {mode!r}; choose one of {', '.join(MODES)}")
    return mode == "on" or (mode == "auto" and device.type == "cuda" and steps >= _WORTH_STEPS)


def compiled(work: Work, tell: Callable[[str], None] = _to_stderr, backend: str | Work = "inductor") -> Work:
    """Return `work`, a module or function, compiled at its first call.

    Where compiling fails, one line goes to `tell` and `work` runs as it came from then on. Only what comes back is
    called in another way; a module keeps its names, state and mode.
    """
    return _Compiled(work, tell, backend)


class _Compiled:
    """Calls the compiled form of some work for as long as it compiles."""

    def __init__(self, work: Work, tell: Callable[[str], None], backend: str | Work) -> None:
        self._plain = work
        self._tell = tell
        # Of the compiler's own insides, not of the work. For good: restoring filters is not safe among threads.
        warnings.filterwarnings("ignore", category=FutureWarning, module="torch")
        warnings.filterwarnings("ignore", "The .grad attribute of a Tensor that is not a leaf", UserWarning)
        warnings.filterwarnings("ignore", "<class 'torch.autograd.function.Function'> should not", DeprecationWarning)
        # Fixed sizes: a backward pass for sizes left open is compiled when it runs, too late for another way.
        self._fast: Work | None = torch.compile(work, backend=backend, dynamic=False)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._fast is not None:
            try:
                return self._fast(*args, **kwargs)
            except compiler_errors() as error:
                self._fast = None
                reason = " ".join(str(error).splitlines()[:2]).strip()  # the compiler's name, then its error
                self._tell(f"warning: torch.compile failed, going on without it ({reason})")
        return self._plain(*args, **kwargs)
