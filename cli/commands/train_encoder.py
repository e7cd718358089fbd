"""toolkit train-encoder: an encoder, which estimates the latents of images, for any generator."""

from pathlib import Path
from typing import Annotated

import typer

from cli.inputs.options import DeviceOption, GeneratorOption, PrecisionOption, WeightsOption, with_settings
from cli.inputs.photo_folder import photos_in
from cli.listing import GENERATORS, listed_in
from cli.reports.hints import command, generator_words, print_outcome
from cli.runs.processes import ProcessesOption, engine_of
from cli.runs.progress import terminal
from cli.runs.training import carried_out
from generators.encoder.settings import EncoderSettings


@with_settings(EncoderSettings)
@listed_in(
    GENERATORS,
    "toolkit train-encoder --generator my-generator --out my-encoder",
    "toolkit train-encoder --photos MY_PHOTOS --out my-encoder",
)
def train_encoder(
    settings: EncoderSettings,
    out: Annotated[Path, typer.Option(help="Run folder; the same command again resumes it.")],
    generator: GeneratorOption = "flowers64",
    weights: WeightsOption = None,
    photos: Annotated[
        Path | None, typer.Option(help="Folder of photos to learn to reconstruct, besides samples.")
    ] = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    processes: ProcessesOption = 1,
) -> None:
    """Train an encoder that estimates the latents of images."""
    engine = engine_of(device, precision, processes, out)
    from cli.inputs.sources import open_typed
    from generators.encoder.run import EncoderRun
    from generators.encoder.training import encoder_shape
    from generators.encoder.validation import split_photos
    from generators.recorded import generator_inputs
    from toolkit.pictures.photo_folder import photos_digest, require_outside
    from toolkit.pictures.photos import read_squares

    opened = open_typed(generator, weights).to(engine.device)
    shape = encoder_shape(opened, settings)
    inputs, pixels = generator_inputs(generator, weights), None
    if photos is not None:
        require_outside(out, photos)
        paths = photos_in(photos)
        pixels = split_photos(read_squares(paths, shape.image_size, terminal), settings)
        inputs |= {"photos": str(photos.resolve()), "photos_digest": photos_digest(paths, photos)}
    carried_out(EncoderRun(opened, pixels, settings, engine, inputs), out)
    given = generator_words(generator, weights)
    following = command("embed", photos or "MY_PHOTOS", *given, "--encoder", out, "--out", "z.npy")
    print_outcome(out / "encoder.safetensors", out / "pairs.png", following=following)
