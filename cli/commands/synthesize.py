"""toolkit synthesize: synthetic images with masks as a data set on disk."""

from pathlib import Path
from typing import Annotated

import typer

from cli.inputs.options import (
    AlphaOption,
    DeviceOption,
    DirectionOption,
    DirectionsArgument,
    EmbeddingsOption,
    LayersOption,
    OtherGeneratorOption,
    PrecisionOption,
    WeightsOption,
    require,
    with_settings,
)
from cli.listing import SEGMENTATION, listed_in
from cli.reports.hints import generator_words, segment_command
from cli.runs.processes import ProcessesOption, engine_of
from cli.runs.progress import console, terminal
from cli.runs.training import carried_out
from segmentation.synthesis.settings import SynthesizeSettings


@with_settings(SynthesizeSettings)
@listed_in(
    SEGMENTATION,
    "toolkit synthesize flowers64 --samples 10000 --out pairs",
    "toolkit synthesize directions --layout shared --out shards",
)
def synthesize(
    settings: SynthesizeSettings,
    directions: DirectionsArgument,
    out: Annotated[Path, typer.Option(help="Folder for the pairs; the same command again resumes it.")],
    direction: DirectionOption = None,
    alpha: AlphaOption = None,
    layers: LayersOption = None,
    generator: OtherGeneratorOption = None,
    weights: WeightsOption = None,
    embeddings: EmbeddingsOption = None,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "auto",
    processes: ProcessesOption = 1,
) -> None:
    """Write synthetic images with the masks a direction gives, to train any network on.

    Pair i of a seed is the same in the layouts folder and shards and, up to the rounding of the arithmetic, for every
    batch size; in the layout shared the number of the shard names it too.
    """
    require(
        processes == 1 or settings.layout != "shared",
        "--processes goes with --layout folder or shards; of --layout shared start the command several times",
    )
    engine = engine_of(device, precision, processes, out)
    from cli.inputs.mask_source import open_source
    from segmentation.synthesis.run import SynthesisRun
    from segmentation.synthesis.shared import make_shared
    from segmentation.synthesis.synthesizer import latent_source

    source = open_source(
        directions, direction, alpha, generator, weights, embeddings, settings.mask_rule, layers, settings.max_area
    )
    latents = latent_source(source.generator.to(engine.device), settings.masking(), source.latents)
    work = SynthesisRun(source, latents, settings, engine)
    if settings.layout != "shared":
        carried_out(work, out)
    elif others := make_shared(work, out, terminal):
        shards = "one shard is" if others == 1 else f"{others} shards are"
        console.print(f"{shards} being made by other commands; the last one to end writes manifest.json")
        return
    console.print(f"wrote {settings.samples} pairs into {out}: {_places(settings)}, manifest.json, samples.png")
    words = [] if direction is None else ["--direction", direction]
    words += [] if alpha is None else ["--alpha", f"{alpha:g}"]
    words += [] if layers is None else ["--layers", layers]
    words += generator_words(generator, weights)
    console.print(f"next: {segment_command(directions, *words, rule=source.mask_rule)}")


def _places(settings: SynthesizeSettings) -> str:
    return "images/, masks/" if settings.layout == "folder" else "shard-*.tar"
