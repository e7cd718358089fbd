"""toolkit browse: the directions of a set as a page in the browser, on this machine alone."""

import contextlib
import os
import sys
import threading
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.inputs import completion
from cli.inputs.options import DeviceOption, DirectionsArgument, OtherGeneratorOption, PrecisionOption, WeightsOption
from cli.listing import START, listed_in
from cli.reports.hints import generator_words
from cli.runs.progress import console, terminal
from toolkit.command_line import as_flags
from toolkit.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cli.browse.photos import PhotoEmbedder
    from generators.protocol import Generator
    from toolkit.compute.engine import Engine


@listed_in(START, "toolkit browse", "toolkit browse directions --segmenter segmenter")
def browse(
    run: DirectionsArgument = Path("flowers64"),
    port: Annotated[
        int | None, typer.Option(help="Port of the page; default: 8000, or a free one.", min=0, max=65535)
    ] = None,
    open_page: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in the browser.")] = True,
    segmenter: Annotated[
        str | None,
        typer.Option(
            help="Segmenter to try on photos; default: the one shipped for the generator, if there is one.",
            autocompletion=completion.shipped("segmenters"),
        ),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            help="Encoder for photos of yours: run folder, file or shipped name; default: the generator's own."
        ),
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
    """Look through directions, move samples and photos along them, name and choose them, on a page in the browser."""
    from cli.browse.app import Page
    from cli.browse.pictures import Pictures
    from cli.browse.server import BrowseServer
    from cli.browse.set import BrowsedSet
    from cli.inputs.sources import generator_of
    from cli.web.sockets import ADDRESS, bound_socket
    from segmentation.predict.segmenter import Segmenter
    from toolkit.compute.engine import choose_engine

    engine = choose_engine(device, precision)
    flags = generator_words(generator, weights)
    shown = BrowsedSet.open(run, copy_to, flags)
    opened, inputs = generator_of(shown.directions, generator, weights)
    opened = opened.to(engine.device)
    name = segmenter or _shipped_segmenter(opened.name)
    model = Segmenter.load(name).to(engine.device) if name else None
    embedder, no_embedder = _open_embedder(encoder, opened, inputs, engine)
    bound = bound_socket(port)
    address = f"http://{ADDRESS}:{bound.getsockname()[1]}"
    console.print(f"{len(shown.directions)} directions of {opened.name} at {address}   (Ctrl-C ends it)")
    if open_page and _has_screen():
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
    page = Page(shown, Pictures(opened, engine), model, name, embedder, no_embedder)
    with bound, contextlib.suppress(KeyboardInterrupt):  # uvicorn ends in good order, then passes Ctrl-C on
        BrowseServer(page).run(sockets=[bound])
    console.print("ended")


def _shipped_segmenter(generator: str) -> str:
    """Return the name of the segmenter shipped for a generator, or nothing."""
    from toolkit.files.shipped import shipped_file

    bare = Path(generator).name == generator  # a generator's file says its name, which is no path to open
    return generator if bare and (shipped_file("segmenters") / f"{generator}.safetensors").is_file() else ""


def _open_embedder(
    name: str | None, generator: "Generator", inputs: "Mapping[str, str]", engine: "Engine"
) -> "tuple[PhotoEmbedder | None, str]":
    """Return what embeds photos, or None and why there is none; UserError where a named one will not do."""
    from cli.browse.photos import EncodedPhotos, ProjectedPhotos
    from generators.encoder.embedding import require_fit, trained_on_another
    from generators.encoder.network import load_encoder
    from generators.encoder.opening import encoder_file
    from generators.projection.photos import is_projected

    try:
        if is_projected(generator, inputs["generator"], name):
            return ProjectedPhotos(generator, inputs, engine, terminal), ""
        encoder = load_encoder(encoder_file(name, inputs["generator"])).to(engine.device)
        require_fit(encoder, generator)
    except UserError as error:
        if name is not None:
            raise
        return None, as_flags(error.marked)
    if trained_on_another(encoder, inputs.get("generator_digest")):
        console.print(f"note: the encoder was trained on another file of {generator.name}")
    return EncodedPhotos(encoder, generator, engine.device), ""


def _has_screen() -> bool:
    """Return whether a browser would have a screen to open on; a text browser would take the terminal."""
    return not sys.platform.startswith("linux") or any(os.environ.get(n) for n in ("DISPLAY", "WAYLAND_DISPLAY"))
