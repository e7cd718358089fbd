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
    from generators.protocol import Generator
    from toolkit.files.artefacts import Tensors

_ENDINGS = (".pth", ".pt", ".bin", ".pkl", ".ckpt")
_SAMPLES = 16


@listed_in(
    FILES,
    "toolkit convert network-snapshot.pkl --out g.safetensors",
    "toolkit convert bigbigan-resnet50_1.tar.gz --out bigbigan.safetensors",
)
def convert(
    source: Annotated[
        Path,
        typer.Argument(
            help="Snapshot of StyleGAN2-ADA or StyleGAN3 (.pkl), published .pth or folder of Hugging Face (generator, "
            "U-Net, direction), folder or .tar.gz of a TF-Hub BigBiGAN module, or directions of GANSpace (.npz), "
            "InterFaceGAN (.npy) or WarpedGANSpace (support_sets.pt)."
        ),
    ],
    out: Annotated[Path, typer.Option(help="A .safetensors file; the samples of a generator go beside it.")],
    name: Annotated[str | None, typer.Option(help="What a generator shall be called; its own name if omitted.")] = None,
) -> None:
    """Turn published weights into files of this toolkit."""
    from generators.catalogue import file_in
    from toolkit.files.writing import writable_file

    require(source.exists(), f"nothing at {source}; name a TF-Hub module's folder or archive, or a published file")
    source = file_in(source) or source
    writable_file(out, (".safetensors",))
    require(not out.exists() or not out.samefile(source), f"--out {out} is the source itself; choose another name")
    converter = _converter(source)
    require(name is None or converter in (_module, _generator), "--name names generators; omit it")
    converter(source, out, name)


def _converter(source: Path) -> Callable[[Path, Path, str | None], None]:
    """Return the function that converts what `source` holds."""
    import torch

    from discovery.originals.components import holds_arrays
    from discovery.originals.warped import is_warped
    from generators.nvlabs.reading import is_plain_pickle
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
    if is_plain_pickle(source):
        return _generator
    require(
        source.suffix.lower() in _ENDINGS,
        f"cannot tell what {source} is; name a TF-Hub module's folder or .tar.gz, or a published .pkl or .pth file",
    )
    held = load_pickled(source, "published weights")
    if isinstance(held, torch.Tensor):
        return _direction
    return _segmenter if holds_network(held) else _generator


def _module(source: Path, out: Path, name: str | None) -> None:
    from generators.tensorflow.hub import convert_tf_variables, module_variables

    with module_variables(source) as variables:
        console.print(f"reading {len(variables)} variables of {source}")
        state = convert_tf_variables(variables)
        read = [source] if source.is_file() and source.suffix != ".index" else variables.files
        _write_bigbigan(state, source, out, {"name": name or "bigbigan", **_provenance("TF-Hub module", read)})


def _generator(source: Path, out: Path, name: str | None) -> None:
    from generators.nvlabs.reading import is_plain_pickle
    from generators.protocol import Noted
    from generators.published.biggan.generator import is_bigbigan
    from generators.published.biggan_deep.config import config_path
    from generators.weights_file import read_weights, save_weights

    weights = read_weights(source, console.print)
    beside = config_path(source)
    card = _provenance(
        "NVlabs pickle" if is_plain_pickle(source) else "published weights", [source, *([beside] if beside else [])]
    )
    if is_bigbigan(weights.tensors):
        _write_bigbigan(weights.tensors, source, out, {"name": name or "bigbigan", **card})
        return
    what, generator = save_weights(out, weights, card if name is None else {"name": name, **card})
    for line in generator.notes if isinstance(generator, Noted) else ():
        console.print(f"note: {line}")
    count = sum(tensor.numel() for tensor in weights.tensors.values())
    _write_samples(what, generator, f"{count:,} numbers", out)


def _write_bigbigan(state: "Tensors", source: Path, out: Path, card: dict[str, object]) -> None:
    from generators.published.biggan.generator import load_bigbigan, save_bigbigan

    save_bigbigan(out, state, card, source)
    statistics = ("u0", "sv0", "stored_mean", "stored_var")
    parameters = sum(tensor.numel() for name, tensor in state.items() if not name.endswith(statistics))
    _write_samples("a BigBiGAN generator", load_bigbigan(out), f"{parameters:,} parameters", out)


def _write_samples(what: str, generator: "Generator", size: str, out: Path) -> None:
    """Draw samples beside the artefact `out`, and say what it holds and what comes next."""
    import numpy as np

    from generators.protocol import rendered
    from toolkit.pictures.photos import write_picture
    from toolkit.pictures.pixels import grid, to_bytes
    from toolkit.streams import Stream

    console.print(
        f"found {what}: {generator.image_size}x{generator.image_size} pixels, "
        f"latents of {generator.latent_dim} numbers, {size}"
    )
    latents = generator.sample(_SAMPLES, Stream(0, "sample"))
    pictures = np.concatenate([to_bytes(images) for _, images in rendered(generator, latents)])
    write_picture(out.with_suffix(".png"), grid(pictures))
    print_outcome(out, out.with_suffix(".png"), following=discover_command("--generator", out))


def _segmenter(source: Path, out: Path, _: str | None) -> None:
    from segmentation.predict.segmenter import load_published

    segmenter = load_published(source)
    replace(segmenter, card={**segmenter.card, **_provenance("published weights", [source])}).save(out)
    parameters = sum(parameter.numel() for parameter in segmenter.network.parameters())
    console.print(f"found a U-Net of width {segmenter.network.width}, {parameters:,} parameters")
    print_outcome(out, following=command("predict", "MY_PHOTOS", "--segmenter", out, "--out", "masks"))


def _direction(source: Path, out: Path, _: str | None) -> None:
    from toolkit.untrusted.bg_direction import load_published

    directions = load_published(source)
    replace(directions, card={**directions.card, **_provenance("published weights", [source])}).save(out)
    console.print(
        f"found a direction of {directions.vectors.shape[1]} numbers, shift length {directions.chosen().alpha:g}"
    )
    print_outcome(out, following=segment_command(out))


def _directions(source: Path, out: Path, _: str | None) -> None:
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
