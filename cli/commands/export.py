"""toolkit export: segmenters and generators for other runtimes, directions as the files of the original."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.inputs import completion
from cli.inputs.options import require
from cli.listing import FILES, listed_in
from cli.reports.hints import command, generator_words, segment_command
from cli.runs.progress import console, terminal
from generators.own.program_layouts import GENERATOR_LAYOUTS
from segmentation.export.settings import LAYOUTS, Export
from toolkit.command_line import as_flags
from toolkit.imports import import_torch

if TYPE_CHECKING:
    from toolkit.directions import DirectionSet

_OF_DIRECTIONS = ("deformator", "bg-direction")
_LAYOUTS = (*LAYOUTS, *GENERATOR_LAYOUTS, *_OF_DIRECTIONS)
_BIGBIGAN_LATENTS = 120


@listed_in(
    FILES,
    "toolkit export segmenter --layout onnx --out segmenter.onnx",
    "toolkit export directions --layout deformator --out for-the-original",
)
def export(
    source: Annotated[
        str,
        typer.Argument(
            help="Segmenter, generator or direction set, as the layout has it: a run folder, a file or a shipped name.",
            autocompletion=completion.shipped("segmenters"),
        ),
    ],
    layout: Annotated[
        str,
        typer.Option(
            help="Of segmenters onnx (any runtime, no torch), torch-export or torchscript (a program of torch); of "
            "generators the same three behind generator-, as in generator-onnx; of directions deformator (a folder "
            "for GANLatentDiscovery) or bg-direction (one tensor for segmentation).",
            autocompletion=completion.one_of(_LAYOUTS),
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            help="An .onnx, .pt2 (torch-export) or .pt file (torchscript), a new folder for deformator, a .pth file "
            "for bg-direction."
        ),
    ],
    half: Annotated[bool, typer.Option("--half", help="With onnx: store convolutions in 16 bits.")] = False,
    int8: Annotated[bool, typer.Option("--int8", help="With onnx: compute in 8 bits; with --calibrate.")] = False,
    calibrate: Annotated[Path | None, typer.Option(help="With --int8: folder of photos that show the ranges.")] = None,
    photos: Annotated[
        Path | None, typer.Option(help="With onnx: folder of photos to measure the loss of IoU on; with --masks.")
    ] = None,
    masks: Annotated[Path | None, typer.Option(help="Their masks.")] = None,
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
    """Write a segmenter or generator for other runtimes, or directions as the original implementations have them."""
    require(layout in _LAYOUTS, f"--layout is {layout!r}; choose one of {', '.join(_LAYOUTS)}")
    if layout in LAYOUTS:
        require(
            direction is None and alpha is None and gan_type is None,
            f"--direction, --alpha and --gan-type go with directions, and --layout {layout} is of segmenters",
        )
        _segmenter(source, out, layout, half, int8, calibrate, photos, masks)
        return
    require(
        not (half or int8 or calibrate or photos or masks),
        f"--half, --int8, --calibrate, --photos and --masks go with --layout onnx, not {layout}; omit them",
    )
    if layout in GENERATOR_LAYOUTS:
        require(
            direction is None and alpha is None and gan_type is None,
            f"--direction, --alpha and --gan-type go with directions, and --layout {layout} is of generators",
        )
        _generator_program(source, out, layout)
        return
    from discovery.opening import open_directions

    if layout == "deformator":
        require(direction is None and alpha is None, "--direction and --alpha go with --layout bg-direction")
        _deformator(Path(source), open_directions(Path(source)), out, gan_type)
    else:
        require(gan_type is None, "--gan-type goes with --layout deformator")
        _bg_direction(open_directions(Path(source)), out, direction, alpha)


def _segmenter(
    name: str,
    out: Path,
    layout: str,
    half: bool,
    int8: bool,
    calibrate: Path | None,
    photos: Path | None,
    masks: Path | None,
) -> None:
    import_torch()
    from segmentation.export.exporting import export_segmenter
    from segmentation.predict.segmenter import Segmenter

    how = Export(layout, half, int8, calibrate, photos, masks)
    card = export_segmenter(Segmenter.load(name), out, how, terminal)
    console.print(
        f"wrote {out}: {card['precision']}, {out.stat().st_size / 1e6:.1f} MB, for {card['image_size']} pixels"
    )
    measured = card["measured"]
    if "iou" in measured:
        line = f"IoU {measured['iou']:.4f} on {measured['photos']} photos, {measured['iou_lost']:+.4f} lost"
        console.print(line)
    elif measured:
        share = f"{measured['pixels_differing']:.3%} of the pixels"
        console.print(f"masks of the {measured['photos']} photos of --calibrate differ in {share}")
    if layout == "onnx":
        console.print(f"next: {command('predict', 'MY_PHOTOS', '--segmenter', out, '--out', 'masks')}")


def _generator_program(name: str, out: Path, layout: str) -> None:
    import_torch()
    from cli.inputs.sources import open_typed
    from generators.own.exporting import export_generator

    made = export_generator(open_typed(name), out, layout)
    console.print(
        f"wrote {out}: {out.stat().st_size / 1e6:.1f} MB; images within {made.difference:.2g} of the generator's"
    )
    if layout == "generator-onnx":
        inputs = "z and y, its classes," if "num_classes" in made.card else "z"
        console.print(f"{inputs} of any number of rows -> images in [-1, 1]; the rest is in its metadata, as card")
        return
    console.print(f"wrote {out.with_suffix('.json')}: what opening it needs to know")
    console.print(f"next: {command('sample', *generator_words(str(out)), '--out', 'samples.png')}")


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
