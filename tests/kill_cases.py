"""Commands that are killed, at sizes that take about a second each, and what they read."""

import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

FP32 = ("--precision", "fp32")
_SCENE = ("--generator", "scene@image_size=32")
_PICK = ("--samples", 4, "--num-alphas", 1, "--finalists", 2, "--compared-samples", 8, *FP32)
_PAIRS = ("--samples", 30, "--batch", 4, "--checkpoint-every", 2, *FP32)
_SMALL = ("--batch", 8, "--width", 8, "--critic-width", 8, "--image-size", 32, "--latent-dim", 8, "--grid-every", 2,
          "--quality-every", 100, "--checkpoint-every", 2, "--log-every", 1, *FP32)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One command; `place` lays down in the folder it is run in what it changes there, given what all cases read."""

    arguments: tuple[object, ...]
    place: Callable[[Path, Path], None] = lambda shared, folder: None


def _copied(name: str) -> Callable[[Path, Path], None]:
    def place(shared: Path, folder: Path) -> None:
        (folder / "set").mkdir()
        (folder / "set" / "directions.safetensors").write_bytes((shared / name).read_bytes())

    return place


def _weights(shared: Path, folder: Path) -> None:
    (folder / "mine.toml").write_bytes((shared / "mine.toml").read_bytes())


def cases(shared: Path) -> dict[str, Case]:
    """Return the cases by name; relative paths lie in the folder the command is run in."""
    photos, chosen, free = shared / "photos", shared / "chosen.safetensors", shared / "free.safetensors"
    return {
        "discover": Case(("discover", *_SCENE, "--steps", 6, "--batch", 4, "--directions", 4, "--reconstructor",
            "lenet", "--validation-batches", 1, "--log-every", 1, "--checkpoint-every", 2, "--chart-every", 4, *FP32,
            "--out", "out")),
        "ganspace": Case(("discover", "--method", "ganspace", *_SCENE, "--directions", 4, "--samples", 64, "--batch",
            16, "--checkpoint-every", 1, *FP32, "--out", "out")),
        "sefa": Case(("discover", "--method", "sefa", "--directions", 4,
            *FP32, "--out", "out")),
        "contrast": Case(("discover", "--method", "contrast", *_SCENE, "--steps", 4, "--batch", 4, "--log-every", 1,
            "--checkpoint-every", 2, *FP32, "--out", "out")),
        "pick": Case(("pick", "set", *_PICK), _copied("free.safetensors")),
        "pick-out": Case(("pick", free, "--out", "out", *_PICK)),
        "choose-out": Case(("pick", free, "--out", "out", "--direction", 1, "--alpha", 2)),
        "compare": Case(("compare", free, shared / "other.safetensors", "--steps", 3, "--batch", 4,
            "--validation-batches", 1, "--log-every", 1, "--checkpoint-every", 1, *FP32, "--out", "out")),
        "compare-single": Case(("compare", chosen, f"again={chosen}", *FP32, "--out", "out")),
        "label": Case(("label", "set", 1, "bright sky"), _copied("free.safetensors")),
        "render-gif": Case(("render-gif", chosen, "--frames", 3, "--samples", 2, "--out", "a.gif")),
        "sample": Case(("sample", *_SCENE, "--samples", 4, "--out", "a.npy")),
        "segment": Case(("segment", chosen, "--steps", 6, "--batch", 8, "--width", 4, "--validation-samples", 4,
            "--validate-every", 3, "--checkpoint-every", 2, "--log-every", 1, "--augment", *FP32, "--out", "out")),
        "pairs": Case(("synthesize", chosen, *_PAIRS, "--out", "out")),
        "shards": Case(("synthesize", chosen, *_PAIRS, "--layout", "shards", "--shard-size", 7, "--out", "out")),
        "shared": Case(("synthesize", chosen, *_PAIRS, "--layout", "shared", "--shard-size", 7, "--out", "out")),
        "self-train": Case(("self-train", photos, "--segmenter", shared / "teacher.safetensors",
            "--rounds", 2, "--steps", 4,
            "--batch", 8, "--image-size", 32, "--width", 4, "--min-area",
            0.0, "--agreement", 0.0, "--rate", 0.01, "--max-area", 1, "--validate-every", 2,
            "--held-out-share", 0.1, "--checkpoint-every", 2, "--log-every", 1, *FP32, "--out", "out")),
        "eval": Case(("eval", "--segmenter", shared / "teacher.safetensors", "--photos", photos, "--masks",
            shared / "masks", "--out", "out")),
        "predict": Case(("predict", photos, "--segmenter", shared / "teacher.safetensors", *FP32, "--out", "out")),
        "video": Case(("video", shared / "clip.mp4", "--segmenter", shared / "teacher.safetensors", *FP32, "--write",
            "soft", "--segment-frames", 4, "--out", "a.mp4")),
        "train-generator": Case(("train-generator", photos, "--steps", 4, *_SMALL, "--out", "out")),
        "bigbigan": Case(("train-generator", photos, "--objective", "bigbigan", "--encoder-width", 8, "--joint-width",
            8, "--steps", 3, *_SMALL, "--out", "out")),
        "train-encoder": Case(("train-encoder", *_SCENE, "--photos", photos, "--steps", 4, "--batch", 8,
            "--photo-batch", 4, "--width", 4, "--checkpoint-every", 2, "--validate-every", 2, "--log-every", 1, *FP32,
            "--out", "out")),
        "embed": Case(("embed", photos, *_SCENE, "--encoder", shared / "encoder.safetensors", "--batch", 4, "--out",
            "z.npy")),
        "project": Case(("embed", photos, "--generator", shared / "styled.pt", "--steps", 2, "--optimise-noise",
            "--batch", 4, *FP32, "--out", "w.npy")),
        "export": Case(("export", free, "--layout", "deformator", "--out", "out")),
        "export-one": Case(("export", chosen, "--layout", "bg-direction", "--out", "bg.pth")),
        "convert": Case(("convert", shared / "module", "--out", "g.safetensors")),
        "convert-archive": Case(("convert", shared / "module.tar.gz", "--out", "g.safetensors")),
        "pull": Case(("weights", "pull", "z-cub"), _weights),
        "pull-archive": Case(("weights", "pull", "anime"), _weights),
        "learn": Case(("learn", photos, "--smoke", "--image-size", 32, "--methods", "sefa,ganspace", "--go-on", *FP32,
            "--out", "out")),
        "demo": Case(("demo", "--smoke", "--generator", "scene", *FP32, "--out", "out")),
    }  # fmt: skip


def prepare(shared: Path) -> None:
    """Write what the cases read, but for `mine.toml`, which names a server."""
    import numpy as np
    import torch
    from bundle_writing import write_bundle
    from clips import disc, write_clip
    from PIL import Image
    from test_convert import NAMES
    from test_self_training import ENGINE, SETTINGS, SIDE, discs, masked
    from test_stylegan2 import filled as styles
    from test_tfhub import FilledVariables

    from generators.encoder.network import Encoder, EncoderNetwork, EncoderShape
    from generators.published.stylegan2.shape import StyleGAN2Shape
    from generators.scene import FACTORS, SceneGenerator
    from segmentation.predict.segmenter import Segmenter
    from segmentation.self_training.training import SelfTrainingState, train
    from toolkit.directions import Choice, DirectionSet

    photos, truth = discs(20, seed=1)
    for kind in ("photos", "masks"):
        (shared / kind).mkdir()
    for index, (photo, mask) in enumerate(zip(photos, truth, strict=True)):
        Image.fromarray(photo).save(shared / "photos" / f"{index:02}.png")
        Image.fromarray(mask.astype(np.uint8) * 255).save(shared / "masks" / f"{index:02}.png")
    state = SelfTrainingState.start(SETTINGS, ENGINE)
    list(train(state, masked(), SETTINGS, ENGINE))
    Segmenter(state.network, SIDE).save(shared / "teacher.safetensors")
    scene, card = SceneGenerator(), {"source": {"generator": "scene@image_size=32"}}
    factors = torch.stack([*(scene.direction(name) for name in FACTORS[:3]), scene.contrast_direction()])
    DirectionSet(factors, "scene", "known", card=card).save(shared / "free.safetensors")
    DirectionSet(torch.eye(16)[:4], "scene", "known", card=card).save(shared / "other.safetensors")
    known = DirectionSet(scene.contrast_direction()[None], "scene", "known", choice=Choice(0, 1, 3.0), card=card)
    known.save(shared / "chosen.safetensors")
    network = EncoderNetwork(EncoderShape(16, 16, 4))
    torch.nn.init.normal_(network.head.weight, 0, 0.05)
    Encoder(network, {"generator": "scene"}).save(shared / "encoder.safetensors")
    shape = StyleGAN2Shape((8, 6), style_dim=8, mapping_layers=2, latent_dim=8)
    torch.save({"g_ema": styles(shape)}, shared / "styled.pt")
    filled = FilledVariables(NAMES)
    write_bundle(shared / "module" / "variables" / "variables", {f"module/{name}": filled[name] for name in filled})
    (shared / "module" / "saved_model.pb").write_bytes(b"\x08\x01")
    with tarfile.open(shared / "module.tar.gz", "w:gz", compresslevel=1) as tar:
        tar.add(shared / "module", ".")
    write_clip(shared / "clip.mp4", [disc(number) for number in range(20)], sound="aac")
    (shared / "z.bin").write_bytes(np.random.default_rng(0).bytes(300_000))
    with tarfile.open(shared / "anime.tar", "w") as tar:
        tar.add(shared / "photos", "photos")
