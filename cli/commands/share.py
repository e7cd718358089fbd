"""toolkit share: artefacts onto the hub people share models on, with a model card."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.listing import FILES, listed_in
from cli.runs.progress import console, terminal
from toolkit.command_line import command
from toolkit.imports import import_torch

if TYPE_CHECKING:
    from toolkit.hub.sharing import Prepared

_NEXT = {
    "segmenters": ("predict", "MY_PHOTOS", "--segmenter", "{}", "--out", "masks"),
    "directions": ("render-gif", "{}", "--direction", "0", "--out", "direction.gif"),
    "generators": ("sample", "--generator", "{}", "--out", "samples.png"),
    "encoders": ("embed", "MY_PHOTOS", "--generator", "GENERATOR", "--encoder", "{}", "--out", "latents.npy"),
}


@listed_in(
    FILES,
    "toolkit share segmenter hub:me/flowers --license mit --dry-run",
    "toolkit share directions hub:me/flower-directions --private",
)
def share(
    artefact: Annotated[Path, typer.Argument(help="Run folder or file of a generator, set, encoder or segmenter.")],
    to: Annotated[str, typer.Argument(help="hub:owner/name, a branch behind @; /FILE.safetensors names the file.")],
    licence: Annotated[
        str, typer.Option("--license", help="The hub's name of the terms you share under: mit, cc-by-4.0, other ...")
    ] = "unknown",
    private: Annotated[bool, typer.Option("--private", help="Make the repository visible to you alone.")] = False,
    message: Annotated[str | None, typer.Option(help="What the commit says.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would go up; ask and send nothing.")] = False,
) -> None:
    """Push an artefact and a model card of what it records to the hub, as one commit."""
    import_torch()
    from toolkit.hub.sharing import UNKNOWN_LICENCE, prepare, push

    prepared = prepare(artefact, to, licence)
    if prepared.shortened:
        console.print(f"note: paths of this machine are shortened: {', '.join(prepared.shortened)}")
    if licence == UNKNOWN_LICENCE:
        console.print("note: the card says that the licence is unknown; name yours with --license")
    if dry_run:
        _show(prepared, private)
        return
    console.print(f"sharing {_sizes(prepared)} as {prepared.target}")
    shared = push(prepared, private, message, terminal)
    console.print(f"{'wrote' if shared.changed else 'there already:'} {shared.address}, for ever {shared.reference}")
    words = [word.format(shared.reference) for word in _NEXT[prepared.role]]
    console.print(f"next: {command(*words)}")


def _show(prepared: "Prepared", private: bool) -> None:
    console.print(prepared.card)
    seen = "private where it is new" if private else "as it is, or public where it is new"
    console.print(f"would share {_sizes(prepared)} as {prepared.target} ({seen}); nothing was asked or sent")


def _sizes(prepared: "Prepared") -> str:
    return ", ".join(f"{name} ({size / 1e6:.2g} MB)" for name, size in prepared.files.items())
