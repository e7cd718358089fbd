"""toolkit render-gif: an animation along a direction."""

from pathlib import Path
from typing import Annotated

import typer

from cli.inputs import completion
from cli.inputs.latents import EncoderOption, LatentsOption, PhotoOption, require_one_source, shown_latents
from cli.inputs.options import (
    CentredOption,
    DeviceOption,
    DirectionOption,
    DirectionsArgument,
    LayersOption,
    OtherGeneratorOption,
    PrecisionOption,
    SeedOption,
    SigmaOption,
    WeightsOption,
    require,
)
from cli.listing import DIRECTIONS, listed_in
from cli.reports.hints import generator_words, segment_command
from cli.runs.progress import console, terminal
from toolkit.imports import import_torch
from toolkit.masks.rules import DEFAULT_RULE, MASK_RULES

_LEAST_SIDE = 16  # pixels of one picture


@listed_in(
    DIRECTIONS,
    "toolkit render-gif directions --out direction.gif",
    "toolkit render-gif directions --photo photo.jpg --alpha 6 --out photo.gif",
    formerly={"--reach": "--alpha"},
)
def render_gif(
    directions: DirectionsArgument,
    out: Annotated[Path, typer.Option(help="A .gif, .webp or .mp4 file.")],
    direction: DirectionOption = None,
    alpha: Annotated[float | None, typer.Option(help="Walk from -alpha to +alpha; default: the chosen length.")] = None,
    sigma: SigmaOption = None,
    centred: CentredOption = False,
    layers: LayersOption = None,
    frames: Annotated[int, typer.Option(help="Frames of one way.", min=2)] = 31,
    fps: Annotated[float, typer.Option(help="Frames a second.", min=0.5, max=50)] = 20.0,
    samples: Annotated[int | None, typer.Option(help="Latents shown side by side.", min=1, show_default="8")] = None,
    latents: LatentsOption = None,
    photo: PhotoOption = None,
    encoder: EncoderOption = None,
    mix: Annotated[
        str | None,
        typer.Option(help="Take the latents of these layers from a second sample: mixed styles, as 4-7."),
    ] = None,
    columns: Annotated[int | None, typer.Option(help="Columns of the grid.", min=1)] = None,
    size: Annotated[
        int | None,
        typer.Option(
            help="Longer side of one picture in pixels; not set: the generator's, or below 128 a multiple of it.",
            min=_LEAST_SIDE,
            max=2048,
        ),
    ] = None,
    loop: Annotated[bool, typer.Option("--there-and-back/--one-way", help="Walk back too.")] = True,
    mask: Annotated[bool, typer.Option("--mask/--no-mask", help="Outline the mask that each shift gives.")] = False,
    mask_rule: Annotated[
        str | None,
        typer.Option(
            help=f"With --mask: {', '.join(MASK_RULES.own)}; not set: the one recorded with the direction, or else "
            f"{DEFAULT_RULE}.",
            autocompletion=completion.one_of(MASK_RULES),
        ),
    ] = None,
    generator: OtherGeneratorOption = None,
    weights: WeightsOption = None,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "fp32",
) -> None:
    """Animate images along a direction."""
    from toolkit.files.writing import writable_file
    from toolkit.pictures.animation import ENDINGS, require_video, write_animation

    writable_file(out, ENDINGS)
    require(
        mask_rule is None or mask_rule in MASK_RULES,
        f"--mask-rule is {mask_rule!r}; choose one of {', '.join(MASK_RULES)}",
    )
    require_one_source(latents, photo, samples=samples)
    if out.suffix.lower() == ".mp4":
        require_video()
    import_torch()
    from cli.inputs.sources import set_and_generator
    from discovery.animation import walk_frames
    from discovery.opening import open_directions
    from discovery.walks import walk_along
    from generators.layered import mixed
    from generators.protocol import image_shape, layers_named, layers_of
    from toolkit.compute.engine import choose_engine
    from toolkit.pictures.pixels import enlargement, with_longer_side
    from toolkit.streams import Stream

    engine = choose_engine(device, precision)
    opened = open_directions(directions)
    reach = 6.0 if direction is not None and alpha is None and sigma is None else alpha
    walk_along(opened, None, direction, reach, sigma, centred)  # refuses what is not there before the generator opens
    opened, gan, source = set_and_generator(opened, generator, weights, layers)
    shift = walk_along(opened, gan, direction, reach, sigma, centred)
    gan, rng = gan.to(engine.device), Stream(seed, "render-gif")
    points = shown_latents(gan, source["generator"], latents, photo, encoder, samples or 8, rng, engine)
    if mix is not None:
        which, others = layers_named(mix, gan, "mix"), gan.sample(len(points), Stream(seed, "render-gif-mix"))
        points = mixed(points, others, which, layers_of(gan) or 0)
    columns, side = columns or min(len(points), 4), size or gan.image_size * enlargement(gan.image_size)
    _require_fit(out, len(points), columns, with_longer_side(*image_shape(gan), side))
    rule = shift.mask_rule(mask_rule)
    path = walk_frames(
        gan,
        points,
        shift.vector,
        shift.opposite,
        frames,
        size,
        MASK_RULES[rule] if mask else None,
        engine,
        columns,
        terminal,
    )
    write_animation(out, path + path[-2:0:-1] if loop else path, fps)
    console.print(f"wrote {out}: {shift.name} of {gan.name}, from {-shift.alpha:+.1f} to {shift.alpha:+.1f}")
    words = generator_words(generator, weights)
    if direction is not None:
        words += ["--direction", direction, "--alpha", f"{shift.alpha:g}"]
    words += [] if layers is None else ["--layers", layers]
    shown = mask_rule if mask else None
    console.print(f"next: {segment_command(directions, *words, rule=shown)}")


def _require_fit(out: Path, samples: int, columns: int, shape: tuple[int, int]) -> None:
    """Raise UserError, saying what would fit, when the frames are larger than the format of `out` takes."""
    from toolkit.pictures.picture_files import largest_side, require_side
    from toolkit.pictures.pixels import grid_size

    across = max(columns, -(-samples // columns))
    least, most = grid_size(1, *shape)[0] + 2, largest_side(out) + 2
    smaller = f"--size {most // across - 2} fits" if most // across >= _LEAST_SIDE + 2 else "fewer --samples do"
    rows = most // least  # pictures of this size, in a row or above one another
    fewer = f"so does --columns {rows}" if columns > rows and -(-samples // rows) <= rows else "or give fewer --samples"
    require_side(out, *grid_size(samples, *shape, columns), f"{smaller}, {fewer}")
