"""toolkit serve: a segmenter over HTTP, on this machine alone unless told otherwise."""

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from cli.inputs.options import (
    DEFAULT_SEGMENTER,
    DeviceOption,
    PrecisionOption,
    SegmenterOption,
    require,
    with_settings,
)
from cli.listing import SEGMENTATION, listed_in
from cli.runs.progress import console
from cli.runs.runtimes import RuntimeOption, opened_for, runtime_of
from cli.serve.settings import ServeSettings
from toolkit.errors import UserError

_LOCAL = "127.0.0.1"


@with_settings(ServeSettings, with_torch=False)
@listed_in(
    SEGMENTATION,
    "toolkit serve --segmenter segmenter",
    "toolkit serve --segmenter segmenter.onnx --address 0.0.0.0 --token-file token",
)
def serve(
    settings: ServeSettings,
    segmenter: SegmenterOption = None,
    address: Annotated[
        str, typer.Option(help="Address to listen at; any but this machine's own needs a token.")
    ] = _LOCAL,
    port: Annotated[
        int | None, typer.Option(help="Port to listen at; default: 8000, or a free one.", min=0, max=65535)
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(help="File with the token that requests have to bring; or set TOOLKIT_TOKEN to it."),
    ] = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    runtime: RuntimeOption = "auto",
) -> None:
    """Answer photos with masks, soft maps, overlays, cut-outs, composites or figures, over HTTP."""
    name = segmenter or DEFAULT_SEGMENTER
    chosen = runtime_of(runtime, name)
    from cli.serve.token import token_of
    from cli.web.sockets import bound_socket, is_loopback

    token = token_of(token_file)
    require(
        token is not None or is_loopback(address),
        f"--address is {address}, which others reach; give --token-file, or omit --address",
    )
    try:
        from cli.serve.server import PhotoServer
    except ImportError as error:  # where only what predict needs with onnx files is installed
        raise UserError(f"serve needs {error.name}; pip install fastapi uvicorn python-multipart") from error
    opened, bf16, _ = opened_for(chosen, name, device, precision, 1)
    with bound_socket(port, address) as bound, contextlib.suppress(KeyboardInterrupt):  # passed on after a good end
        server = PhotoServer(opened, name, settings, address, token, bf16)
        shown = f"[{address}]" if ":" in address else address
        console.print(f"{name} at http://{shown}:{bound.getsockname()[1]}   (Ctrl-C ends it)")
        server.run(sockets=[bound])
    console.print("ended")
