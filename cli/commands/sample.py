"""toolkit sample: images from latents."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.inputs import completion
from cli.inputs.latents import EncoderOption, LatentsOption, PhotoOption, require_one_source, shown_latents
from cli.inputs.options import (
    AlphaOption,
    CentredOption,
    DeviceOption,
    DirectionOption,
    GeneratorOption,
    LayersOption,
    PrecisionOption,
    SeedOption,
    SigmaOption,
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

    from generators.protocol import Generator, Latents
    from toolkit.directions import DirectionSet


_MIXED = 5  # rows and columns of a table of mixed styles


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
    sigma: SigmaOption = None,
    centred: CentredOption = False,
    layers: LayersOption = None,
    samples: Annotated[
        int | None, typer.Option(help="How many images; with --mix rows and columns.", min=1, show_default="64; 5")
    ] = None,
    mix: Annotated[
        str | None,
        typer.Option(
            help="Draw a table of mixed styles: each row's image with each column's latents at these layers of a "
            "style-based generator, as 4-7."
        ),
    ] = None,
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
    batch: Annotated[
        int | None,
        typer.Option(
            help="Images rendered at a time.", min=1, show_default="as many as a quarter of a megapixel holds"
        ),
    ] = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "fp32",
) -> None:
    """Draw images from a generator."""
    from toolkit.files.writing import writable_file

    writable_file(out, (".png", ".npy"))
    require_one_source(latents, photo, samples=samples, truncation=truncation)
    along = directions is not None or direction is not None or alpha is not None or sigma is not None
    require(layers is None or along, "--layers goes with --direction or --alpha; omit it")
    require(along or not centred, "--centred goes with --direction or --sigma; omit it")
    require(size is None or out.suffix.lower() == ".png", "--size goes with a .png as --out; omit it")
    import_torch()
    import numpy as np
    import torch

    from cli.inputs.sources import open_typed
    from discovery.walks import walk_along
    from generators.protocol import image_shape, rendered
    from toolkit.compute.engine import choose_engine
    from toolkit.pictures.photos import write_picture
    from toolkit.pictures.picture_files import require_side
    from toolkit.pictures.pixels import enlargement, grid, grid_size, with_longer_side
    from toolkit.streams import Stream

    engine = choose_engine(device, precision)
    opened = open_typed(generator, weights).to(engine.device)
    rng = Stream(seed, "sample")
    count = samples or (64 if mix is None else _MIXED)
    points = shown_latents(opened, generator, latents, photo, encoder, count, rng, engine, truncation)
    if along:
        chosen = _set_for(directions or Path(generator), layers, opened)
        points = points.shifted(walk_along(chosen, opened, direction, alpha, sigma, centred).vector)
    columns = None
    if mix is not None:
        donors = opened.sample(count, Stream(seed, "sample-mix"), truncation)
        points, columns = _mixed(points, donors, mix, opened, out), 1 + len(donors)
    if out.suffix.lower() == ".png":
        shape = with_longer_side(*image_shape(opened), size or opened.image_size * enlargement(opened.image_size))
        require_side(
            out,
            *grid_size(len(points) + (columns is not None), *shape, columns),
            "give fewer --samples, or a .npy file as --out, which holds any number",
        )
    height, width = image_shape(opened)
    with Bar("sampling", len(points), unit="images") as bar, torch.inference_mode(), engine.autocast():
        parts = _counted(bar, rendered(opened, points, engine.device, batch))
        if out.suffix.lower() == ".npy":
            _save_array(out, parts, (len(points), 3, height, width))
        else:
            tiles = np.concatenate([_tiles(images, size) for images in parts])
            blank = np.full_like(tiles[: 0 if columns is None else 1], 255)
            write_picture(out, grid(np.concatenate([blank, tiles]), columns))
    console.print(f"wrote {out}: {len(points)} images of {opened.name}, {height}x{width}")
    console.print(f"next: {discover_command(*generator_words(generator, weights))}")


def _set_for(directions: Path, layers: str | None, generator: "Generator") -> "DirectionSet":
    """Return a set for a generator, its directions moving the layers that are named."""
    from discovery.opening import open_directions
    from generators.protocol import fitting

    return fitting(open_directions(directions), generator, layers)


def _mixed(sources: "Latents", donors: "Latents", layers: str, generator: "Generator", out: Path) -> "Latents":
    """Return the latents of a table of mixed styles, row by row.

    In a picture the donors stand above it and each source before its row, so that the first field is empty.
    """
    from generators.layered import mixing_table
    from generators.protocol import Latents, layers_named, layers_of

    which, count = layers_named(layers, generator, "mix"), layers_of(generator) or 0
    table = mixing_table(sources, donors, which, count)
    if out.suffix.lower() != ".png":
        return table
    rows = [part for i in range(len(sources)) for part in (sources[i : i + 1], table[len(donors) * i :][: len(donors)])]
    return Latents.cat([donors, *rows])


def _counted(bar: "Bar", parts: "Iterable[tuple[slice, torch.Tensor]]") -> "Iterator[torch.Tensor]":
    """Yield the images of each part, and move the bar on by as many once they are dealt with."""
    for _, images in parts:
        yield images
        bar.advance(len(images))


def _save_array(out: Path, parts: "Iterable[torch.Tensor]", shape: tuple[int, ...]) -> None:
    """Write images (B, 3, H, W), part after part, as a .npy array of `shape`: they are never held all at once."""
    import numpy as np

    from toolkit.files.writing import replacing

    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    with replacing(out) as temporary, temporary.open("wb") as handle:
        np.lib.format.write_array_header_1_0(handle, header)
        for images in parts:
            handle.write(images.cpu().numpy().astype("<f4", copy=False).tobytes())


def _tiles(images: "torch.Tensor", size: int | None) -> "np.ndarray":
    """Return images (N, 3, H, W) as uint8 pictures, `size` pixels long or, small ones, enlarged by a whole factor."""
    from toolkit.pictures.pixels import enlarged, enlargement, resized_to, to_bytes

    if size is not None:
        return to_bytes(resized_to(images, size))
    return enlarged(to_bytes(images), enlargement(max(images.shape[-2:])))
