"""toolkit segment: a segmentation network from a generator and a direction."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.inputs.options import (
    AlphaOption,
    CompileOption,
    DeviceOption,
    DirectionOption,
    DirectionsArgument,
    EmbeddingsOption,
    IgnoreOption,
    InvertOption,
    LayersOption,
    MaxMemoryOption,
    ObjectOption,
    OtherGeneratorOption,
    PrecisionOption,
    ResizeMasksOption,
    ValidationMasksOption,
    ValidationPhotosOption,
    WeightsOption,
    with_settings,
)
from cli.inputs.validation_set import open_validation
from cli.listing import SEGMENTATION, listed_in
from cli.reports.hints import command, print_outcome
from cli.runs.forecast import Forecasting
from cli.runs.processes import ProcessesOption, engine_of
from cli.runs.training import carried_out, within_memory
from segmentation.unet.settings import SegmentationSettings

if TYPE_CHECKING:
    from segmentation.evaluate.photo_validation import ValidationSet
    from segmentation.synthesis.source import MaskSource
    from toolkit.compute.engine import Engine
    from toolkit.files.runs import RunFolder


@with_settings(SegmentationSettings)
@listed_in(
    SEGMENTATION,
    "toolkit segment directions --out segmenter --preset quick",
    "toolkit segment flowers64 --direction 56 --alpha -3.4 --out segmenter",
    formerly={"--images": "--validation-photos", "--masks": "--validation-masks"},
)
def segment(
    settings: SegmentationSettings,
    directions: DirectionsArgument,
    out: Annotated[Path, typer.Option(help="Run folder; the same command again resumes it, more --steps go on.")],
    direction: DirectionOption = None,
    alpha: AlphaOption = None,
    layers: LayersOption = None,
    generator: OtherGeneratorOption = None,
    weights: WeightsOption = None,
    embeddings: EmbeddingsOption = None,
    validation_photos: ValidationPhotosOption = None,
    validation_masks: ValidationMasksOption = None,
    object_codes: ObjectOption = None,
    ignore: IgnoreOption = None,
    invert: InvertOption = False,
    resize_masks: ResizeMasksOption = False,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    processes: ProcessesOption = 1,
    max_memory: MaxMemoryOption = None,
    compile_mode: CompileOption = "auto",
) -> None:
    """Train a U-Net on synthetic images and the masks a direction gives."""
    validation = open_validation(validation_photos, validation_masks, object_codes, ignore, invert, resize_masks)
    engine = engine_of(device, precision, processes, out).for_training(compile_mode, settings.steps)
    from cli.inputs.mask_source import open_source
    from generators.protocol import image_shape
    from segmentation.unet.training import bytes_needed

    source = open_source(
        directions, direction, alpha, generator, weights, embeddings, settings.mask_rule, layers, settings.max_area
    )
    settings = source.settled(settings)
    needed = partial(bytes_needed, settings, image_shape(source.generator), engine.bf16)
    settings = within_memory(settings, max_memory, needed, engine.team.size)
    segment_into(out, source, settings, engine, validation)
    following = command("predict", "MY_PHOTOS", "--segmenter", out, "--refine", "--out", "predictions")
    print_outcome(out / "segmenter.safetensors", out / "synthetic.png", following=following)


def segment_into(
    out: Path,
    source: "MaskSource",
    settings: SegmentationSettings,
    engine: "Engine",
    validation: "ValidationSet | None" = None,
) -> "RunFolder":
    """Return the finished run in `out`, after starting it, resuming it or finding it finished."""
    from generators.protocol import image_shape
    from segmentation.synthesis.synthesizer import latent_source
    from segmentation.unet.run import SegmentationRun

    generator = source.generator.to(engine.device)
    latents = latent_source(generator, settings, source.latents)
    measure = None if validation is None else validation.figures_at(min(image_shape(generator)))
    work = SegmentationRun(generator, source.shift, settings, engine, latents, source.inputs, source.name, measure)
    return carried_out(work, out, Forecasting(settings, engine))
