"""toolkit self-train: a segmenter taught by its own best answers on photos without labels."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.inputs.options import (
    DeviceOption,
    IgnoreOption,
    InvertOption,
    ObjectOption,
    PrecisionOption,
    ResizeMasksOption,
    ValidationImagesOption,
    ValidationMasksOption,
    with_settings,
)
from cli.reports.hints import command
from cli.runs.progress import Bar, console
from segmentation.self_training.settings import SelfTrainingSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from segmentation.predict.segmenter import Segmenter
    from segmentation.self_training.pseudo_masks import PseudoMasks
    from segmentation.unet.network import UNet
    from toolkit.compute.engine import Engine
    from toolkit.files.runs import RunFolder

_SHOWN = 48
_ENOUGH = 0.4  # share of fit masks; of flowers, which gained by it, 0.55 were fit, of birds, which lost, 0.2


@with_settings(SelfTrainingSettings)
def self_train(
    settings: SelfTrainingSettings,
    model: Annotated[str, typer.Argument(help="Segmenter to start from: run folder, artefact or shipped name.")],
    photos: Annotated[Path, typer.Argument(help="Folder of photos without labels.")],
    out: Annotated[Path, typer.Option(help="Run folder; the same command again resumes it.")],
    images: ValidationImagesOption = None,
    masks: ValidationMasksOption = None,
    object_codes: ObjectOption = None,
    ignore: IgnoreOption = None,
    invert: InvertOption = False,
    resize_masks: ResizeMasksOption = False,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
) -> None:
    """Improve a segmenter on photos without labels."""
    from cli.inputs.validation_set import ValidationSet

    validation = ValidationSet.open(images, masks, object_codes, ignore, invert, resize_masks)
    from cli.inputs.photo_folder import photos_digest, photos_in, read_squares, require_outside
    from cli.inputs.sources import open_segmenter
    from toolkit.compute.engine import choose_engine
    from toolkit.files.runs import RunFolder

    require_outside(out, photos)
    engine = choose_engine(device, precision)
    teacher = open_segmenter(model).to(engine.device)
    side = settings.image_size or teacher.image_size
    measure = None if validation is None else validation.figures_at(side)
    paths = photos_in(photos)
    pixels = read_squares(paths, side).permute(0, 2, 3, 1).numpy()
    inputs = {
        "model": str(Path(model).resolve()) if Path(model).exists() else model,
        "model_digest": teacher.digest(),
        "photos": str(photos.resolve()),
        "photos_digest": photos_digest(paths, photos),
        **engine.identity(),
    }
    if (out / "round1" / "run.json").exists():  # its record is the first that a changed command would not fit
        RunFolder.open(out / "round1", settings, {**inputs, "round": "1"}, engine.describe()).close()
    run = RunFolder.open(out, settings, inputs, engine.describe())
    if run.result is None:
        figures: dict[str, float] = {}
        for number in range(1, settings.rounds + 1):
            teacher, figures = _round(number, teacher, pixels, settings, engine, run, inputs, measure)
        teacher.save(out / "segmenter.safetensors")
        run.finish({"photos": len(paths), **figures, "steps": settings.rounds * settings.steps})
    else:
        console.print(f"{out} is finished already")
    console.print(f"wrote {out / 'segmenter.safetensors'}, {out / f'round{settings.rounds}' / 'masks.png'}")
    console.print(f"next: {command('predict', 'photo.jpg', '--model', out, '--out', 'predictions')}")


def _round(
    number: int,
    teacher: "Segmenter",
    pixels: "np.ndarray",
    settings: SelfTrainingSettings,
    engine: "Engine",
    run: "RunFolder",
    inputs: dict[str, str],
    measure: "Callable[[UNet], dict[str, float]] | None",
) -> "tuple[Segmenter, dict[str, float]]":
    """Return the segmenter that learnt from the teacher's masks, and its figures; what is finished is read again."""
    from cli.commands.segment import train_segmenter
    from cli.runs.training import take_up
    from segmentation.predict.segmenter import Segmenter
    from segmentation.self_training.pseudo_masks import training_set
    from segmentation.self_training.training import MaskedPhotos, SelfTrainingState, train
    from toolkit.files.runs import RunFolder

    folder = run.path / f"round{number}"
    inner = RunFolder.open(folder, settings, {**inputs, "round": str(number)}, engine.describe())
    if inner.result is not None:
        figures = inner.result
        inner.close()
        return Segmenter.load(folder).to(engine.device), figures
    made = _masks(teacher, pixels, number == 1, settings, engine, folder)
    console.print(f"round {number} of {settings.rounds}: masks {made.describe()}")
    if made.kept.mean() < _ENOUGH:
        console.print(
            f"warning: {made.kept.mean():.0%} of the masks are fit to train on; where the segmenter and colours agree "
            f"so rarely the result can be worse than the start: compare, and look at {folder / 'masks.png'}"
        )
    masked = MaskedPhotos(*training_set(pixels, made), settings.batch)
    state = SelfTrainingState.start(settings, engine)
    take_up(state, inner)
    train_segmenter(train(state, masked, settings, engine), state, settings, inner, "held_out", measure)
    checked = [line for line in inner.metrics() if "held_out_loss" in line or "photo_iou" in line][-1:]
    figures = {name: value for line in checked for name, value in line.items() if name.startswith(("held", "photo_"))}
    figures["kept_share"] = float(made.kept.mean())
    card = {"source": inputs, "round": number, "settings": settings.defining(), "figures": figures}
    student = Segmenter(state.network, pixels.shape[1], card)
    student.save(folder / "segmenter.safetensors")
    inner.finish({**figures, "steps": state.step})
    return student, figures


def _masks(
    teacher: "Segmenter",
    pixels: "np.ndarray",
    first: bool,
    settings: SelfTrainingSettings,
    engine: "Engine",
    folder: Path,
) -> "PseudoMasks":
    """Return the masks of all photos, made batch by batch, and draw some of them.

    They are made again when a round is taken up: that takes seconds a thousand photos, and gives the same masks.
    """
    from segmentation.self_training.pseudo_masks import join, probabilities, pseudo_masks

    parts = []
    with Bar("making masks", len(pixels), unit="photos") as bar:
        for start in range(0, len(pixels), settings.batch):
            photos = pixels[start : start + settings.batch]
            parts.append(pseudo_masks(photos, probabilities(teacher, photos, engine), settings, first))
            bar.advance(len(photos))
    made = join(parts)
    _draw(pixels, made, folder / "masks.png")
    return made


def _draw(pixels: "np.ndarray", made: "PseudoMasks", path: Path) -> None:
    """Write a picture of photos under their masks, the kept ones green, those left out red."""
    import numpy as np

    from toolkit.pictures.photos import write_picture
    from toolkit.pictures.pixels import GREEN, RED, grid, overlay

    rows = np.arange(len(pixels))[:: max(1, len(pixels) // _SHOWN)][:_SHOWN]
    shown = [overlay(pixels[i], made.masks[i], GREEN if made.kept[i] else RED) for i in rows]
    write_picture(path, grid(np.stack(shown), 12))
