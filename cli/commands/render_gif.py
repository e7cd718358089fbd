"""toolkit render-gif: an animation along a direction."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.inputs.options import (
    DeviceOption,
    DirectionOption,
    DirectionsArgument,
    OtherGeneratorOption,
    PrecisionOption,
    SeedOption,
    WeightsOption,
    require,
)
from cli.reports.hints import generator_words, segment_command
from cli.runs.progress import Bar, console
from toolkit.masks.rules import DEFAULT_RULE, MASK_RULES, MaskRule

if TYPE_CHECKING:
    import numpy as np
    import torch

    from generators.protocol import Generator, Latents
    from toolkit.compute.engine import Engine

_LEAST_SIDE = 16  # pixels of one picture


def render_gif(
    directions: DirectionsArgument,
    out: Annotated[Path, typer.Option(help="A .gif, .webp or .mp4 file.")],
    direction: DirectionOption = None,
    reach: Annotated[float | None, typer.Option(help="Walk from -reach to +reach; default: the chosen length.")] = None,
    frames: Annotated[int, typer.Option(help="Frames of one way.", min=2)] = 31,
    fps: Annotated[float, typer.Option(help="Frames a second.", min=0.5, max=50)] = 20.0,
    samples: Annotated[int, typer.Option(help="Latents shown side by side.", min=1)] = 8,
    columns: Annotated[int | None, typer.Option(help="Columns of the grid.", min=1)] = None,
    size: Annotated[int | None, typer.Option(help="Side of one picture in pixels.", min=_LEAST_SIDE, max=2048)] = None,
    loop: Annotated[bool, typer.Option("--there-and-back/--one-way", help="Walk back too.")] = True,
    mask: Annotated[bool, typer.Option("--mask/--no-mask", help="Tint the mask that each shift gives.")] = False,
    mask_rule: Annotated[str, typer.Option(help=f"With --mask: {', '.join(MASK_RULES.own)}.")] = DEFAULT_RULE,
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
    require(mask_rule in MASK_RULES, f"--mask-rule is {mask_rule!r}; choose one of {', '.join(MASK_RULES)}")
    if out.suffix.lower() == ".mp4":
        require_video()
    from cli.inputs.sources import generator_of, open_directions, resolve_shift
    from toolkit.compute.engine import choose_engine
    from toolkit.streams import Stream

    engine = choose_engine(device, precision)
    found = open_directions(directions)
    index, length, _ = resolve_shift(found, direction, 6.0 if direction is not None and reach is None else reach)
    opened = generator_of(found, generator, weights)[0].to(engine.device)
    columns, side = columns or min(samples, 4), size or opened.image_size
    _require_fit(out, samples, columns, side)
    latents = opened.sample(samples, Stream(seed, "render-gif"))
    path = walk(
        opened,
        latents,
        found.shift(index, length),
        found.opposite_shift(index, length),
        frames,
        size,
        MASK_RULES[mask_rule] if mask else None,
        engine,
        columns,
    )
    write_animation(out, path + path[-2:0:-1] if loop else path, fps)
    console.print(f"wrote {out}: {found.names[index]} of {opened.name}, from {-length:+.1f} to {length:+.1f}")
    given = generator_words(generator, weights)
    if direction is not None:
        given += ["--direction", direction, "--alpha", f"{length:g}"]
    known = found.choice.mask_rule if found.choice is not None and found.choice.index == index else None
    rule = mask_rule if mask else known
    console.print(f"next: {segment_command(directions, *given, rule=rule)}")


def _require_fit(out: Path, samples: int, columns: int, side: int) -> None:
    """Raise UserError, saying what would fit, when the frames are larger than the format of `out` takes."""
    from toolkit.pictures.picture_files import largest_side, require_side
    from toolkit.pictures.pixels import grid_size

    across = max(columns, -(-samples // columns))
    least, most = grid_size(1, side)[0] + 2, largest_side(out) + 2
    smaller = f"--size {most // across - 2} fits" if most // across >= _LEAST_SIDE + 2 else "fewer --samples do"
    rows = most // least  # pictures of this size, in a row or above one another
    fewer = f"so does --columns {rows}" if columns > rows and -(-samples // rows) <= rows else "or give fewer --samples"
    require_side(out, *grid_size(samples, side, columns), f"{smaller}, {fewer}")


def walk(
    generator: "Generator",
    latents: "Latents",
    shift: "torch.Tensor",
    opposite: "torch.Tensor",
    count: int,
    size: int | None,
    rule: MaskRule | None,
    engine: "Engine",
    columns: int,
) -> "list[np.ndarray]":
    """Return uint8 frames (H, W, 3) from -shift to +shift, a grid of all latents; masks by `rule` are tinted.

    `opposite` (D,) is the shift that an opposed rule compares with.
    """
    import torch

    from toolkit.masks.filters import large_components
    from toolkit.pictures.pixels import grid, overlay, resize, to_bytes

    placed, shift, opposite = latents.to(engine.device), shift.to(engine.device), opposite.to(engine.device)
    frames: list[np.ndarray] = []
    with Bar("rendering", count, unit="frames") as bar, torch.inference_mode(), engine.autocast():
        start = generator(placed).float()
        for position in bar.over(torch.linspace(-1, 1, count).tolist()):
            images = generator(placed.shifted(shift * position)).float()
            masks = None
            if rule is not None and position > 0:
                reference = generator(placed.shifted(opposite * position)).float() if rule.opposed else start
                masks = large_components(rule(reference, images))
            if size is not None:
                images = resize(images, (size, size))
            pictures = to_bytes(images)
            if masks is not None:
                scaled = resize(masks[:, None].float(), (images.shape[-2], images.shape[-1]))[:, 0] > 0.5
                pictures = overlay(pictures, scaled.cpu().numpy())
            frames.append(grid(pictures, columns))
    return frames
