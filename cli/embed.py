"""toolkit embed: the latents of one's own photos."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.hints import segment_command
from cli.options import DeviceOption, GeneratorOption, PrecisionOption, SeedOption, WeightsOption, require
from cli.photo_folder import photos_digest, require_outside
from cli.progress import Bar, StopRequest, console
from toolkit.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import torch

    from generators.embedding import Embedder, Reconstructor
    from generators.latents_file import EmbeddedPhotos
    from generators.protocol import Generator

_BACKENDS = ("torch", "tfhub")
_SAVE_SECONDS = 30.0
_PAIRS = 16  # columns of the picture
# Unlike the original, which kept draws: on flowers64 means miss held-out photos by 0.215, draws by 0.337.
_SAMPLE = False


def embed(
    photos: Annotated[Path, typer.Argument(help="Folder of photos; their centre squares are embedded.")],
    out: Annotated[Path, typer.Option(help="A .npy file of latents (N, D); .json and .png are written beside it.")],
    generator: GeneratorOption = "flowers64",
    weights: WeightsOption = None,
    encoder: Annotated[
        str | None, typer.Option(help="Run folder, encoder file or shipped name; the generator's own if left away.")
    ] = None,
    backend: Annotated[str, typer.Option(help="torch, or tfhub for a published BigBiGAN module.")] = "torch",
    module: Annotated[Path | None, typer.Option(help="Folder of the module, with --backend tfhub.")] = None,
    sample: Annotated[bool, typer.Option("--sample/--mean", help="Draw from each latent's spread, or not.")] = _SAMPLE,
    refine: Annotated[int, typer.Option(help="Steps that move each latent towards its photo.", min=0)] = 0,
    refine_rate: Annotated[float, typer.Option(help="Length of such a step, in the latents' spread.")] = 0.05,
    batch: Annotated[int, typer.Option(help="Photos at a time.", min=1)] = 32,
    seed: SeedOption = 0,
    skip_unreadable: Annotated[bool, typer.Option("--skip-unreadable", help="Report broken photos and go on.")] = False,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "fp32",
) -> None:
    """Tell the latents of photos; the same command again goes on where it was stopped."""
    require(backend in _BACKENDS, f"--backend is {backend!r}; choose one of {', '.join(_BACKENDS)}")
    require((backend == "tfhub") == (module is not None), "--backend tfhub and --module go together; give both")
    require(module is None or encoder is None, "--module holds the encoder itself; leave --encoder away")
    require(refine_rate > 0, f"--refine-rate is {refine_rate}, but has to be more than 0")
    require_outside(out, photos)
    from cli.sources import generator_inputs
    from generators.embedding import Reconstructor, Refinement, embed_images
    from generators.latents_file import record_of, save_latents
    from toolkit.engine import choose_engine
    from toolkit.files import writable_file
    from toolkit.photos import list_photos, read_centre, read_square
    from toolkit.streams import Stream

    engine = choose_engine(device, precision)
    renderer = _open_renderer(generator, weights, engine.device)
    require(renderer is not None or refine == 0, "--refine needs the generator's weights; get them or leave it away")
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
        "refine": refine,
        "refine_rate": refine_rate,
        **engine.identity(),
    }
    task = _Task(photos, list_photos(photos), writable_file(out, (".npy",)), made)
    if task.is_finished():
        console.print(f"{out} is finished already")
        return
    reconstructor = None if renderer is None else Reconstructor(renderer, embedder.image_size, engine.device)

    def read(path: Path) -> "np.ndarray":
        return (read_centre if backend == "tfhub" else read_square)(path, embedder.image_size)

    def tell(images: "torch.Tensor", first_row: int) -> "tuple[torch.Tensor, dict[str, torch.Tensor]]":
        rng, images = Stream(seed, "embedding", first_row), images.to(engine.device)
        with engine.autocast():
            return embed_images(images, embedder, reconstructor, sample, Refinement(refine, refine_rate), rng)

    found = _embed_all(task, batch, skip_unreadable, read, tell)
    for line in found.left_out:
        console.print(f"left out: {line}")
    require(bool(found.files), "none of the photos could be read")
    if reconstructor is not None:
        _draw_pairs(task, found, reconstructor, read)
    save_latents(out, found, task.described(len(task.paths)))
    task.unfinished.unlink(missing_ok=True)
    figures = "".join(f", {name} {value:.3f}" for name, value in found.figures().items())
    console.print(
        f"wrote {out}: {len(found.files)} latents of {made['generator']}{figures}; {record_of(out)} names the photos"
    )
    console.print(f"next: {segment_command('DIRECTIONS', '--embeddings', str(out), '--z-noise', '0.2')}")


@dataclass(frozen=True)
class _Task:
    """Which photos become which file of latents, how, and where the state lies in the meantime."""

    folder: Path
    paths: list[Path]
    out: Path
    made: dict[str, Any]

    @property
    def unfinished(self) -> Path:
        return self.out.with_name(f".{self.out.stem}.unfinished.safetensors")

    def name_of(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def described(self, count: int) -> dict[str, Any]:
        """Return how latents of the first `count` photos are made."""
        return {**self.made, "photos_digest": photos_digest(self.paths[:count], self.folder)}

    def is_finished(self) -> bool:
        """Tell whether the output is there; UserError when it was made otherwise or by others."""
        from generators.latents_file import read_record, record_of

        if not self.out.exists():
            beside = [path for path in (record_of(self.out), self.out.with_suffix(".png")) if path.exists()]
            require(
                not beside or self.unfinished.exists(),
                f"{beside[0] if beside else ''} exists and would be overwritten; choose another --out, or remove it",
            )
            return False
        self._require_same(self.out, read_record(self.out) or {}, len(self.paths))
        return True

    def take_up(self) -> "EmbeddedPhotos":
        """Return what an interrupted command has told so far."""
        from generators.latents_file import EmbeddedPhotos, load_unfinished

        if not self.unfinished.exists():
            return EmbeddedPhotos()
        found, made = load_unfinished(self.unfinished)
        self._require_same(self.unfinished, made, found.consumed)
        console.print(f"going on after {found.consumed} photos")
        return found

    def save(self, found: "EmbeddedPhotos") -> None:
        found.save(self.unfinished, self.described(found.consumed))

    def _require_same(self, path: Path, before: dict[str, Any], count: int) -> None:
        described = self.described(count)
        changed = [
            f"{name} was {before.get(name)!r}, now {value!r}"
            for name, value in described.items()
            if before.get(name) != value
        ]
        if changed:
            raise UserError(f"{path} holds latents whose {'; '.join(changed)}; delete it or choose another --out")


def _open_renderer(name: str, weights: Path | None, device: "torch.device") -> "Generator | None":
    """Return the generator, or None where only its name is needed: the weights of bigbigan may not be at hand."""
    from generators.catalogue import open_generator

    try:
        return open_generator(name, weights).to(device)
    except UserError as error:
        if name != "bigbigan" or weights is not None:
            raise
        console.print(f"without pictures and errors of reconstructions: {error}")
        return None


def _open_embedder(
    encoder: str | None, module: Path | None, generator: str, device: "torch.device"
) -> "tuple[Embedder, dict[str, str]]":
    """Return what tells the latents, and how a record names it."""
    from cli.sources import encoder_file
    from generators.encoder import load_encoder
    from toolkit.files import sha256_of

    if module is not None:
        from generators.tfhub_encoder import load_tfhub_encoder

        found = load_tfhub_encoder(module)
        return found, {"encoder": str(module), "encoder_digest": sha256_of(module / "saved_model.pb")[:16]}
    path = encoder_file(encoder, generator)
    return load_encoder(path).to(device), {"encoder": encoder or generator, "encoder_digest": sha256_of(path)[:16]}


def _require_fit(embedder: "Embedder", generator: "Generator | None", digest: str | None) -> None:
    from generators.encoder import Encoder

    if generator is None:
        return
    told = embedder.generator if isinstance(embedder, Encoder) else generator.name
    if (told, embedder.latent_dim) != (generator.name, generator.latent_dim):
        raise UserError(
            f"the encoder tells latents of {told} with {embedder.latent_dim} numbers, but {generator.name} has "
            f"{generator.latent_dim}; train one with toolkit train-encoder"
        )
    trained_on = embedder.card.get("source", {}).get("generator_digest") if isinstance(embedder, Encoder) else None
    if trained_on is not None and trained_on != digest:
        console.print(
            f"note: the encoder was trained on another file of {told}; if that was another training, so is this"
        )


def _embed_all(
    task: _Task,
    batch: int,
    skip_unreadable: bool,
    read: "Callable[[Path], np.ndarray]",
    tell: "Callable[[torch.Tensor, int], tuple[torch.Tensor, dict[str, torch.Tensor]]]",
) -> "EmbeddedPhotos":
    """Return the latents of all photos; on Ctrl-C or SIGTERM keep those told so far and leave with status 130."""
    import numpy as np

    from toolkit.pixels import from_bytes

    found = task.take_up()
    saved = time.monotonic()
    with Bar("embedding", len(task.paths), found.consumed, unit="photos") as bar, StopRequest() as stop:
        for start in range(found.consumed, len(task.paths), batch):
            part = task.paths[start : start + batch]
            pictures: dict[str, np.ndarray] = {}
            for path in part:
                try:
                    pictures[task.name_of(path)] = read(path)
                except UserError as error:
                    if not skip_unreadable:
                        raise
                    found.left_out.append(str(error))
            if pictures:
                images = from_bytes(np.stack(list(pictures.values())))
                found.extend(list(pictures), *tell(images, len(found.files)))
            bar.advance(len(part), ", ".join(f"{name} {value:.3f}" for name, value in found.figures().items()))
            if found.consumed < len(task.paths) and (stop or time.monotonic() - saved > _SAVE_SECONDS):
                task.save(found)
                saved = time.monotonic()
                if stop:
                    console.print(f"stopped after {found.consumed} photos; the same command goes on from there")
                    raise typer.Exit(130)
    return found


def _draw_pairs(
    task: _Task,
    found: "EmbeddedPhotos",
    reconstructor: "Reconstructor",
    read: "Callable[[Path], np.ndarray]",
) -> None:
    """Write a picture of photos, evenly spaced, above their reconstructions."""
    import numpy as np
    import torch

    from generators.reconstruction import pairs_picture
    from toolkit.photos import write_picture
    from toolkit.pixels import from_bytes, resize

    rows = np.linspace(0, len(found.files) - 1, min(_PAIRS, len(found.files))).astype(int)
    photos = from_bytes(np.stack([read(task.folder / found.files[row]) for row in rows]))
    z = found.table()[torch.from_numpy(rows)].to(reconstructor.moments.mean)
    picture = pairs_picture(resize(photos, (reconstructor.side,) * 2), reconstructor.images(z).cpu())
    write_picture(task.out.with_suffix(".png"), picture)
