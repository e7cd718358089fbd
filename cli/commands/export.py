"""toolkit export: directions as the files of the original."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.inputs import completion
from cli.inputs.options import DirectionsArgument, require
from cli.listing import FILES, listed_in
from cli.reports.hints import command, generator_words, segment_command
from cli.runs.progress import console
from toolkit.command_line import as_flags

if TYPE_CHECKING:
    from toolkit.directions import DirectionSet

_LAYOUTS = ("deformator", "bg-direction")
_BIGBIGAN_LATENTS = 120


@listed_in(
    FILES,
    "toolkit export directions --layout deformator --out for-the-original",
    "toolkit export directions --layout bg-direction --out bg_direction.pth",
)
def export(
    directions: DirectionsArgument,
    layout: Annotated[
        str,
        typer.Option(
            help="deformator: a folder for GANLatentDiscovery; bg-direction: one tensor for segmentation.",
            autocompletion=completion.one_of(_LAYOUTS),
        ),
    ],
    out: Annotated[Path, typer.Option(help="A new folder for deformator, a .pth file for bg-direction.")],
    direction: Annotated[
        str | None, typer.Option(help="With bg-direction: number or name; the chosen one if omitted.")
    ] = None,
    alpha: Annotated[
        float | None, typer.Option(help="With bg-direction: shift length, negative for the other way.")
    ] = None,
    gan_type: Annotated[
        str | None,
        typer.Option(
            help="With deformator: BigGAN, ProgGAN, SN_MNIST, SN_Anime or StyleGAN2, if the set does not say."
        ),
    ] = None,
) -> None:
    """Write directions in the layout of the original implementations, which also opens here."""
    from discovery.opening import open_directions

    require(layout in _LAYOUTS, f"--layout is {layout!r}; choose one of {', '.join(_LAYOUTS)}")
    if layout == "deformator":
        require(direction is None and alpha is None, "--direction and --alpha go with --layout bg-direction")
        _deformator(directions, open_directions(directions), out, gan_type)
    else:
        require(gan_type is None, "--gan-type goes with --layout deformator")
        _bg_direction(open_directions(directions), out, direction, alpha)


def _deformator(given: Path, directions: "DirectionSet", out: Path, gan_type: str | None) -> None:
    from discovery.originals.reading import GANS, is_published
    from discovery.originals.writing import export_folder, networks_of
    from toolkit.directions import direction_file

    require(not is_published(given), f"{given} has this layout already; copy it as it is")
    require(gan_type is None or gan_type in GANS, f"--gan-type is {gan_type!r}; choose one of {', '.join(GANS)}")
    file = direction_file(given)
    checkpoint = file.with_name("checkpoint.pt") if file.name == "directions.safetensors" else None
    networks = networks_of(directions, checkpoint)
    for note in export_folder(out, directions, networks, gan_type):
        console.print(f"note: {as_flags(note)}")
    what = "deformator and shift predictor" if networks.predictor is not None else "deformator, and no shift predictor"
    console.print(f"wrote {out}: {networks.kind} {what}, {len(directions)} directions")
    recorded = directions.source.generator or directions.generator
    named = _generator(directions)
    words = [] if named == recorded else generator_words(named)
    following = command("render-gif", out, *words, "--direction", 0, "--alpha", 6, "--out", "direction.gif")
    console.print(f"next: {following}")


def _bg_direction(directions: "DirectionSet", out: Path, direction: str | None, alpha: float | None) -> None:
    from discovery.originals.writing import require_all_layers
    from toolkit.files.writing import writable_file
    from toolkit.untrusted.bg_direction import save_published

    require_all_layers(directions)
    writable_file(out, (".pth", ".pt"))
    shift = directions.resolve(direction, alpha)
    choice, vector = directions.choice, shift.alpha * directions.vectors[shift.index]
    save_published(out, vector)
    if choice is not None and choice.opposite is not None and shift.index == choice.index:
        console.print(f"note: one tensor holds no opposite; {directions.names[choice.opposite]} is omitted")
    if len(vector) != _BIGBIGAN_LATENTS:
        console.print(
            f"note: the original's BigBiGAN has {_BIGBIGAN_LATENTS} latent numbers, this direction {len(vector)}"
        )
    given = [] if directions.generator == "bigbigan" else generator_words(_generator(directions))
    if given:
        console.print("note: the file names no generator, and bigbigan is taken for it unless --generator is given")
    console.print(
        f"wrote {out}: {shift.name}, {shift.alpha:+g}, as a fifth of the shift: what the original multiplies "
        "by its latent_shift_r, 5"
    )
    console.print(f"next: {segment_command(out, *given, rule=shift.recorded_rule)}")


def _generator(directions: "DirectionSet") -> str:
    """Return what to write behind --generator; with FILE in it where the set names no weights that are at hand."""
    from generators.catalogue import known_generators
    from generators.recorded import missing_words, words_for

    source = directions.source
    if source.missing is not None:
        return missing_words(source.missing)
    named = directions.generator in known_generators()
    return words_for(source.generator or (directions.generator if named else "FILE"))
