"""toolkit convert: published weights as this toolkit's own files."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.inputs.options import require
from cli.listing import FILES, listed_in
from cli.reports.hints import command, discover_command, print_outcome, segment_command
from cli.runs.progress import console

if TYPE_CHECKING:
    from toolkit.files.artefacts import Tensors

_SAMPLES = 16


@listed_in(
    FILES,
    "toolkit convert bigbigan-resnet50_1.tar.gz --out bigbigan.safetensors",
    "toolkit convert u_net_imagenet.pth --out segmenter.safetensors",
)
def convert(
    source: Annotated[
        Path,
        typer.Argument(
            help="Folder or .tar.gz of a TF-Hub BigBiGAN module, a published .pth (generator, U-Net, direction), or "
            "directions of GANSpace (.npz), InterFaceGAN (.npy) or WarpedGANSpace (support_sets.pt)."
        ),
    ],
    out: Annotated[Path, typer.Option(help="A .safetensors file; the samples of a generator go beside it.")],
    name: Annotated[str | None, typer.Option(help="What a generator shall be called; bigbigan if omitted.")] = None,
) -> None:
    """Turn published weights into files of this toolkit."""
    from toolkit.files.writing import writable_file

    require(source.exists(), f"nothing at {source}; name a TF-Hub module's folder or archive, or a published .pth file")
    writable_file(out, (".safetensors",))
    require(not out.exists() or not out.samefile(source), f"--out {out} is the source itself; choose another name")
    converter = _converter(source)
    require(name is None or converter in (_module, _generator), "--name names generators; omit it")
    converter(source, out, name or "bigbigan")


def _converter(source: Path) -> Callable[[Path, Path, str], None]:
    """Return the function that converts what `source` holds."""
    import torch

    from discovery.originals.components import holds_arrays
    from discovery.originals.warped import is_warped
    from generators.tensorflow.hub import is_module
    from segmentation.unet.layouts import holds_network
    from toolkit.files.artefacts import artefact_kind, load_pickled

    if holds_arrays(source) or is_warped(source):
        return _directions
    if is_module(source):
        return _module
    if source.suffix.lower() == ".safetensors":
        kind = artefact_kind(source)
        require(kind is None, f"{source} is a {kind} artefact of this toolkit already; use it as it is")
        return _generator
    require(
        source.suffix.lower() in (".pth", ".pt"),
        f"cannot tell what {source} is; name a TF-Hub module's folder or .tar.gz, or a published .pth file",
    )
    held = load_pickled(source, "published weights")
    if isinstance(held, torch.Tensor):
        return _direction
    return _segmenter if holds_network(held) else _generator


def _module(source: Path, out: Path, name: str) -> None:
    from generators.tensorflow.hub import convert_tf_variables, module_variables

    with module_variables(source) as variables:
        console.print(f"reading {len(variables)} variables of {source}")
        state = convert_tf_variables(variables)
        read = [source] if source.is_file() and source.suffix != ".index" else variables.files
        _write_generator(state, source, out, {"name": name, **_provenance("TF-Hub module", read)})


def _generator(source: Path, out: Path, name: str) -> None:
    from generators.published.biggan.generator import is_whole
    from toolkit.files.artefacts import load_state_file

    state = load_state_file(source, "BigBiGAN weights", fits=is_whole)
    _write_generator(state, source, out, {"name": name, **_provenance("published weights", [source])})


def _write_generator(state: "Tensors", source: Path, out: Path, card: dict[str, object]) -> None:
    import torch

    from generators.published.biggan.generator import load_bigbigan, save_bigbigan
    from toolkit.pictures.photos import write_picture
    from toolkit.pictures.pixels import grid, to_bytes
    from toolkit.streams import Stream

    save_bigbigan(out, state, card, source)
    generator = load_bigbigan(out)
    statistics = ("u0", "sv0", "stored_mean", "stored_var")
    parameters = sum(tensor.numel() for name, tensor in state.items() if not name.endswith(statistics))
    console.print(
        f"found a BigBiGAN generator: {generator.image_size}x{generator.image_size} pixels, "
        f"latents of {generator.latent_dim} numbers, {parameters:,} parameters"
    )
    latents = generator.sample(_SAMPLES, Stream(0, "sample"))
    with torch.inference_mode():
        images = generator(latents)
    write_picture(out.with_suffix(".png"), grid(to_bytes(images)))
    print_outcome(out, out.with_suffix(".png"), following=discover_command("--generator", out))


def _segmenter(source: Path, out: Path, _: str) -> None:
    from segmentation.predict.segmenter import load_published

    segmenter = load_published(source)
    replace(segmenter, card={**segmenter.card, **_provenance("published weights", [source])}).save(out)
    parameters = sum(parameter.numel() for parameter in segmenter.network.parameters())
    console.print(f"found a U-Net of width {segmenter.network.width}, {parameters:,} parameters")
    print_outcome(out, following=command("predict", "MY_PHOTOS", "--segmenter", out, "--out", "masks"))


def _direction(source: Path, out: Path, _: str) -> None:
    from toolkit.untrusted.bg_direction import load_published

    directions = load_published(source)
    replace(directions, card={**directions.card, **_provenance("published weights", [source])}).save(out)
    console.print(
        f"found a direction of {directions.vectors.shape[1]} numbers, shift length {directions.chosen().alpha:g}"
    )
    print_outcome(out, following=segment_command(out))


def _directions(source: Path, out: Path, _: str) -> None:
    from discovery.opening import open_directions

    directions = open_directions(source)
    files = [source] if source.is_file() else sorted(source.glob("**/support_sets*.pt"))
    replace(directions, card={**directions.card, **_provenance(directions.method, files)}).save(out)
    console.print(f"found {len(directions)} directions of {directions.vectors.shape[1]} numbers: {directions.method}")
    print_outcome(out, following=command("browse", out, "--generator", directions.source.missing or "FILE"))


def _provenance(form: str, files: list[Path]) -> dict[str, object]:
    """Return what a card says about its source: what it was, and the SHA-256 of every file read."""
    from toolkit.files.writing import sha256_of

    return {"converted_from": form, "sha256": {file.name: sha256_of(file) for file in files}}
