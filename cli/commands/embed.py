"""toolkit embed: the latents of one's own photos."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.inputs import completion
from cli.inputs.latents import EncoderOption
from cli.inputs.options import DeviceOption, GeneratorOption, PrecisionOption, SeedOption, WeightsOption, require
from cli.inputs.photo_folder import photos_in
from cli.listing import GENERATORS, listed_in
from cli.reports.hints import segment_command
from cli.runs.processes import ProcessesOption, engine_of
from cli.runs.progress import console, terminal
from generators.projection.settings import SPACES, STEPS
from toolkit.command_line import as_flags, command
from toolkit.errors import UserError

if TYPE_CHECKING:
    import torch

    from generators.encoder.embed_photos import EmbedTask
    from generators.encoder.method import Method
    from generators.latents_file import EmbeddedPhotos
    from generators.protocol import Generator

_BACKENDS = ("torch", "tfhub")
_PAIRS = 16  # columns of the picture
# Unlike the original, which kept draws: on flowers64 means miss held-out photos by 0.215, draws by 0.337.
_SAMPLE = False


@listed_in(
    GENERATORS,
    "toolkit embed MY_PHOTOS --generator my-generator --out z.npy --steps 50",
    "toolkit embed MY_PHOTOS --generator G.pkl --space w+ --out w.npy",
    formerly={"--refine": "--steps", "--refine-rate": "--rate"},
)
def embed(
    photos: Annotated[Path, typer.Argument(help="Folder of photos; their centre squares are embedded.")],
    out: Annotated[
        Path,
        typer.Option(
            help="A .npy file of latents (N, D), or (N, layers, D) in w+; .json and .png are written beside it."
        ),
    ],
    generator: GeneratorOption = "flowers64",
    weights: WeightsOption = None,
    space: Annotated[
        str | None,
        typer.Option(
            help="Of a style-based generator: w+ (a latent for each layer), w or z, found by steps through the "
            "generator, from the encoder's estimate or the mean; default: w+ where there is no encoder.",
            autocompletion=completion.one_of(SPACES),
        ),
    ] = None,
    encoder: EncoderOption = None,
    backend: Annotated[
        str,
        typer.Option(
            help="torch, or tfhub for a published BigBiGAN module.", autocompletion=completion.one_of(_BACKENDS)
        ),
    ] = "torch",
    module: Annotated[Path | None, typer.Option(help="Folder of the module, with --backend tfhub.")] = None,
    sample: Annotated[bool, typer.Option("--sample/--mean", help="Draw from each latent's spread, or not.")] = _SAMPLE,
    steps: Annotated[
        int | None,
        typer.Option(
            help="Steps that move each latent towards its photo.", min=0, show_default=f"0; {STEPS} with --space"
        ),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(help="Length of such a step, in the latents' spread.", show_default="0.05; 0.1 with --space"),
    ] = None,
    optimise_noise: Annotated[
        bool,
        typer.Option(
            "--optimise-noise",
            help="With --space: find the noise of each image too; it lies beside the latents, as .noise.npy.",
        ),
    ] = False,
    batch: Annotated[
        int | None, typer.Option(help="Photos at a time.", min=1, show_default="32; fewer with --space")
    ] = None,
    seed: SeedOption = 0,
    skip_unreadable: Annotated[bool, typer.Option("--skip-unreadable", help="Report broken photos and go on.")] = False,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "fp32",
    processes: ProcessesOption = 1,
) -> None:
    """Estimate or find the latents of photos; rerun to resume."""
    require(backend in _BACKENDS, f"--backend is {backend!r}; choose one of {', '.join(_BACKENDS)}")
    require((backend == "tfhub") == (module is not None), "--backend tfhub and --module go together; give both")
    require(module is None or encoder is None, "--module holds the encoder itself; omit --encoder")
    require(rate is None or rate > 0, f"--rate is {rate}, but has to be more than 0")
    from toolkit.pictures.photo_folder import require_outside

    require_outside(out, photos)
    engine = engine_of(device, precision, processes)
    from generators.encoder.embed_photos import EmbedTask, embed_all
    from generators.encoder.method import Whose
    from generators.latents_file import record_of, save_latents
    from generators.projection.choosing import Asked, method_for
    from generators.recorded import generator_inputs
    from toolkit.files.locks import hold_file, let_go_file
    from toolkit.files.writing import writable_file

    renderer = _open_renderer(generator, weights, engine.device)
    require(renderer is not None or not steps, "--steps need the generator's weights; get them or omit --steps")
    whose = Whose(renderer, generator, generator_inputs(generator, weights).get("generator_digest"))
    asked = Asked(space, encoder, module, sample, steps, rate, seed, optimise_noise)
    method, fitting = method_for(whose, asked, engine, terminal)
    task = EmbedTask(photos, photos_in(photos), writable_file(out, (".npy",)), method.made)
    engine.team.led(lambda: hold_file(out))
    if engine.team.led(task.is_finished):
        console.print(f"{out} is finished already")
        return
    embedded = embed_all(task, batch or fitting, skip_unreadable, method, engine.team, terminal)
    for line in embedded.left_out:
        console.print(f"left out: {line}")
    require(bool(embedded.files), "none of the photos could be read")
    if not engine.team.lead:
        return
    _draw_pairs(task, embedded, method)
    save_latents(out, embedded, task.described(len(task.paths)))
    task.unfinished.unlink(missing_ok=True)
    let_go_file(out)
    figures = "".join(f", {name} {value:.3f}" for name, value in embedded.figures().items())
    made = f"{len(embedded.files)} latents of {method.made['generator']}{figures}"
    console.print(f"wrote {out}: {made}; {record_of(out)} names the photos")
    if method.steps:  # what is found for its own sake is edited; estimates of many photos train a segmenter
        console.print(f"next: {command('render-gif', 'DIRECTIONS', '--latents', out, '--out', 'edits.gif')}")
    else:
        console.print(f"next: {segment_command('DIRECTIONS', '--embeddings', str(out), '--z-noise', '0.2')}")


def _open_renderer(name: str, weights: Path | None, device: "torch.device") -> "Generator | None":
    """Return the generator, or None where only its name is needed: the weights of bigbigan may not be at hand."""
    from cli.inputs.sources import open_typed

    try:
        return open_typed(name, weights).to(device)
    except UserError as error:
        if name != "bigbigan" or weights is not None:
            raise
        console.print(f"without pictures and errors of reconstructions: {as_flags(error.marked)}")
        return None


def _draw_pairs(task: "EmbedTask", embedded: "EmbeddedPhotos", method: "Method") -> None:
    """Write a picture of photos, evenly spaced, above their reconstructions, where these can be rendered."""
    import numpy as np
    import torch

    from generators.encoder.reconstruction import pairs_picture
    from toolkit.files.names import read_back
    from toolkit.pictures.photos import write_picture
    from toolkit.pictures.pixels import from_bytes, resize

    if method.images is None:
        return
    rows = np.linspace(0, len(embedded.files) - 1, min(_PAIRS, len(embedded.files))).astype(int)
    photos = from_bytes(np.stack([method.read(task.folder / read_back(embedded.files[row])) for row in rows]))
    images = method.images(embedded.latents(torch.from_numpy(rows))).cpu()
    write_picture(
        task.out.with_suffix(".png"), pairs_picture(resize(photos, (images.shape[-2], images.shape[-1])), images)
    )
