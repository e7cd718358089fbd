"""toolkit browse: the directions of a set as a page in the browser, on this machine alone."""

import contextlib
import os
import sys
import threading
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from cli.inputs.options import DeviceOption, DirectionsArgument, OtherGeneratorOption, PrecisionOption, WeightsOption
from cli.reports.hints import generator_words
from cli.runs.progress import console


def browse(
    run: DirectionsArgument = Path("flowers64"),
    port: Annotated[
        int | None, typer.Option(help="Port of the page; default: 8000, or a free one.", min=0, max=65535)
    ] = None,
    open_page: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in the browser.")] = True,
    segmenter: Annotated[
        str | None,
        typer.Option(help="Segmenter to try on photos; default: the one shipped for the generator, if there is one."),
    ] = None,
    copy_to: Annotated[
        Path | None,
        typer.Option(help="Folder in which the page makes a copy of a shipped set; default: NAME-directions."),
    ] = None,
    generator: OtherGeneratorOption = None,
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
) -> None:
    """Look through directions, name and choose them, and try the segmenter, on a page in the browser."""
    from cli.browse.app import Page
    from cli.browse.pictures import Pictures
    from cli.browse.server import ADDRESS, BrowseServer, bound_socket
    from cli.browse.set import BrowsedSet
    from cli.inputs.sources import generator_of
    from segmentation.predict.segmenter import Segmenter
    from toolkit.compute.engine import choose_engine

    engine = choose_engine(device, precision)
    flags = generator_words(generator, weights)
    shown = BrowsedSet.open(run, copy_to, flags)
    opened = generator_of(shown.directions, generator, weights)[0].to(engine.device)
    name = segmenter or _shipped_segmenter(opened.name)
    found = Segmenter.load(name).to(engine.device) if name else None
    bound = bound_socket(port)
    address = f"http://{ADDRESS}:{bound.getsockname()[1]}"
    console.print(f"{len(shown.directions)} directions of {opened.name} at {address}   (Ctrl-C ends it)")
    if open_page and _has_screen():
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
    page = Page(shown, Pictures(opened, engine), found, name)
    with bound, contextlib.suppress(KeyboardInterrupt):  # uvicorn ends in good order, then passes Ctrl-C on
        BrowseServer(page).run(sockets=[bound])
    console.print("ended")


def _shipped_segmenter(generator: str) -> str:
    """Return the name of the segmenter shipped for a generator, or nothing."""
    from toolkit.files.shipped import shipped_file

    bare = Path(generator).name == generator  # a generator's file says its name, which is no path to open
    return generator if bare and (shipped_file("segmenters") / f"{generator}.safetensors").is_file() else ""


def _has_screen() -> bool:
    """Return whether a browser would have a screen to open on; a text browser would take the terminal."""
    return not sys.platform.startswith("linux") or any(os.environ.get(n) for n in ("DISPLAY", "WAYLAND_DISPLAY"))
