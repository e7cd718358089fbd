"""What computes a segmenter: torch, or onnxruntime, for which torch need not be there."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from cli.inputs import completion
from cli.inputs.options import require
from cli.runs.processes import engine_of
from toolkit.imports import import_torch

if TYPE_CHECKING:
    from segmentation.predict.photos import Predictor
    from toolkit.compute.team import Team

TORCH, ONNX = "torch", "onnx"
_RUNTIMES = ("auto", TORCH, ONNX)
RuntimeOption = Annotated[
    str,
    typer.Option(
        help="torch, onnx (of .onnx files, made by toolkit export; needs no torch), or auto: by the segmenter's file.",
        autocompletion=completion.one_of(_RUNTIMES),
    ),
]


class Opened(NamedTuple):
    """A segmenter, whether its network is to be computed in bfloat16, and the processes that share the photos."""

    segmenter: "Predictor"
    bf16: bool
    team: "Team"


def runtime_of(runtime: str, segmenter: str) -> str:
    """Return torch or onnx for the choice of a runtime; UserError for another, or one that the file is not for.

    torch is imported here where it is to be used, before anything else does so more slowly.
    """
    require(runtime in _RUNTIMES, f"--runtime is {runtime!r}; choose one of {', '.join(_RUNTIMES)}")
    exported = Path(segmenter).suffix.lower() == ".onnx"
    require(
        exported or runtime != ONNX,
        f"--runtime onnx is for .onnx files, and the segmenter is {segmenter}; make one with toolkit export "
        f"{segmenter} --layout onnx --out segmenter.onnx",
    )
    require(not exported or runtime != TORCH, f"--runtime torch does not read {segmenter}; omit it")
    if not exported:
        import_torch()
    return ONNX if exported else TORCH


def opened_for(runtime: str, segmenter: str, device: str, precision: str, processes: int) -> Opened:
    """Return a segmenter opened for a runtime; UserError for flags that the runtime does not have."""
    if runtime == TORCH:
        from segmentation.predict.segmenter import Segmenter

        engine = engine_of(device, precision, processes)
        return Opened(Segmenter.load(segmenter).to(engine.device), engine.bf16, engine.team)
    from segmentation.predict.onnx_segmenter import OnnxSegmenter
    from toolkit.compute.ranks import world_size
    from toolkit.compute.team import SOLO

    require(device in ("auto", "cpu"), f"--device is {device!r}, but --runtime onnx computes on the cpu; omit it")
    require(precision == "auto", "--precision is that of the .onnx file; omit it, or export in another")
    require(processes == 1 == world_size(), "--processes goes with --runtime torch; onnx takes all cores by itself")
    return Opened(OnnxSegmenter.load(segmenter), False, SOLO)
