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
from toolkit.command_line import as_flags
from toolkit.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import torch

    from generators.encoder.embed_photos import EmbedTask
    from generators.encoder.embedding import Embedder, LatentRefiner
    from generators.latents_file import EmbeddedPhotos
    from generators.protocol import Generator

_BACKENDS = ("torch", "tfhub")
_PAIRS = 16  # columns of the picture
# Unlike the original, which kept draws: on flowers64 means miss held-out photos by 0.215, draws by 0.337.
_SAMPLE = False


@listed_in(
    GENERATORS,
    "toolkit embed MY_PHOTOS --out z.npy",
    "toolkit embed MY_PHOTOS --generator my-generator --out z.npy --steps 50",
    formerly={"--refine": "--steps", "--refine-rate": "--rate"},
)
def embed(
    photos: Annotated[Path, typer.Argument(help="Folder of photos; their centre squares are embedded.")],
    out: Annotated[Path, typer.Option(help="A .npy file of latents (N, D); .json and .png are written beside it.")],
    generator: GeneratorOption = "flowers64",
    weights: WeightsOption = None,
    encoder: EncoderOption = None,
    backend: Annotated[
        str,
        typer.Option(
            help="torch, or tfhub for a published BigBiGAN module.", autocompletion=completion.one_of(_BACKENDS)
        ),
    ] = "torch",
    module: Annotated[Path | None, typer.Option(help="Folder of the module, with --backend tfhub.")] = None,
    sample: Annotated[bool, typer.Option("--sample/--mean", help="Draw from each latent's spread, or not.")] = _SAMPLE,
    steps: Annotated[int, typer.Option(help="Steps that move each latent towards its photo.", min=0)] = 0,
    rate: Annotated[float, typer.Option(help="Length of such a step, in the latents' spread.")] = 0.05,
    batch: Annotated[int, typer.Option(help="Photos at a time.", min=1)] = 32,
    seed: SeedOption = 0,
    skip_unreadable: Annotated[bool, typer.Option("--skip-unreadable", help="Report broken photos and go on.")] = False,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "fp32",
    processes: ProcessesOption = 1,
) -> None:
    """Estimate the latents of photos; rerun to resume."""
    require(backend in _BACKENDS, f"--backend is {backend!r}; choose one of {', '.join(_BACKENDS)}")
    require((backend == "tfhub") == (module is not None), "--backend tfhub and --module go together; give both")
    require(module is None or encoder is None, "--module holds the encoder itself; omit --encoder")
    require(rate > 0, f"--rate is {rate}, but has to be more than 0")
    from generators.encoder.embed_photos import EmbedTask, embed_all
    from generators.encoder.embedding import LatentRefiner, Refinement, embed_images
    from generators.latents_file import record_of, save_latents
    from generators.recorded import generator_inputs
    from toolkit.files.locks import hold_file, let_go_file
    from toolkit.files.writing import writable_file
    from toolkit.pictures.photo_folder import require_outside
    from toolkit.pictures.photos import read_centre, read_square
    from toolkit.streams import Stream

    require_outside(out, photos)
    engine = engine_of(device, precision, processes)
    renderer = _open_renderer(generator, weights, engine.device)
    require(renderer is not None or steps == 0, "--steps need the generator's weights; get them or omit --steps")
    embedder, source = _open_embedder(encoder, module, generator, engine.device)
    digest = generator_inputs(generator, weights).get("generator_digest")
    _require_fit(embedder, renderer, digest)
    made = {
        "generator": generator if renderer is None else renderer.name,
        "generator_digest": digest,
        "latent_dim": embedder.latent_dim,
        **source,
        "latents": "sample" if sample else "mean",
        "seed": seed,
        "refine": steps,
        "refine_rate": rate,
        **engine.identity(),
    }
    task = EmbedTask(photos, photos_in(photos), writable_file(out, (".npy",)), made)
    engine.team.led(lambda: hold_file(out))
    if engine.team.led(task.is_finished):
        console.print(f"{out} is finished already")
        return
    refiner = None if renderer is None else LatentRefiner(renderer, embedder.image_size, engine.device)

    def read(path: Path) -> "np.ndarray":
        return (read_centre if backend == "tfhub" else read_square)(path, embedder.image_size)

    def estimate(images: "torch.Tensor", first_row: int) -> "tuple[torch.Tensor, dict[str, torch.Tensor]]":
        rng, images = Stream(seed, "embedding", first_row), images.to(engine.device)
        with engine.autocast():
            return embed_images(images, embedder, refiner, sample, Refinement(steps, rate), rng)

    embedded = embed_all(task, batch, skip_unreadable, read, estimate, engine.team, terminal)
    for line in embedded.left_out:
        console.print(f"left out: {line}")
    require(bool(embedded.files), "none of the photos could be read")
    if not engine.team.lead:
        return
    if refiner is not None:
        _draw_pairs(task, embedded, refiner, read)
    save_latents(out, embedded, task.described(len(task.paths)))
    task.unfinished.unlink(missing_ok=True)
    let_go_file(out)
    figures = "".join(f", {name} {value:.3f}" for name, value in embedded.figures().items())
    console.print(
        f"wrote {out}: {len(embedded.files)} latents of {made['generator']}{figures}; {record_of(out)} names the photos"
    )
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


def _open_embedder(
    encoder: str | None, module: Path | None, generator: str, device: "torch.device"
) -> "tuple[Embedder, dict[str, str]]":
    """Return what estimates the latents, and how a record names it."""
    from generators.encoder.network import load_encoder
    from generators.encoder.opening import encoder_file
    from toolkit.files.writing import sha256_of

    if module is not None:
        from generators.tensorflow.encoder import load_tfhub_encoder

        encoder_module = load_tfhub_encoder(module)
        return encoder_module, {"encoder": str(module), "encoder_digest": sha256_of(module / "saved_model.pb")[:16]}
    path = encoder_file(encoder, generator)
    return load_encoder(path).to(device), {"encoder": encoder or generator, "encoder_digest": sha256_of(path)[:16]}


def _require_fit(embedder: "Embedder", generator: "Generator | None", digest: str | None) -> None:
    from generators.encoder.embedding import require_fit, trained_on_another

    if generator is None:
        return
    require_fit(embedder, generator)
    if trained_on_another(embedder, digest):
        console.print(
            f"note: the encoder was trained on another file of {generator.name}; if that was another training, "
            "so is this"
        )


def _draw_pairs(
    task: "EmbedTask",
    embedded: "EmbeddedPhotos",
    refiner: "LatentRefiner",
    read: "Callable[[Path], np.ndarray]",
) -> None:
    """Write a picture of photos, evenly spaced, above their reconstructions."""
    import numpy as np
    import torch

    from generators.encoder.reconstruction import pairs_picture
    from toolkit.files.names import read_back
    from toolkit.pictures.photos import write_picture
    from toolkit.pictures.pixels import from_bytes, resize

    rows = np.linspace(0, len(embedded.files) - 1, min(_PAIRS, len(embedded.files))).astype(int)
    photos = from_bytes(np.stack([read(task.folder / read_back(embedded.files[row])) for row in rows]))
    z = embedded.table()[torch.from_numpy(rows)].to(refiner.moments.mean)
    picture = pairs_picture(resize(photos, (refiner.side,) * 2), refiner.images(z).cpu())
    write_picture(task.out.with_suffix(".png"), picture)
