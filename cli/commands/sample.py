"""toolkit sample: images from latents."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.inputs import completion
from cli.inputs.latents import EncoderOption, LatentsOption, PhotoOption, require_one_source, shown_latents
from cli.inputs.options import (
    AlphaOption,
    DeviceOption,
    DirectionOption,
    GeneratorOption,
    LayersOption,
    PrecisionOption,
    SeedOption,
    WeightsOption,
    require,
)
from cli.listing import GENERATORS, listed_in
from cli.reports.hints import discover_command, generator_words
from cli.runs.progress import Bar, console
from toolkit.imports import import_torch

if TYPE_CHECKING:
    import numpy as np
    import torch

    from generators.protocol import Generator
    from toolkit.moves import AnyShift


@listed_in(
    GENERATORS,
    "toolkit sample --out samples.png",
    "toolkit sample --photo photo.jpg --direction 25 --alpha 6 --out edited.png",
    formerly={"--count": "--samples"},
)
def sample(
    out: Annotated[Path, typer.Option(help="A .png grid or .npy array (N, 3, H, W) float32 in [-1, 1].")],
    generator: GeneratorOption = "flowers64",
    weights: WeightsOption = None,
    latents: LatentsOption = None,
    photo: PhotoOption = None,
    encoder: EncoderOption = None,
    directions: Annotated[
        Path | None,
        typer.Option(
            help="With --direction or --alpha: direction set along which the latents are shifted; the one shipped "
            "for the generator if omitted.",
            autocompletion=completion.shipped("directions"),
        ),
    ] = None,
    direction: DirectionOption = None,
    alpha: AlphaOption = None,
    layers: LayersOption = None,
    samples: Annotated[int | None, typer.Option(help="How many images.", min=1, show_default="64")] = None,
    seed: SeedOption = 0,
    truncation: Annotated[float | None, typer.Option(help="Restrict random latents to +- this.")] = None,
    size: Annotated[
        int | None,
        typer.Option(
            help="Longer side of a picture of a .png, in pixels; not set: the generator's, or below 128 a multiple.",
            min=16,
            max=2048,
        ),
    ] = None,
    batch: Annotated[int, typer.Option(help="Images rendered at a time.", min=1)] = 32,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "fp32",
) -> None:
    """Draw images from a generator."""
    from toolkit.files.writing import writable_file

    writable_file(out, (".png", ".npy"))
    require_one_source(latents, photo, samples=samples, truncation=truncation)
    along = directions is not None or direction is not None or alpha is not None
    require(layers is None or along, "--layers goes with --direction or --alpha; omit it")
    require(size is None or out.suffix.lower() == ".png", "--size goes with a .png as --out; omit it")
    import_torch()
    import numpy as np
    import torch

    from cli.inputs.sources import open_typed
    from generators.protocol import image_shape
    from toolkit.compute.engine import choose_engine
    from toolkit.files.writing import replacing
    from toolkit.pictures.photos import write_picture
    from toolkit.pictures.picture_files import require_side
    from toolkit.pictures.pixels import enlargement, grid, grid_size, with_longer_side
    from toolkit.streams import Stream

    engine = choose_engine(device, precision)
    opened = open_typed(generator, weights).to(engine.device)
    rng = Stream(seed, "sample")
    points = shown_latents(opened, generator, latents, photo, encoder, samples or 64, rng, engine, truncation)
    if along:
        points = points.shifted(_shift(directions or Path(generator), direction, alpha, layers, opened))
    if out.suffix.lower() == ".png":
        shape = with_longer_side(*image_shape(opened), size or opened.image_size * enlargement(opened.image_size))
        require_side(
            out,
            *grid_size(len(points), *shape),
            "give fewer --samples, or a .npy file as --out, which holds any number",
        )
    parts = []
    with Bar("sampling", len(points), unit="images") as bar, torch.inference_mode(), engine.autocast():
        for start in range(0, len(points), batch):
            rows = points[start : start + batch]
            parts.append(opened(rows.to(engine.device)).float().cpu())
            bar.advance(len(rows))
    images = torch.cat(parts)
    if out.suffix.lower() == ".npy":
        with replacing(out) as temporary:
            np.save(temporary, images.numpy())
    else:
        write_picture(out, grid(_tiles(images, size)))
    console.print(f"wrote {out}: {len(images)} images of {opened.name}, {images.shape[-2]}x{images.shape[-1]}")
    console.print(f"next: {discover_command(*generator_words(generator, weights))}")


def _shift(
    directions: Path, direction: str | None, alpha: float | None, layers: str | None, generator: "Generator"
) -> "AnyShift":
    """Return the shift along a direction of a set, or along the one chosen there."""
    from discovery.opening import open_directions
    from generators.protocol import fitting

    opened = open_directions(directions)
    return fitting(opened, generator, layers).resolve(direction, alpha).vector


def _tiles(images: "torch.Tensor", size: int | None) -> "np.ndarray":
    """Return images (N, 3, H, W) as uint8 pictures, `size` pixels long or, small ones, enlarged by a whole factor."""
    from toolkit.pictures.pixels import enlarged, enlargement, resized_to, to_bytes

    if size is not None:
        return to_bytes(resized_to(images, size))
    return enlarged(to_bytes(images), enlargement(max(images.shape[-2:])))
