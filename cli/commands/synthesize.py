"""toolkit synthesize: synthetic images with masks as a data set on disk."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.inputs.options import (
    AlphaOption,
    DeviceOption,
    DirectionOption,
    DirectionsArgument,
    EmbeddingsOption,
    OtherGeneratorOption,
    PrecisionOption,
    WeightsOption,
    with_settings,
)
from cli.reports.hints import generator_words, segment_command
from cli.runs.processes import ProcessesOption, engine_of
from cli.runs.progress import console
from cli.runs.training import drive, take_up
from segmentation.synthesis.settings import SynthesizeSettings

if TYPE_CHECKING:
    from segmentation.synthesis.shards import Step, SynthesisState
    from toolkit.files.runs import RunFolder

STREAM = "synthesize"  # not that of segment: a segmenter trained there can be measured on these pairs


@with_settings(SynthesizeSettings)
def synthesize(
    settings: SynthesizeSettings,
    directions: DirectionsArgument,
    out: Annotated[Path, typer.Option(help="Folder for the pairs; the same command again resumes it.")],
    direction: DirectionOption = None,
    alpha: AlphaOption = None,
    generator: OtherGeneratorOption = None,
    weights: WeightsOption = None,
    embeddings: EmbeddingsOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    processes: ProcessesOption = 1,
) -> None:
    """Write synthetic images with the masks a direction gives, to train any network on.

    Pair i of a seed is the same in every layout and, up to the rounding of the arithmetic, for every batch size.
    """
    from cli.inputs.mask_source import MaskSource, draw_samples
    from segmentation.synthesis.shards import SynthesisState, writer_of
    from segmentation.synthesis.synthesizer import MaskSynthesizer, latent_source
    from toolkit.files.runs import RunFolder

    engine = engine_of(device, precision, processes)
    rule = settings.mask_rule
    source = MaskSource.open(directions, direction, alpha, generator, weights, embeddings, rule)
    opened, shift = source.generator.to(engine.device), source.shift.to(engine.device)
    masking = settings.masking()
    drawn_from = latent_source(opened, masking, source.latents)
    inputs = {**source.inputs, **engine.identity()}
    run = RunFolder.open(out, settings, inputs, engine.describe(), team=engine.team)
    if run.result is None:
        synthesizer = MaskSynthesizer(opened, shift, masking, drawn_from, STREAM, engine)
        state = SynthesisState(synthesizer, writer_of(settings, out, engine.team))
        if not take_up(state, run):
            draw_samples(opened, shift, masking, state.synthesizer, out / "samples.png")
            # From here on there is work to protect: the same folder with another layout or seed is refused.
            run.save_checkpoint(state.state_dict())
        named = {"direction": source.index, "direction_name": source.name, "alpha": source.alpha}
        made = {**inputs, **named, "image_size": opened.image_size}
        _write(state, settings, run, made)
    else:
        run.close()
        console.print(f"{out} is finished already")
    console.print(f"wrote {settings.count} pairs into {out}: {_places(settings)}, manifest.json, samples.png")
    words = [] if direction is None else ["--direction", direction]
    words += [] if alpha is None else ["--alpha", f"{alpha:g}"]
    words += generator_words(generator, weights)
    console.print(f"next: {segment_command(directions, *words, rule=rule)}")


def _places(settings: SynthesizeSettings) -> str:
    return "images/, masks/" if settings.layout == "folder" else "shard-*.tar"


def _write(state: "SynthesisState", settings: SynthesizeSettings, run: "RunFolder", made: dict[str, Any]) -> None:
    """Write the pairs that are left, then what belongs to them."""
    from segmentation.synthesis.shards import synthesize as batches_of

    first, started = state.writer.pairs, time.monotonic()

    def attend(step: "Step", last: bool) -> str:
        rate = (step.pairs - first) / max(time.monotonic() - started, 1e-9)
        return f"{step.pairs} pairs, {rate:.1f} pairs/s, {state.synthesizer.acceptance.share:.0%} accepted"

    drive("synthesizing", batches_of(state, settings), state, settings, run, attend, unit="batches")
    if run.team.lead:
        _conclude(state, settings, run, made)


def _conclude(state: "SynthesisState", settings: SynthesizeSettings, run: "RunFolder", made: dict[str, Any]) -> None:
    """Write the manifest and the figures, and close the run."""
    from toolkit import __version__
    from toolkit.files.writing import write_json

    acceptance = state.synthesizer.acceptance
    console.print(f"synthetic pairs: {acceptance.describe()}")
    figures = {**vars(acceptance), "share": acceptance.share}
    manifest = {
        "count": state.writer.pairs,
        "layout": settings.layout,
        **state.writer.contents(),
        **made,
        "mask_rule": settings.mask_rule,
        "settings": settings.as_dict(),
        "acceptance": figures,
        "toolkit": __version__,
    }
    write_json(run.path / "manifest.json", manifest)
    run.finish({"steps": state.step, "pairs": state.writer.pairs, **vars(acceptance)})
