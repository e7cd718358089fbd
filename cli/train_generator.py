"""toolkit train-generator: a generator from a folder of photos."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import DeviceOption, PrecisionOption, require, with_settings
from cli.progress import Bar, console
from cli.training import drive, log_figures, take_up
from generators.settings import GeneratorSettings

if TYPE_CHECKING:
    import torch

    from generators.adversarial import Step, TrainingState
    from toolkit.engine import Engine
    from toolkit.runs import RunFolder


@with_settings(GeneratorSettings)
def train_generator(
    settings: GeneratorSettings,
    photos: Annotated[Path, typer.Argument(help="Folder of photos.")],
    out: Annotated[Path, typer.Option(help="Run folder; the same command again resumes it.")],
    name: Annotated[str, typer.Option(help="Name the generator carries in its card.")] = "photos",
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
) -> None:
    """Train a generator on a folder of photos."""
    require(settings.image_size in (32, 64, 128), f"--image-size is {settings.image_size}; choose 32, 64 or 128")
    require(settings.batch % 8 == 0, f"--batch is {settings.batch}, but has to be a multiple of 8")
    from generators.adversarial import TrainingState
    from toolkit.engine import choose_engine
    from toolkit.photos import list_photos
    from toolkit.runs import RunFolder

    engine = choose_engine(device, precision)
    paths = list_photos(photos)
    pixels = _read_all(paths, settings.image_size)
    inputs = {"photos": str(photos.resolve()), "photos_digest": _digest(paths, photos), "name": name}
    run = RunFolder.open(out, settings, {**inputs, **engine.identity()}, engine.describe())
    if run.result is None:
        state = TrainingState.start(settings, engine)
        take_up(state, run)
        _train(state, pixels, settings, engine, run)
        card = {
            "name": name,
            "photos": len(paths),
            "seen": settings.steps * settings.batch,
            **settings.as_dict(),
        }
        _save(state, card, out / "generator.safetensors")
        run.finish({"photos": len(paths), "steps": state.step, "images": state.step * settings.batch})
    else:
        console.print(f"{out} is finished already")
    console.print(f"wrote {out / 'generator.safetensors'}, {out / 'samples'}")
    console.print(f"next: toolkit discover --generator {out / 'generator.safetensors'} --out {out}-directions")


def _digest(paths: list[Path], folder: Path) -> str:
    """Return a digest of the photos' names and sizes, so that a changed folder is noticed when a run goes on."""
    lines = [f"{path.relative_to(folder)} {path.stat().st_size}" for path in paths]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _read_all(paths: list[Path], size: int) -> "torch.Tensor":
    import numpy as np
    import torch

    from toolkit.photos import read_square

    pixels = np.empty((len(paths), size, size, 3), np.uint8)
    with Bar("reading photos", len(paths), unit="photos") as bar:
        for index, path in enumerate(bar.over(paths)):
            pixels[index] = read_square(path, size)
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()


def _train(
    state: "TrainingState",
    pixels: "torch.Tensor",
    settings: GeneratorSettings,
    engine: "Engine",
    run: "RunFolder",
) -> None:
    from generators.adversarial import train

    def attend(step: "Step", last: bool) -> str | None:
        if step.step % settings.grid_every == 0 or last:
            _draw_samples(state, run.path / "samples" / f"{step.step:07}.png", engine)
        if step.step % settings.log_every != 0 and not last:
            return None
        figures = log_figures(step, run)
        return f"critic {figures['critic_loss']:.2f}, generator {figures['generator_loss']:.2f}"

    drive("training", train(state, pixels, settings, engine), state, settings, run, attend)


def _draw_samples(state: "TrainingState", path: Path, engine: "Engine") -> None:
    import torch

    from toolkit.photos import write_picture
    from toolkit.pixels import grid, to_bytes
    from toolkit.streams import Stream

    with torch.no_grad():
        z = Stream(0, "sample-grid").normal(64, state.average.shape.latent_dim)
        write_picture(path, grid(to_bytes(state.average(z.to(engine.device)))))


def _save(state: "TrainingState", card: dict[str, Any], path: Path) -> None:
    from generators.compact import CompactGenerator

    CompactGenerator(state.average.cpu(), card).save(path)
