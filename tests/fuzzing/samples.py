"""Small whole files of every kind, written once into a folder and damaged as copies."""

import dataclasses
import hashlib
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import stub_pickles
import torch
import torch.nn.functional as F
from bundle_writing import write_bundle
from clips import disc, write_clip
from conftest import GOLDEN
from golden_fill import tf_fill
from PIL import Image
from test_biggan import TINY as BIGGAN
from test_sngan import TINY_32 as SNGAN
from test_tensorflow_pickles import write as write_tensorflow_pickle

from discovery.methods.deformator.deformators import Deformator, make_deformator
from discovery.opening import open_directions
from generators.compact.network import CompactGenerator, CompactNetwork, CompactShape
from generators.encoder.network import Encoder, EncoderNetwork, EncoderShape
from generators.latents_file import EmbeddedPhotos, save_latents
from generators.published import proggan, sngan
from generators.published.biggan import network as biggan
from generators.published.stylegan2 import rosinality
from generators.published.stylegan2.layers import FILTER
from generators.published.stylegan2.shape import StyleGAN2Shape, entry_shapes
from generators.weights_file import read_weights, save_weights
from segmentation.export.exporting import export_segmenter
from segmentation.export.settings import Export
from segmentation.objects.coco_writing import labelled_picture
from segmentation.objects.finding import find_objects
from segmentation.objects.runs import compressed
from segmentation.predict.results import Making, PhotoResult, Results
from segmentation.predict.segmenter import Segmenter
from segmentation.unet.network import UNet
from segmentation.video.progress import Progress
from toolkit.directions import Choice, DirectionSet
from toolkit.files.artefacts import save_checkpoint
from toolkit.files.runs import RunFolder
from toolkit.files.writing import write_json
from toolkit.settings import Settings, setting
from toolkit.untrusted.bg_direction import save_published

LATENT_DIM = 16  # of the scene
NO_DOWNLOAD = b"abc"
MAKING = Making("flowers64", "0123456789abcdef", 0.5, False)
# The widths of the real TF-Hub module and the same ones at ch 1.
_NARROW = {24576: 256, 1536: 16, 768: 8, 384: 4, 192: 2, 96: 1, 24: 1}


@dataclasses.dataclass(frozen=True)
class Example(Settings):
    """Settings with a field of every type."""

    kind = "example"
    steps: int = setting(10, "steps", minimum=1)
    rate: float = setting(0.5, "rate", above=0)
    rule: str = setting("a", "a rule", choices=("a", "b"))
    bound: float | None = setting(None, "a bound")
    flag: bool = setting(False, "a flag")


def filled(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    return {name: torch.rand(shape) / 10 for name, shape in shapes.items()}


def _deformator() -> Deformator:
    return make_deformator("linear", 3, LATENT_DIM, random_init=True)


def direction_set() -> DirectionSet:
    vectors = F.normalize(_deformator().directions(6.0))
    scores = {"score": [0.5, 0.25, 0.0], "sign": [1.0, -1.0, 1.0], "alpha": [2.0, 3.0, 4.0]}
    card = {"source": {"generator": "scene"}, "settings": {"deformator": "linear", "shift_scale": 6.0}, "step": 8}
    return DirectionSet(vectors, "scene", "known", ("a", "b", "c"), scores, Choice(1, -1, 2.5, 2, "mean_thr"), card)


def write_run(folder: Path) -> None:
    run = RunFolder.open(folder, Example(), {"generator": "scene"}, "cpu")
    for step in (1, 2, 3):
        run.log(step, loss=1 / step, accuracy=0.5)
    run.save_checkpoint({"step": 3, "network": {"w": torch.ones(2, 3)}, "streams": {"a": 4}})
    run.finish({"steps": 3, "loss": 0.5})


def write_sets(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    directions = direction_set()
    directions.save(folder / "directions.safetensors")
    (folder / "human_annotation.txt").write_text("0: dark\n1: light sky\n2: light sky\n")
    save_published(folder / "bg_direction.pth", directions.chosen_shift())
    state = {"deformator": _deformator().state_dict(), "reconstructor": {"w": torch.ones(2)}, "step": 8}
    save_checkpoint(folder / "checkpoint.pt", state)


def write_directions_of_others(folder: Path) -> None:
    components, columns = torch.rand(3, 1, 16).numpy(), {"lat_stdev": np.ones(3), "var_ratio": np.ones(3)}
    np.savez_compressed(folder / "components.npz", lat_comp=components, lat_mean=components[0], **columns)
    np.save(folder / "boundary.npy", torch.rand(4, 16).numpy())
    (folder / "warped" / "models").mkdir(parents=True)
    write_json(folder / "warped" / "args.json", {"gan": "stylegan2_x", "stylegan_space": "W", "num_support_sets": 2})
    sets = {"SUPPORT_SETS": torch.randn(2, 4 * 16), "ALPHAS": torch.ones(2, 4), "LOGGAMMA": torch.zeros(2, 1)}
    torch.save(sets, folder / "warped" / "models" / "support_sets.pt")
    open_directions(folder / "warped").save(folder / "curved.safetensors")


def write_deformator(folder: Path) -> None:
    (folder / "models").mkdir(parents=True)
    state = {name: tensor.clone() for name, tensor in make_deformator("linear", 3, 120).state_dict().items()}
    torch.save(state, folder / "models" / "deformator_9.pt")
    arguments = {"gan_type": "BigGAN", "gan_weights": None, "deformator": "linear", "directions_count": 3}
    own = {"generator": "x", "method": "m", "source": {"generator": "x"}, "latent_dim": 120}
    write_json(folder / "args.json", {**arguments, "shift_scale": 6.0, "target_class": [1, 2], "toolkit": own})
    (folder / "human_annotation.txt").write_text("0: dark\n1: light\n")


def write_networks(folder: Path) -> None:
    Segmenter(UNet(width=4), 32).save(folder / "segmenter.safetensors")
    export_segmenter(Segmenter(UNet(width=4), 32), folder / "segmenter.onnx", Export())
    torch.save(UNet(width=4).state_dict(), folder / "u_net.pth")
    CompactGenerator(CompactNetwork(CompactShape(8, LATENT_DIM, 4)), {"name": "tiny"}).save(
        folder / "compact.safetensors"
    )
    shape = EncoderShape(8, LATENT_DIM, 4)
    Encoder(EncoderNetwork(shape), {"generator": "tiny"}).save(folder / "encoder.safetensors")
    (folder / "sngan").mkdir()
    torch.save(filled(sngan.published_shapes(SNGAN)), folder / "sngan" / "generator.pt")
    write_json(folder / "sngan" / "args.json", {"model": "sn_resnet32", "latent_dim": 6, "image_channels": 1})
    save_weights(folder / "converted.safetensors", read_weights(folder / "sngan" / "generator.pt"), {})
    stub_pickles.write("stylegan2ada", folder / "snapshot.pkl", resolution=8, only_ema=True)
    write_tensorflow_pickle(folder / "tensorflow.pkl", filled(entry_shapes(StyleGAN2Shape((4, 4), 5, 2, 5))))
    write_json(folder / "config.json", {"z_dim": 128, "layers": [[False, 16, 16], [True, 16, 8]], "eps": 1e-4})
    torch.save(filled(biggan.published_shapes(BIGGAN)), folder / "biggan.pth")
    torch.save(filled(proggan.published_shapes(proggan.ProgGANShape((4, 4, 4, 4), 5))), folder / "proggan.pth")
    styled = filled(rosinality.NAMING.table(StyleGAN2Shape((4, 4, 4), 5, 2, 5)))
    torch.save({"g_ema": {**styled, **_filters(styled)}, "latent_avg": torch.zeros(5)}, folder / "stylegan2.pt")
    save_checkpoint(folder / "checkpoint.pt", {"step": 3, "network": UNet(width=4).state_dict(), "critic": {}})


def _filters(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    names = [name for name, tensor in state.items() if tuple(tensor.shape) == tuple(FILTER.shape)]
    return dict.fromkeys(names, FILTER)


def write_latents(folder: Path) -> None:
    photos = EmbeddedPhotos()
    photos.extend(["a.jpg", "b.jpg", "c.jpg", "d.jpg"], torch.randn(4, LATENT_DIM), {"error": torch.rand(4)})
    made = {"generator": "scene", "latent_dim": LATENT_DIM}
    save_latents(folder / "z.npy", photos, made)
    photos.save(folder / "unfinished.safetensors", made)


def write_module(folder: Path) -> None:
    with np.load(GOLDEN / "tf_conversion_seed0.npz", allow_pickle=False) as arrays:
        sizes = json.loads(str(arrays["tf_spec_json"]))
    values = {name: tf_fill(0, name, [_NARROW.get(n, n) for n in size]) for name, size in sizes.items()}
    write_bundle(folder / "variables" / "variables", values, shards=2)
    with tarfile.open(folder / "module.tar.gz", "w:gz") as archive:
        archive.add(folder / "variables", "variables")
    with tarfile.open(folder / "archive.tar", "w", format=tarfile.USTAR_FORMAT) as archive:
        archive.add(folder / "variables", "variables")


def write_tables(folder: Path) -> None:
    entry = '[tiny]\nrole = "generator"\nfile = "tiny.pth"\nterms = "free"\nnext = "look"\nmegabytes = 1.5\n'
    (folder / "weights.toml").write_text(entry + f'mirrors = ["https://example.org/x"]\nsha256 = "{"a" * 64}"\n')
    write_json(
        folder / "record.json",
        {"sha256": hashlib.sha256(NO_DOWNLOAD).hexdigest(), "bytes": 3, "recorded": "2026-01-01"},
    )
    write_json(folder / "note.json", {"address": "https://example.org/x", "version": '"1"', "total": 100})
    Example().save(folder / "settings.toml")
    card = {
        "latent_dim": 5,
        "image_size": 8,
        "latents": "normal",
        "value_range": [-1, 1],
        "name": "own",
        "num_classes": 3,
    }
    write_json(folder / "program.json", card)


def write_pictures(folder: Path) -> None:
    rng = np.random.default_rng(0)
    photo = Image.fromarray(rng.integers(0, 255, (24, 32, 3), np.uint8))
    for ending in ("png", "jpg", "gif", "webp", "tif", "bmp"):
        photo.save(folder / f"photo.{ending}")
    for ending, codec, pixels in (("mp4", "libx264", None), ("mkv", "ffv1", "yuv444p"), ("gif", "gif", "rgb8")):
        write_clip(
            folder / f"clip.{ending}", [disc(number, (32, 24)) for number in range(5)], codec=codec, pixels=pixels
        )
    (folder / "parts").mkdir()
    progress = Progress()
    for number in (1, 2):
        progress.add(folder / "parts", 4 * number, 1, rng.random((24, 32), np.float32))
    mask = Image.fromarray((rng.random((24, 32)) > 0.5).astype(np.uint8) * 255)
    for mode in ("L", "LA", "P", "RGBA", "I;16", "1"):
        (mask.convert("I").convert(mode) if mode == "I;16" else mask.convert(mode)).save(
            folder / f"mask_{mode.replace(';', '')}.png"
        )


def write_predictions(folder: Path) -> None:
    """Write what predicting three photos leaves beside their pictures."""
    folder.mkdir()
    soft = np.linspace(0, 1, 24 * 32, dtype=np.float32).reshape(24, 32)
    rows = {"a.jpg": PhotoResult.of(soft), "b/c.png": PhotoResult.of(soft.T), "=1": PhotoResult.of(soft * 0)}
    Results(MAKING, list(rows), rows).save(folder)


def write_things(folder: Path) -> None:
    """Write annotations of every form, and a labelled picture that carries its own."""
    outline, runs = [4, 4, 20, 4, 20, 18, 4.5, 18], {"size": [24, 32], "counts": [100, 20, 648]}
    letters = {"size": [24, 32], "counts": compressed(np.array([100, 20, 648]))}
    images = [{"id": number, "file_name": f"{number}.png", "width": 32, "height": 24} for number in (1, 2)]
    held = [
        {"id": number, "image_id": 1 + number % 2, "category_id": 1, "iscrowd": int(number == 3), "segmentation": form}
        for number, form in enumerate([[outline], runs, letters, [outline, outline]])
    ]
    write_json(folder / "annotations.json", {"images": images, "annotations": held})
    found = find_objects(np.tile(np.arange(32) % 8 > 4, (24, 1)).astype(np.float32))
    picture, text = labelled_picture(found)
    picture.save(folder / "labelled.png", pnginfo=text)


def write_all(folder: Path) -> None:
    """Write everything below `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    write_run(folder / "run")
    write_sets(folder / "set")
    write_deformator(folder / "deformator")
    write_networks(folder)
    write_latents(folder)
    write_module(folder)
    write_tables(folder)
    write_pictures(folder)
    write_predictions(folder / "predicted")
    write_things(folder)
    write_directions_of_others(folder)
