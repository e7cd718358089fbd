"""toolkit sample: images from latents."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.inputs.options import DeviceOption, GeneratorOption, PrecisionOption, SeedOption, WeightsOption, require
from cli.listing import GENERATORS, listed_in
from cli.reports.hints import discover_command, generator_words
from cli.runs.progress import Bar, console
from toolkit.imports import import_torch

if TYPE_CHECKING:
    from generators.protocol import Generator, Latents


@listed_in(
    GENERATORS,
    "toolkit sample --out samples.png",
    "toolkit sample --generator my-generator --samples 1000 --out samples.npy",
    formerly={"--count": "--samples"},
)
def sample(
    out: Annotated[Path, typer.Option(help="A .png grid or .npy array (N, 3, H, W) float32 in [-1, 1].")],
    generator: GeneratorOption = "flowers64",
    weights: WeightsOption = None,
    latents: Annotated[
        Path | None,
        typer.Option(help="A .npy array (N, D) of latents, or a published name (z-cub), instead of random ones."),
    ] = None,
    samples: Annotated[int | None, typer.Option(help="How many images.", min=1, show_default="64")] = None,
    seed: SeedOption = 0,
    truncation: Annotated[float | None, typer.Option(help="Restrict random latents to +- this.")] = None,
    batch: Annotated[int, typer.Option(help="Images rendered at a time.", min=1)] = 32,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "fp32",
) -> None:
    """Draw images from a generator."""
    from toolkit.files.writing import writable_file

    writable_file(out, (".png", ".npy"))
    require(
        latents is None or (samples is None and truncation is None),
        "--latents says which images; omit --samples and --truncation",
    )
    import_torch()
    import numpy as np
    import torch

    from cli.inputs.sources import open_typed
    from toolkit.compute.engine import choose_engine
    from toolkit.files.shipped import or_published
    from toolkit.files.writing import replacing
    from toolkit.pictures.photos import write_picture
    from toolkit.pictures.picture_files import require_side
    from toolkit.pictures.pixels import grid, grid_size, to_bytes

    engine = choose_engine(device, precision)
    opened = open_typed(generator, weights).to(engine.device)
    latents = None if latents is None else or_published(latents, "embeddings")
    points = _latents(opened, latents, samples or 64, seed, truncation)
    if out.suffix.lower() == ".png":
        size = grid_size(len(points), opened.image_size)
        require_side(out, *size, "give fewer --samples, or a .npy file as --out, which holds any number")
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
        write_picture(out, grid(to_bytes(images)))
    console.print(f"wrote {out}: {len(images)} images of {opened.name}, {images.shape[-2]}x{images.shape[-1]}")
    console.print(f"next: {discover_command(*generator_words(generator, weights))}")


def _latents(generator: "Generator", path: Path | None, count: int, seed: int, truncation: float | None) -> "Latents":
    from generators.protocol import Latents, load_latents
    from toolkit.streams import Stream

    if path is None:
        return generator.sample(count, Stream(seed, "sample"), truncation)
    drawn = generator.sample(1, Stream(seed, "sample"))
    z = load_latents(path, generator.latent_dim)
    return Latents(z, None if drawn.y is None else generator.sample(len(z), Stream(seed, "sample")).y)
