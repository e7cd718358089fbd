"""toolkit segment: a segmentation network from a generator and a direction."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    MaxMemoryOption,
    ObjectOption,
    OtherGeneratorOption,
    PrecisionOption,
    ResizeMasksOption,
    ValidationImagesOption,
    ValidationMasksOption,
    WeightsOption,
    with_settings,
)
from cli.inputs.validation_set import ValidationSet
from cli.reports.hints import command
from cli.runs.forecast import forewarned
from cli.runs.processes import ProcessesOption, engine_of
from cli.runs.progress import console
from cli.runs.training import drive, take_up, within_memory
from segmentation.unet.settings import SegmentationSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import torch

    from generators.protocol import Generator
    from segmentation.self_training.settings import SelfTrainingSettings
    from segmentation.self_training.training import SelfTrainingState
    from segmentation.unet.network import UNet
    from segmentation.unet.training import SegmentationState, Step
    from toolkit.compute.engine import Engine
    from toolkit.files.runs import RunFolder


@with_settings(SegmentationSettings)
def segment(
    settings: SegmentationSettings,
    directions: DirectionsArgument,
    out: Annotated[Path, typer.Option(help="Run folder; the same command again resumes it, more --steps go on.")],
    direction: DirectionOption = None,
    alpha: AlphaOption = None,
    generator: OtherGeneratorOption = None,
    weights: WeightsOption = None,
    embeddings: EmbeddingsOption = None,
    images: ValidationImagesOption = None,
    masks: ValidationMasksOption = None,
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
    validation = ValidationSet.open(images, masks, object_codes, ignore, invert, resize_masks)
    from cli.inputs.mask_source import MaskSource
    from segmentation.unet.training import bytes_needed

    engine = engine_of(device, precision, processes).for_training(compile_mode, settings.steps)
    rule = settings.mask_rule
    source = MaskSource.open(directions, direction, alpha, generator, weights, embeddings, rule)
    needed = partial(bytes_needed, settings, source.generator.image_size, engine.bf16)
    settings = within_memory(settings, max_memory, needed, engine.team.size)
    opened, shift = source.generator.to(engine.device), source.shift
    segment_into(out, opened, shift, settings, engine, source.inputs, source.name, source.latents, validation)
    console.print(f"wrote {out / 'segmenter.safetensors'}, {out / 'synthetic.png'}")
    console.print(f"next: {command('predict', 'photo.jpg', '--model', out, '--out', 'predictions')}")


def segment_into(
    out: Path,
    generator: "Generator",
    shift: "torch.Tensor",
    settings: SegmentationSettings,
    engine: "Engine",
    inputs: dict[str, str],
    direction_name: str,
    latents: "torch.Tensor | None" = None,
    validation: "ValidationSet | None" = None,
) -> "RunFolder":
    """Return the finished run in `out`, after starting it, taking it up again or finding it finished."""
    from cli.inputs.mask_source import draw_samples
    from segmentation.synthesis.synthesizer import latent_source
    from segmentation.unet.training import SegmentationState, train
    from toolkit.files.runs import RunFolder

    source = latent_source(generator, settings, latents)
    given = {**inputs, **engine.identity()}
    run = RunFolder.open(out, settings, given, engine.describe(), extendable=("steps",), team=engine.team)
    if run.result is not None and run.result["steps"] >= settings.steps:
        console.print(f"{out} is finished already")
        return run
    state = SegmentationState.start(generator, shift, settings, engine, source)
    if not take_up(state, run):
        draw_samples(generator, shift.to(engine.device), settings, state.synthesizer, out / "synthetic.png")
    measure = None if validation is None else validation.figures_at(generator.image_size)
    steps = forewarned(train(state, settings, engine), settings.steps, settings, engine)
    train_segmenter(steps, state, settings, run, "synthetic", measure)
    # The name is told but no part of what the run is: naming a direction must not keep a run from going on.
    if engine.team.lead:
        finish(state, settings, run, generator, {**inputs, "direction_name": direction_name})
    return run


def train_segmenter(
    steps: "Iterable[Step]",
    state: "SegmentationState | SelfTrainingState",
    settings: "SegmentationSettings | SelfTrainingSettings",
    run: "RunFolder",
    validated_on: str,
    photo_figures: "Callable[[UNet], dict[str, float]] | None" = None,
) -> None:
    """Train to the end with progress, logs and checkpoints; on Ctrl-C save and leave with status 130.

    Figures of the validations are logged as `validated_on`_iou and so on.
    """

    def attend(step: "Step", last: bool) -> str | None:
        figures: dict[str, float] = {}
        if step.step % settings.log_every == 0 or last:
            figures = {"loss": float(step.loss), "rate": step.rate}
        if step.validation is not None:
            figures |= {f"{validated_on}_{name}": value for name, value in vars(step.validation).items()}
        if photo_figures is not None and (step.step % settings.validate_every == 0 or last):
            figures |= photo_figures(state.network)
        if not figures:
            return None
        run.log(step.step, **figures)
        return ", ".join(f"{name} {value:.3f}" for name, value in figures.items() if name != "rate")

    drive("training", steps, state, settings, run, attend)


def finish(
    state: "SegmentationState",
    settings: SegmentationSettings,
    run: "RunFolder",
    generator: "Generator",
    source: dict[str, Any],
) -> None:
    """Write the segmenter and the figures, and close the run."""
    from segmentation.predict.segmenter import Segmenter

    checked = [line for line in run.metrics() if "synthetic_loss" in line or "photo_iou" in line][-1:]
    figures = {
        name: value for line in checked for name, value in line.items() if name.startswith(("synthetic", "photo"))
    }
    card = {"source": source, "steps": state.step, "settings": settings.defining(), "figures": figures}
    Segmenter(state.network.cpu(), generator.image_size, card).save(run.path / "segmenter.safetensors")
    acceptance = state.synthesizer.acceptance
    run.finish({**source, "steps": state.step, **figures, "drawn": acceptance.drawn, "rejected": acceptance.rejected})
