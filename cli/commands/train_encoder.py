"""toolkit train-encoder: an encoder, which tells the latents of images, for any generator."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.inputs.options import DeviceOption, GeneratorOption, PrecisionOption, WeightsOption, require, with_settings
from cli.inputs.photo_folder import photos_digest, photos_in, read_squares, require_outside
from cli.reports.hints import command, generator_words
from cli.runs.processes import ProcessesOption, engine_of
from cli.runs.progress import console
from cli.runs.training import drive, take_up
from generators.encoder.settings import EncoderSettings

if TYPE_CHECKING:
    import torch

    from generators.encoder.training import EncoderState, EncoderStep
    from generators.protocol import Generator
    from toolkit.compute.engine import Engine
    from toolkit.files.runs import RunFolder


@with_settings(EncoderSettings)
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
    """Train an encoder that tells the latents of images."""
    from cli.inputs.sources import generator_inputs, open_typed
    from generators.encoder.training import EncoderState, encoder_shape
    from generators.encoder.validation import split_photos
    from toolkit.files.runs import RunFolder

    engine = engine_of(device, precision, processes)
    opened = open_typed(generator, weights).to(engine.device)
    shape = encoder_shape(opened, settings)
    inputs, pixels = generator_inputs(generator, weights), None
    if photos is not None:
        require_outside(out, photos)
        paths = photos_in(photos)
        pixels = split_photos(read_squares(paths, shape.image_size), settings)
        inputs |= {"photos": str(photos.resolve()), "photos_digest": photos_digest(paths, photos)}
    run = RunFolder.open(out, settings, {**inputs, **engine.identity()}, engine.describe(), team=engine.team)
    if run.result is None:
        state = EncoderState.start(opened, settings, engine)
        take_up(state, run)
        _train(state, opened, pixels, settings, engine, run)
        if engine.team.lead:
            _finish(state, opened, settings, run, inputs)
    else:
        console.print(f"{out} is finished already")
    console.print(f"wrote {out / 'encoder.safetensors'}, {out / 'pairs.png'}")
    given = generator_words(generator, weights)
    following = command("embed", photos or "PHOTOS", *given, "--encoder", out, "--out", "z.npy")
    console.print(f"next: {following}")


def _train(
    state: "EncoderState",
    generator: "Generator",
    pixels: "tuple[torch.Tensor, torch.Tensor] | None",
    settings: EncoderSettings,
    engine: "Engine",
    run: "RunFolder",
) -> None:
    from generators.encoder.training import train
    from generators.encoder.validation import EncoderValidator
    from toolkit.pictures.photos import write_picture

    @functools.cache
    def validator() -> EncoderValidator:
        return EncoderValidator(generator, state.network.shape.image_size, pixels, engine.device)

    def attend(step: "EncoderStep", last: bool) -> str | None:
        figures = {}
        if step.step % settings.log_every == 0 or last:
            figures = {name: float(value) for name, value in vars(step).items() if value is not None and name != "step"}
        if step.step % settings.validate_every == 0 or last:
            figures |= validator().figures(state.network)
            write_picture(run.path / "pairs.png", validator().picture(state.network))
        if not figures:
            return None
        run.log(step.step, **figures)
        return _told(figures)

    photos = None if pixels is None else pixels[0]
    drive("training", train(state, generator, photos, settings, engine), state, settings, run, attend)


def _told(figures: dict[str, float]) -> str:
    shown = ("latent_loss", "photo_loss", "latent_r2", "photo_error")
    return ", ".join(f"{name} {figures[name]:.3f}" for name in shown if name in figures)


def _finish(
    state: "EncoderState", generator: "Generator", settings: EncoderSettings, run: "RunFolder", inputs: dict[str, str]
) -> None:
    """Write the encoder and its last figures, print them, and close the run."""
    from generators.encoder.network import Encoder

    measured = [line for line in run.metrics() if "latent_r2" in line]
    require(bool(measured), f"the log in {run.path} lacks its last figures; train again in another --out")
    last = measured[-1]
    figures: dict[str, Any] = {name: value for name, value in last.items() if name != "step"}
    card = {"generator": generator.name, "source": inputs, "settings": settings.defining(), "figures": figures}
    Encoder(state.network.cpu(), card).save(run.path / "encoder.safetensors")
    run.finish({**inputs, "steps": state.step, **figures})
    console.print(
        f"latents of fresh samples: R^2 {figures['latent_r2']:.3f}, worst number {figures['latent_r2_worst']:.3f}; "
        f"error of their reconstructions {figures['sample_error']:.3f}"
    )
    if "photo_error" in figures:
        console.print(
            f"held-out photos: error of reconstructions {figures['photo_error']:.3f}; of the photos' mean "
            f"{figures['photo_error_mean']:.3f}, of samples at random {figures['photo_error_random']:.3f}"
        )
