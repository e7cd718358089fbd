"""toolkit train-generator: a generator, and its encoder where that is the objective, from a folder of photos."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.inputs.options import DeviceOption, PrecisionOption, require, with_settings
from cli.inputs.photo_folder import photos_digest, photos_in, read_squares, require_outside
from cli.reports.hints import discover_command
from cli.runs.processes import ProcessesOption, engine_of
from cli.runs.progress import console
from cli.runs.training import drive, log_figures, take_up
from generators.compact.settings import GeneratorSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import torch

    from generators.compact.joint_training import BigbiganState, BigbiganStep
    from generators.compact.quality import QualityGauge
    from generators.compact.training import Step, TrainingState
    from generators.encoder.network import EncoderNetwork
    from toolkit.compute.engine import Engine
    from toolkit.files.runs import RunFolder

    State = TrainingState | BigbiganState

_RECONSTRUCTED = 128  # photos whose reconstruction is measured
_OF_ONE_BATCH = ("step", "_loss", "_score")  # figures that say little of the finished generator


@with_settings(GeneratorSettings)
def train_generator(
    settings: GeneratorSettings,
    photos: Annotated[Path, typer.Argument(help="Folder of photos.")],
    out: Annotated[Path, typer.Option(help="Run folder; the same command again resumes it, more --steps go on.")],
    name: Annotated[str, typer.Option(help="Name the generator carries in its card.")] = "photos",
    start: Annotated[
        Path | None,
        typer.Option(help="Run folder, checkpoint or generator file whose weights to start from instead of noise."),
    ] = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    processes: ProcessesOption = 1,
) -> None:
    """Train a generator on a folder of photos; with --objective bigbigan its encoder too."""
    _check(settings)
    require_outside(out, photos)
    from generators.compact.training import GROUP
    from generators.compact.warm_start import start_from
    from toolkit.files.runs import RunFolder

    engine = engine_of(device, precision, processes)
    engine.team.rows(settings.batch, GROUP)  # refuses a batch too small for the processes
    paths = photos_in(photos)
    state_class, train = _objective(settings)
    state = state_class.start(settings, engine)
    if start is not None and not (out / "checkpoint.pt").exists():
        console.print(f"taking the weights of {', '.join(start_from(state, start))} from {start}")
    pixels = read_squares(paths, settings.photo_size)
    inputs = {"photos": str(photos.resolve()), "photos_digest": photos_digest(paths, photos), "name": name}
    if start is not None:
        inputs["start"] = str(start.resolve())
    given = {**inputs, **engine.identity()}
    run = RunFolder.open(out, settings, given, engine.describe(), extendable=("steps",), team=engine.team)
    if run.result is None or run.result["steps"] < settings.steps:
        take_up(state, run)
        watch = _Watch(state, pixels, settings, engine, run)
        drive("training", train(state, pixels, settings, engine), state, settings, run, watch.attend)
        if engine.team.lead:
            _finish(state, {"name": name, "photos": len(paths)}, settings, run)
    else:
        console.print(f"{out} is finished already")
    console.print(f"wrote {', '.join(str(out / made) for made in _made(settings))}")
    console.print(f"next: {discover_command('--generator', out / 'generator.safetensors', out=f'{out}-directions')}")


def _check(settings: GeneratorSettings) -> None:
    size, seen = settings.image_size, settings.photo_size
    require(size in (32, 64, 128), f"--image-size is {size}; choose 32, 64 or 128")
    require(settings.batch % 8 == 0, f"--batch is {settings.batch}, but has to be a multiple of 8")
    require(
        seen in (size, 2 * size, 4 * size),
        f"--encoder-size is {seen}, but has to be {size}, {2 * size} or {4 * size}: once, twice or four times "
        "--image-size",
    )
    require(
        settings.objective == "bigbigan" or settings.encoder_size is None,
        "--encoder-size goes with --objective bigbigan; leave it away",
    )


def _objective(settings: GeneratorSettings) -> tuple[Any, "Callable[..., Iterable[Step | BigbiganStep]]"]:
    """Return the class of the training's state, and its loop."""
    if settings.objective == "bigbigan":
        from generators.compact.joint_training import BigbiganState, train_bigbigan

        return BigbiganState, train_bigbigan
    from generators.compact.training import TrainingState, train

    return TrainingState, train


def _encoder_of(state: "State") -> "EncoderNetwork | None":
    """Return the averaged encoder, where one is trained."""
    from generators.compact.joint_training import BigbiganState

    return state.encoder_average if isinstance(state, BigbiganState) else None


def _made(settings: GeneratorSettings) -> list[str]:
    encoder = ["encoder.safetensors", "reconstructions"] if settings.objective == "bigbigan" else []
    return ["generator.safetensors", "samples", *encoder]


class _Watch:
    """What happens beside a training: logged figures, pictures, and quality figures."""

    def __init__(
        self, state: "State", pixels: "torch.Tensor", settings: GeneratorSettings, engine: "Engine", run: "RunFolder"
    ) -> None:
        from generators.compact.network import CompactGenerator
        from generators.compact.quality import MIN_PHOTOS

        self.settings, self.engine, self.run = settings, engine, run
        self.pixels = pixels
        self.generator = CompactGenerator(state.average, {"name": "in training"})
        self.encoder = _encoder_of(state)
        self.measures = len(pixels) >= MIN_PHOTOS
        if not self.measures:
            console.print(f"no quality figures: they need {MIN_PHOTOS} photos, and there are {len(pixels)}")

    @functools.cached_property
    def gauge(self) -> "QualityGauge":
        """Return what measures samples, made when first needed: in the leading process."""
        from generators.compact.quality import QualityGauge

        return QualityGauge(self.pixels, self.settings.image_size, self.engine.device)

    def attend(self, step: "Step | BigbiganStep", last: bool) -> str | None:
        """Draw, measure and log what is due after a step; return what to show of it."""
        if step.step % self.settings.grid_every == 0 or last:
            self._draw_samples(step.step)
        figures: dict[str, float] = {}
        if step.step % self.settings.quality_every == 0 or last:
            figures = self._quality(step.step)
        if not figures and not last and step.step % self.settings.log_every != 0:
            return None
        figures = log_figures(step, self.run, **figures)
        quality = ", swd {swd:.1f} (photos {swd_photos:.1f}), nearest {nearest_ratio:.2f}" if "swd" in figures else ""
        return ("critic {critic_loss:.2f}, generator {generator_loss:.2f}" + quality).format(**figures)

    def _draw_samples(self, step: int) -> None:
        import torch

        from toolkit.pictures.photos import write_picture
        from toolkit.pictures.pixels import grid, to_bytes
        from toolkit.streams import Stream

        with torch.no_grad():
            z = self.generator.sample(64, Stream(0, "sample-grid")).to(self.engine.device)
            write_picture(self.run.path / "samples" / f"{step:07}.png", grid(to_bytes(self.generator(z))))

    def _quality(self, step: int) -> dict[str, float]:
        """Measure and draw the generator, and its encoder."""
        from toolkit.pictures.photos import write_picture

        figures: dict[str, float] = {}
        if self.measures:
            quality = self.gauge.measure(self.generator, self.engine)
            figures = quality.figures
            write_picture(self.run.path / "nearest.png", self.gauge.picture(quality))
        if self.encoder is not None:
            from generators.encoder.validation import EncoderValidator

            shown = self.pixels[:: max(1, len(self.pixels) // _RECONSTRUCTED)][:_RECONSTRUCTED]
            validator = EncoderValidator(
                self.generator, self.settings.photo_size, (self.pixels, shown), self.engine.device
            )
            figures |= validator.figures(self.encoder)
            write_picture(self.run.path / "reconstructions" / f"{step:07}.png", validator.picture(self.encoder))
        return figures


def _finish(state: "State", source: dict[str, Any], settings: GeneratorSettings, run: "RunFolder") -> None:
    """Write the artefacts and the last figures, and close the run."""
    from generators.compact.network import CompactGenerator
    from generators.encoder.network import Encoder
    from toolkit.files.writing import sha256_of

    measured = [line for line in run.metrics() if line["step"] == state.step][-1:]
    figures = {name: value for line in measured for name, value in line.items() if not name.endswith(_OF_ONE_BATCH)}
    card = {**source, "seen": state.step * settings.batch, **settings.defining()}
    CompactGenerator(state.average.cpu(), card).save(run.path / "generator.safetensors")
    encoder = _encoder_of(state)
    if encoder is not None:
        digest = sha256_of(run.path / "generator.safetensors")[:16]
        made_for = {"generator": source["name"], "source": {"generator_digest": digest}}
        Encoder(encoder.cpu(), {**card, **made_for}).save(run.path / "encoder.safetensors")
    run.finish({"photos": source["photos"], "steps": state.step, "images": card["seen"], **figures})
