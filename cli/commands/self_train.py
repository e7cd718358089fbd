"""toolkit self-train: a segmenter taught by its own best answers on photos without labels."""

from pathlib import Path
from typing import Annotated

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
from cli.reports.hints import command, print_outcome
from cli.runs.progress import terminal
from segmentation.self_training.settings import SelfTrainingSettings


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
    from cli.inputs.validation_set import open_validation

    validation = open_validation(images, masks, object_codes, ignore, invert, resize_masks)
    from cli.inputs.photo_folder import photos_in
    from segmentation.predict.segmenter import Segmenter
    from segmentation.self_training.rounds import self_train as train
    from toolkit.compute.engine import choose_engine
    from toolkit.pictures.photo_folder import photos_digest, require_outside
    from toolkit.pictures.photos import read_squares

    require_outside(out, photos)
    engine = choose_engine(device, precision)
    teacher = Segmenter.load(model).to(engine.device)
    side = settings.image_size or teacher.image_size
    paths = photos_in(photos)
    pixels = read_squares(paths, side, terminal).permute(0, 2, 3, 1).numpy()
    inputs = {
        "model": str(Path(model).resolve()) if Path(model).exists() else model,
        "model_digest": teacher.digest(),
        "photos": str(photos.resolve()),
        "photos_digest": photos_digest(paths, photos),
    }
    measure = None if validation is None else validation.figures_at(side)
    train(teacher, pixels, settings, engine, out, inputs, measure, terminal)
    following = command("predict", "photo.jpg", "--model", out, "--out", "predictions")
    print_outcome(out / "segmenter.safetensors", out / f"round{settings.rounds}" / "masks.png", following=following)
