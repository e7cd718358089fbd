"""toolkit self-train: a segmenter taught by its own best answers on photos without labels."""

from pathlib import Path
from typing import Annotated

import typer

from cli.inputs.options import (
    DEFAULT_SEGMENTER,
    DeviceOption,
    IgnoreOption,
    InvertOption,
    ObjectOption,
    PrecisionOption,
    ResizeMasksOption,
    SegmenterOption,
    ValidationMasksOption,
    ValidationPhotosOption,
    require,
    with_settings,
)
from cli.listing import SEGMENTATION, listed_in
from cli.reports.hints import command, print_outcome
from cli.runs.progress import terminal
from segmentation.self_training.settings import SelfTrainingSettings


@with_settings(SelfTrainingSettings)
@listed_in(
    SEGMENTATION,
    "toolkit self-train MY_PHOTOS --segmenter segmenter --out self-trained",
    "toolkit self-train MY_PHOTOS --out self-trained --rounds 1",
    formerly={"--images": "--validation-photos", "--masks": "--validation-masks"},
)
def self_train(
    settings: SelfTrainingSettings,
    photos: Annotated[list[Path], typer.Argument(help="Folder of photos without labels.", metavar="PHOTOS")],
    out: Annotated[Path, typer.Option(help="Run folder; the same command again resumes it.")],
    segmenter: SegmenterOption = None,
    validation_photos: ValidationPhotosOption = None,
    validation_masks: ValidationMasksOption = None,
    object_codes: ObjectOption = None,
    ignore: IgnoreOption = None,
    invert: InvertOption = False,
    resize_masks: ResizeMasksOption = False,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
) -> None:
    """Improve a segmenter on photos without labels."""
    from cli.inputs.validation_set import open_validation

    validation = open_validation(validation_photos, validation_masks, object_codes, ignore, invert, resize_masks)
    from cli.inputs.photo_folder import photos_in
    from segmentation.predict.segmenter import Segmenter
    from segmentation.self_training.rounds import self_train as train
    from toolkit.compute.engine import choose_engine
    from toolkit.files.shipped import recorded_name
    from toolkit.pictures.photo_folder import photos_digest, require_outside
    from toolkit.pictures.photos import read_squares, usual_side

    folder, model = _folder_and_start(photos, segmenter)
    require_outside(out, folder)
    engine = choose_engine(device, precision, out)
    teacher = Segmenter.load(model).to(engine.device)
    paths = photos_in(folder)
    side = settings.side_for(teacher.image_size, usual_side(paths))
    pixels = read_squares(paths, side, terminal).permute(0, 2, 3, 1).numpy()
    inputs = {
        "model": recorded_name(model, "segmenters"),
        "model_digest": teacher.digest(),
        "photos": str(folder.resolve()),
        "photos_digest": photos_digest(paths, folder),
    }
    measure_at = None if validation is None else validation.figures_at
    train(teacher, pixels, settings, engine, out, inputs, measure_at, terminal)
    following = command("predict", "MY_PHOTOS", "--segmenter", out, "--refine", "--out", "predictions")
    print_outcome(out / "segmenter.safetensors", out / f"round{settings.rounds}" / "masks.png", following=following)


def _folder_and_start(photos: list[Path], segmenter: str | None) -> tuple[Path, str]:
    """Return the folder of photos and the segmenter to start from, which used to stand before the photos."""
    if len(photos) == 2 and segmenter is None:
        line = f"the segmenter is named as --segmenter {photos[0]} now; its old place works until the next release"
        typer.echo(f"note: {line}", err=True)
        return photos[1], str(photos[0])
    require(len(photos) == 1, f"{len(photos)} folders were passed; name one, and the segmenter with --segmenter")
    return photos[0], segmenter or DEFAULT_SEGMENTER
