"""Every reader of files from outside: which file it reads, how that is damaged, and which functions it stands for."""

import contextlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch

from cli.browse.photos import segmented
from cli.browse.set import BrowsedSet
from discovery.annotations import read_annotations
from discovery.opening import open_directions
from discovery.originals.reading import load_directions
from discovery.originals.writing import networks_of
from generators.catalogue import open_generator
from generators.compact.warm_start import _read as read_start
from generators.encoder.network import load_encoder
from generators.latents_file import load_unfinished, require_made_for
from generators.nvlabs.reading import read_networks
from generators.own.wrapper import OwnGenerator
from generators.protocol import Latents, load_latents
from generators.published.biggan_deep.config import read_config
from generators.published.stylegan2.generator import unwrapped
from generators.scene import SceneGenerator
from generators.tensorflow.bundle import CheckpointBundle
from generators.tensorflow.hub import convert_tf_variables, module_variables
from segmentation.evaluate.settings import EvaluationSettings
from segmentation.mask_reading.annotations import AnnotatedMasks
from segmentation.mask_reading.reading import MaskReading
from segmentation.objects.coco_reading import CocoFile
from segmentation.objects.coco_writing import recorded
from segmentation.predict.onnx_segmenter import OnnxSegmenter
from segmentation.predict.results import earlier_rows, require_own
from segmentation.predict.segmenter import Segmenter
from segmentation.video.progress import Progress
from toolkit.clips.reading import frames, open_clip
from toolkit.errors import UserError
from toolkit.files.artefacts import load_state_file
from toolkit.files.partial_file import PartialFile
from toolkit.files.published import published
from toolkit.files.runs import RunFolder
from toolkit.files.unpacking import unpack
from toolkit.files.writing import existing_file, read_json
from toolkit.pictures.photos import read_gray, read_photo
from toolkit.settings import read_toml
from toolkit.untrusted.bg_direction import load_published

from .mutations import JSON, LABELS, LINES, TOML, Damage, any_of, damaged_bytes
from .pickles import damaged_program
from .samples import LATENT_DIM, MAKING, NO_DOWNLOAD, Example, direction_set
from .tables import BUNDLE
from .tensors import NPY, PACKED_ARRAYS, PACKED_TAR, PICKLE, SAFETENSORS, TAR, damaged_png

PICTURE = any_of(damaged_bytes)
PROGRAM = any_of(damaged_program, damaged_program, damaged_bytes)
PNG = any_of(damaged_png, damaged_png, damaged_bytes)


@dataclass(frozen=True)
class Reader:
    """`read` takes a folder of whole files (see samples) of which `file` was damaged by `damage`."""

    file: str
    damage: Damage
    read: Callable[[Path], object]
    functions: tuple[str, ...] = ()  # that call a parser themselves, as tests/test_fuzz.py lists them


def _resumed(folder: Path) -> object:
    run = RunFolder.open(folder / "run", Example(steps=11), {"generator": "scene"}, "cpu", extendable=("steps",))
    try:
        return run.result, run.load_checkpoint(), run.metrics()
    finally:
        run.close()


def _unfinished_run(folder: Path) -> object:
    (folder / "run" / "result.json").unlink(missing_ok=True)
    return _resumed(folder)


def _configured(folder: Path) -> object:
    return Example.from_dict(read_toml(folder / "settings.toml"), str(folder))


def _browsed(folder: Path) -> object:
    shown = BrowsedSet.open(folder / "set")
    directions = shown.directions
    return shown.described(), directions.chosen_shift(), directions.shift(0, 1.0), directions.generator_digest


def _walked(folder: Path) -> object:
    directions = open_directions(folder / "curved.safetensors")
    return Latents(torch.zeros(1, directions.vectors.shape[1])).shifted(directions.shift(1, 2.0))


def _own_card(folder: Path) -> object:
    card = read_json(folder / "program.json")
    if not isinstance(card, dict) or not set(card) <= {
        "latent_dim",
        "image_size",
        "latents",
        "value_range",
        "num_classes",
        "name",
    }:
        raise UserError("the card lacks sizes")
    with contextlib.suppress(TypeError):  # sizes that are missing are refused before this is called
        return OwnGenerator(torch.nn.Identity(), **card)


def _embedded(folder: Path) -> object:
    return load_latents(folder / "z.npy", LATENT_DIM), require_made_for(folder / "z.npy", SceneGenerator())


def _unfinished_latents(folder: Path) -> object:
    photos, made = load_unfinished(folder / "unfinished.safetensors")
    photos.extend(["e.jpg"], torch.zeros(1, LATENT_DIM), {name: torch.zeros(1) for name in photos.errors})
    return photos.consumed, photos.figures(), made.get("generator")


def _downloaded(folder: Path) -> object:
    if (folder / "note.json").is_file():
        shutil.copy(folder / "note.json", folder / "x.pth.part.json")
    (folder / "x.pth.part").write_bytes(b"begun")
    with contextlib.closing(PartialFile(folder / "x.pth")) as part:
        address = "https://example.org/x"
        return part.total, (part.total or 0) - part.size, part.request_headers(address)


def _listed(folder: Path) -> object:
    with _environment("TOOLKIT_WEIGHTS", folder / "weights.toml"):
        return [(entry.path, entry.size, entry.how_to_get()) for entry in published().values()]


@contextlib.contextmanager
def _environment(name: str, value: Path):
    import os

    before = os.environ.get(name)
    os.environ[name] = str(value)
    try:
        yield
    finally:
        os.environ.pop(name) if before is None else os.environ.update({name: before})


def _recorded(folder: Path) -> object:
    from dataclasses import replace

    from toolkit.files.published import cached

    entry = replace(published()["bigbigan"], file="record", sha256=None)
    with _environment("TOOLKIT_CACHE", folder):
        entry.path.write_bytes(NO_DOWNLOAD)
        return cached(entry)


def _variables(folder: Path) -> object:
    bundle = CheckpointBundle(folder / "variables" / "variables.index")
    values = [bundle[name] for name in bundle]
    return values, convert_tf_variables(bundle)


def _packed_variables(folder: Path) -> object:
    with module_variables(folder / "module.tar.gz") as bundle:
        return [bundle[name] for name in bundle]


def _exported(folder: Path) -> object:
    directions = direction_set()
    from dataclasses import replace

    return networks_of(replace(directions, method="discover (linear)"), folder / "set" / "checkpoint.pt")


def _uploaded(ending: str) -> Callable[[Path], object]:
    def read(folder: Path) -> object:
        content = existing_file(folder / f"photo.{ending}", "upload").read_bytes()
        return segmented(Segmenter.load(folder / "segmenter.safetensors"), content, f"photo.{ending}")

    return read


def _predicted(folder: Path) -> object:
    require_own(folder / "predicted")
    return earlier_rows(folder / "predicted", MAKING)


def _annotated(folder: Path) -> object:
    file = CocoFile.read(folder / "annotations.json")
    masks = AnnotatedMasks.of(file, list(file.images), EvaluationSettings())
    return [
        (masks.truth(path, path, image.shape), masks.true_objects(path, path, image.shape))
        for path, image in file.images.items()
    ]


def _photo(name: str) -> Callable[[Path], object]:
    return lambda folder: (read_photo(folder / name), read_gray(folder / name))


def _truth(name: str) -> Callable[[Path], object]:
    def read(folder: Path) -> object:
        path = folder / name
        return MaskReading.of([path]).truth(path, folder / "photo.png", (24, 32))

    return read


def _opened(name: str) -> Callable[[Path], object]:
    return lambda folder: open_generator(str(folder / name))


def _clip(name: str) -> Callable[[Path], object]:
    return lambda folder: [frame.time for frame in frames(open_clip(folder / name))]


READERS: dict[str, Reader] = {
    "json": Reader(
        "record.json", JSON, lambda folder: read_json(folder / "record.json"), ("toolkit.files.writing.read_json",)
    ),
    "run.json": Reader("run/run.json", JSON, _resumed),
    "config.toml": Reader("run/config.toml", TOML, _resumed, ("toolkit.files.runs._previous",)),
    "metrics.jsonl": Reader(
        "run/metrics.jsonl", LINES, _resumed, ("toolkit.files.runs.logged_figures", "toolkit.files.runs._logged")
    ),
    "result.json": Reader("run/result.json", JSON, _resumed),
    "progress.json": Reader(
        "parts/progress.json", JSON, lambda folder: Progress.of(folder / "parts"), ("segmentation.video.progress.of",)
    ),
    "mean over a clip": Reader("parts/00002.mean", PICTURE, lambda folder: Progress.of(folder / "parts")),
    "clip": Reader("clip.mp4", PICTURE, _clip("clip.mp4"), ("toolkit.clips.reading.opened",)),
    "clip in Matroska": Reader("clip.mkv", PICTURE, _clip("clip.mkv")),
    "animated GIF": Reader("clip.gif", PICTURE, _clip("clip.gif")),
    "checkpoint": Reader("run/checkpoint.pt", PICKLE, _unfinished_run),
    "checkpoint to export": Reader("set/checkpoint.pt", PICKLE, _exported),
    "checkpoint to start from": Reader("checkpoint.pt", PICKLE, lambda folder: read_start(folder / "checkpoint.pt")),
    "settings": Reader("settings.toml", TOML, _configured, ("toolkit.settings.read_toml",)),
    "table of weights": Reader("weights.toml", TOML, _listed),
    "record of a download": Reader("record.json", JSON, _recorded),
    "note of a download": Reader("note.json", JSON, _downloaded, ("toolkit.files.partial_file._origin_in",)),
    "latents": Reader("z.npy", NPY, _embedded, ("generators.protocol._mapped",)),
    "record of latents": Reader("z.json", JSON, _embedded),
    "unfinished latents": Reader("unfinished.safetensors", SAFETENSORS, _unfinished_latents),
    "direction set": Reader(
        "set/directions.safetensors",
        SAFETENSORS,
        _browsed,
        ("toolkit.files.artefacts._read_safetensors", "toolkit.files.artefacts.artefact_kind"),
    ),
    "labels of a set": Reader("set/human_annotation.txt", LABELS, _browsed),
    "labels": Reader(
        "set/human_annotation.txt",
        LABELS,
        lambda folder: read_annotations(folder / "set" / "human_annotation.txt"),
        ("discovery.annotations.read_annotations",),
    ),
    "published direction": Reader(
        "set/bg_direction.pth", PICKLE, lambda folder: load_published(folder / "set" / "bg_direction.pth")
    ),
    "published direction, opened": Reader(
        "set/bg_direction.pth", PICKLE, lambda folder: open_directions(folder / "set" / "bg_direction.pth")
    ),
    "components": Reader(
        "components.npz",
        PACKED_ARRAYS,
        lambda folder: open_directions(folder / "components.npz"),
        ("discovery.originals.arrays.read_arrays",),
    ),
    "boundaries": Reader("boundary.npy", NPY, lambda folder: open_directions(folder / "boundary.npy")),
    "support sets": Reader(
        "warped/models/support_sets.pt", PICKLE, lambda folder: open_directions(folder / "warped").shift(1, 2.0)
    ),
    "curved direction set": Reader("curved.safetensors", SAFETENSORS, _walked),
    "arguments of support sets": Reader("warped/args.json", JSON, lambda folder: open_directions(folder / "warped")),
    "deformator": Reader(
        "deformator/models/deformator_9.pt", PICKLE, lambda folder: load_directions(folder / "deformator")
    ),
    "arguments of a deformator": Reader(
        "deformator/args.json", JSON, lambda folder: load_directions(folder / "deformator")
    ),
    "labels of a deformator": Reader(
        "deformator/human_annotation.txt", LABELS, lambda folder: load_directions(folder / "deformator")
    ),
    "segmenter": Reader(
        "segmenter.safetensors", SAFETENSORS, lambda folder: Segmenter.load(folder / "segmenter.safetensors")
    ),
    "table of predictions": Reader(
        "predicted/result.csv",
        any_of(LINES, damaged_bytes),
        _predicted,
        ("segmentation.predict.results._rows",),
    ),
    "summary of predictions": Reader("predicted/result.json", JSON, _predicted),
    "exported segmenter": Reader(
        "segmenter.onnx",
        any_of(damaged_bytes),
        lambda folder: OnnxSegmenter.load(folder / "segmenter.onnx"),
        ("toolkit.untrusted.onnx_models.read_model", "segmentation.predict.onnx_segmenter._described"),
    ),
    "annotations": Reader("annotations.json", JSON, _annotated),
    "labelled picture": Reader(
        "labelled.png",
        PNG,
        lambda folder: (recorded(folder / "labelled.png"), _truth("labelled.png")(folder)),
        ("segmentation.objects.coco_writing.recorded",),
    ),
    "published segmenter": Reader("u_net.pth", PICKLE, lambda folder: Segmenter.load(folder / "u_net.pth")),
    "encoder": Reader("encoder.safetensors", SAFETENSORS, lambda folder: load_encoder(folder / "encoder.safetensors")),
    "compact generator": Reader("compact.safetensors", SAFETENSORS, _opened("compact.safetensors")),
    "sngan": Reader(
        "sngan/generator.pt",
        PICKLE,
        _opened("sngan"),
        (
            "toolkit.files.artefacts.load_pickled",
            "toolkit.untrusted.plain_values.require_honest_sizes",
            "toolkit.untrusted.foreign.program_kind",
        ),
    ),
    "arguments of an sngan": Reader("sngan/args.json", JSON, _opened("sngan")),
    "biggan": Reader("biggan.pth", PICKLE, _opened("biggan.pth")),
    "proggan": Reader("proggan.pth", PICKLE, _opened("proggan.pth")),
    "stylegan2": Reader("stylegan2.pt", PICKLE, _opened("stylegan2.pt")),
    "snapshot": Reader(
        "snapshot.pkl",
        PROGRAM,
        lambda folder: read_networks(folder / "snapshot.pkl"),
        ("generators.nvlabs.reading.read_networks", "toolkit.untrusted.pickled_tensors._storage_in"),
    ),
    "snapshot of TensorFlow": Reader("tensorflow.pkl", PROGRAM, _opened("tensorflow.pkl")),
    "converted generator": Reader("converted.safetensors", SAFETENSORS, _opened("converted.safetensors")),
    "config of weights": Reader(
        "config.json",
        JSON,
        lambda folder: read_config(folder / "pytorch_model.bin"),
    ),
    "wrapped weights": Reader(
        "stylegan2.pt", PICKLE, lambda folder: load_state_file(folder / "stylegan2.pt", "weights", unwrapped)
    ),
    "card of a program": Reader("program.json", JSON, _own_card),
    "index of a checkpoint bundle": Reader(
        "variables/variables.index", BUNDLE, _variables, ("generators.tensorflow.bundle.__init__",)
    ),
    "shard of a checkpoint bundle": Reader("variables/variables.data-00000-of-00002", damaged_bytes, _variables),
    "packed module": Reader("module.tar.gz", PACKED_TAR, _packed_variables, ("toolkit.files.unpacking._members",)),
    "archive": Reader(
        "archive.tar",
        TAR,
        lambda folder: unpack(folder / "archive.tar", folder / "unpacked"),
        ("toolkit.files.unpacking._members",),
    ),
    **{
        f"photo.{ending}": Reader(
            f"photo.{ending}",
            PNG if ending == "png" else PICTURE,
            _photo(f"photo.{ending}"),
            ("toolkit.pictures.picture_files._open",),
        )
        for ending in ("png", "jpg", "gif", "webp", "tif", "bmp")
    },
    **{
        f"upload.{ending}": Reader(
            f"photo.{ending}",
            PNG if ending == "png" else PICTURE,
            _uploaded(ending),
            ("toolkit.pictures.picture_files._open",),
        )
        for ending in ("png", "jpg")
    },
    **{
        f"mask_{mode}.png": Reader(f"mask_{mode}.png", PNG, _truth(f"mask_{mode}.png"))
        for mode in ("L", "P", "RGBA", "I16", "1")
    },
}


def damaged(reader: Reader, rng: Random, folder: Path, whole: bytes) -> None:
    """Write a damaged copy of the reader's file, whose bytes are `whole`; now and then something that is no file."""
    path = folder / reader.file
    if rng.random() < 0.02:
        path.unlink(missing_ok=True)
        rng.choice([path.mkdir, lambda: None, lambda: _pipe(path)])()
        return
    path.write_bytes(reader.damage(rng, whole))


def _pipe(path: Path) -> None:
    import os

    if hasattr(os, "mkfifo"):
        os.mkfifo(path)
