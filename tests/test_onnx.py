"""Segmenters for other runtimes: they predict what the segmenter does, without torch, and hostile files are refused."""

import hashlib
import json
import logging
import subprocess
import sys
import tomllib
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from cli_runs import ran, refused
from golden_fill import fill_state_dict
from PIL import Image
from rounding import room

import toolkit
from segmentation.predict.inference import prepared
from segmentation.predict.onnx_segmenter import OnnxSegmenter
from segmentation.predict.segmenter import Segmenter
from segmentation.unet.network import UNet
from toolkit.errors import UserError
from toolkit.files.shipped import shipped_file
from toolkit.pictures.photos import read_photo, write_picture
from toolkit.untrusted.onnx_models import DIGEST, read_model

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

ROOT = Path(__file__).resolve().parent.parent
PHOTO = shipped_file("photos") / "flower.jpg"
SIZES = [(64, 64), (64, 95), (65, 97), (71, 64), (16, 16), (17, 31), (100, 77), (33, 250), (127, 129), (48, 49)]
DEPTH = 19 + 4 + 1  # convolutions, upsamplings, and the sigmoid's argument


def probabilities(network: UNet, images: np.ndarray) -> np.ndarray:
    return prepared(network)(torch.from_numpy(images)).softmax(dim=1)[:, 1].numpy()


def inputs(size: tuple[int, int], count: int = 2) -> np.ndarray:
    return np.random.default_rng(size[0]).uniform(-1, 1, (count, 3, *size)).astype(np.float32)


def tiny(bilinear: bool = True) -> Segmenter:
    return Segmenter(fill_state_dict(UNet(width=4, bilinear=bilinear), 0), 32)


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("exported") / "flowers64.onnx"
    toolkit.export("flowers64", out)
    return out


@pytest.fixture
def small(tmp_path) -> Path:
    out = tmp_path / "small.onnx"
    toolkit.export(tiny(), out)
    return out


@pytest.fixture
def photos(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    for number, shape in enumerate([(40, 50), (33, 32), (90, 41)]):
        write_picture(tmp_path / "photos" / f"{number}.png", rng.integers(0, 256, (*shape, 3), np.uint8))
        mask = np.zeros(shape, np.uint8)
        mask[8:-8, 8:-8] = 255
        write_picture(tmp_path / "masks" / f"{number}.png", mask)
    return tmp_path / "photos"


@pytest.mark.parametrize("size", SIZES)
def test_probabilities_are_the_network_s_at_every_size(exported, size):
    network, images = Segmenter.load("flowers64").network, inputs(size)
    difference = np.abs(OnnxSegmenter.load(exported).computed(images) - probabilities(network, images)).max()
    assert difference < min(1e-4, room(DEPTH, 8))


@pytest.mark.parametrize("bilinear", [True, False])
def test_both_ways_of_upsampling_are_exported(tmp_path, bilinear):
    segmenter = tiny(bilinear)
    toolkit.export(segmenter, tmp_path / "s.onnx")
    opened = OnnxSegmenter.load(tmp_path / "s.onnx")
    for size in SIZES[2:6]:
        difference = np.abs(opened.computed(inputs(size)) - probabilities(segmenter.network, inputs(size))).max()
        assert difference < 1e-4


def test_masks_of_photos_are_the_segmenter_s(exported):
    photo = read_photo(PHOTO)
    photos = [photo, photo[:, ::-1], photo[:400, :31], photo[:37], photo[::3, ::2], photo[100:164, 200:264]]
    segmenter, opened = Segmenter.load("flowers64"), OnnxSegmenter.load(exported)
    expected = list(segmenter.predictions(enumerate(photos)))
    found = list(opened.predictions(enumerate(photos)))
    assert [key for key, _, _ in found] == list(range(6))
    differing = pixels = 0
    for (_, own, soft), (_, seen, probability) in zip(expected, found, strict=True):
        assert np.array_equal(own, seen)
        assert probability.shape == photo.shape[:2] or probability.shape == own.shape[:2]
        assert np.abs(probability - soft).max() < 1e-4
        differing += int(((probability >= 0.5) != (soft >= 0.5)).sum())
        pixels += soft.size
    assert differing < 1e-4 * pixels


def test_refinement_is_the_same(exported):
    photo = read_photo(PHOTO)[::2, ::2]
    expected = Segmenter.load("flowers64").probability(photo, refine=True)
    assert np.abs(OnnxSegmenter.load(exported).probability(photo, refine=True) - expected).max() < 1e-4


def test_the_same_segmenter_gives_the_same_file_with_a_card_that_says_how_to_use_it(small, tmp_path):
    segmenter = tiny()
    card = toolkit.export(segmenter, tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == small.read_bytes()
    held = {entry.key: entry.value for entry in onnx.load(small).metadata_props}
    assert (held["image_size"], held["width"], held["digest"]) == ("32", "4", segmenter.digest())
    assert json.loads(held["card"]) == card == OnnxSegmenter.load(small).card
    for word in ("[-1, 1]", "anti-aliasing", "image_size", "an eighth"):
        assert word in card["preprocessing"].replace("-1 to 1", "[-1, 1]")
    onnx.checker.check_model(onnx.load(small), full_check=True)


def test_half_is_half_the_size_and_nearly_the_same(exported, tmp_path):
    toolkit.export("flowers64", tmp_path / "h.onnx", half=True)
    assert (tmp_path / "h.onnx").stat().st_size < 0.52 * exported.stat().st_size
    photo = read_photo(PHOTO)
    whole, half = (OnnxSegmenter.load(file).probability(photo) for file in (exported, tmp_path / "h.onnx"))
    assert 0 < np.abs(whole - half).max() < 0.01


def test_eight_bits_are_measured_on_photos_and_masks(tmp_path, photos):
    run = ("export", "flowers64", "--layout", "onnx", "--int8", "--calibrate", photos, "--out", tmp_path / "i.onnx")
    text = ran(*run, "--photos", photos, "--masks", tmp_path / "masks")
    opened = OnnxSegmenter.load(tmp_path / "i.onnx")
    measured = opened.card["measured"]
    whole = toolkit.evaluate("flowers64", photos, tmp_path / "masks").measures["iou"]
    assert measured["iou"] == toolkit.evaluate(opened.probability, photos, tmp_path / "masks").measures["iou"]
    assert measured["iou_lost"] == whole - measured["iou"]
    assert f"IoU {measured['iou']:.4f} on 3 photos, {measured['iou_lost']:+.4f} lost" in text
    assert opened.card["precision"] == "int8"
    assert (tmp_path / "i.onnx").stat().st_size < 3.6e6
    kinds = {node.op_type for node in onnx.load(tmp_path / "i.onnx").graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} < kinds


def test_eight_bits_are_measured_on_the_photos_of_calibration(tmp_path, photos):
    before = list(logging.root.handlers)
    card = toolkit.export(tiny(), tmp_path / "i.onnx", int8=True, calibrate=photos)
    assert logging.root.handlers == before  # the quantizer gives everybody's logger one
    opened, segmenter = OnnxSegmenter.load(tmp_path / "i.onnx"), tiny()
    shares = [np.mean(segmenter.mask(path) != opened.mask(path)) for path in sorted(photos.iterdir())]
    assert card["measured"] == {"photos": 3, "pixels_differing": pytest.approx(float(np.mean(shares)))}
    toolkit.export(tiny(), tmp_path / "again.onnx", int8=True, calibrate=photos)
    assert (tmp_path / "again.onnx").read_bytes() == (tmp_path / "i.onnx").read_bytes()


@pytest.mark.parametrize("bilinear", [True, False])
@pytest.mark.parametrize(("layout", "ending"), [("torch-export", "pt2"), ("torchscript", "pt")])
def test_programs_of_torch_hold_the_same_network(tmp_path, layout, ending, bilinear):
    segmenter, out = tiny(bilinear), tmp_path / f"s.{ending}"
    card = toolkit.export(segmenter, out, layout)
    extra = {"card.json": ""}
    if layout == "torch-export":
        program = torch.export.load(out, extra_files=extra).module()
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch calls the format deprecated
            program = torch.jit.load(out, _extra_files=extra)
    assert json.loads(extra["card.json"]) == card
    for count, size in [(1, (64, 64)), (3, (65, 97)), (1, (33, 250)), (2, (32, 47))]:
        images = inputs(size, count)
        with torch.no_grad():
            found = program(torch.from_numpy(images)).numpy()
        assert np.abs(found - probabilities(segmenter.network, images)).max() < 1e-4


def test_a_program_of_torch_export_needs_more_pixels(tmp_path):
    small = Segmenter(UNet(width=4), 16)
    with pytest.raises(UserError, match=r"for 16 pixels, but .* takes 32 or more; choose another layout"):
        toolkit.export(small, tmp_path / "s.pt2", "torch-export")
    toolkit.export(small, tmp_path / "s.onnx")
    assert OnnxSegmenter.load(tmp_path / "s.onnx").mask(read_photo(PHOTO)).shape == (427, 640)


# What predicting with an exported segmenter may need; README.md names what to install for it.
LIGHT = {"onnxruntime", "numpy", "pillow", "typer", "rich", "filelock", "platformdirs"}
_WITHOUT = """
import sys

class Without:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names}:
            raise ImportError(name + " is not installed here")

sys.meta_path.insert(0, Without())
sys.argv = {arguments}
import cli.app
cli.app.main()
"""


def dependencies() -> set[str]:
    """The modules of every dependency, and of every extra, that predicting does without."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    names = {line.partition(">")[0] for lines in lists for line in lines} - LIGHT
    modules = {"opencv-python-headless": "cv2", "python-multipart": "python_multipart"}
    return {modules.get(name, name.replace("-", "_")) for name in names}


def test_predicting_needs_no_torch_and_gives_the_same_masks(exported, tmp_path):
    assert {"torch", "torchvision", "onnx", "scipy", "safetensors"} <= dependencies()
    write = ("--write", "mask,soft,cutout", "--out")
    arguments = ["toolkit", "predict", str(PHOTO), "--runtime", "onnx", "--segmenter", str(exported), *write]
    code = _WITHOUT.format(names=dependencies(), arguments=[*arguments, str(tmp_path / "light")])
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    ran("predict", PHOTO, "--precision", "fp32", "--device", "cpu", *write, tmp_path / "whole")
    for kind in ("mask", "soft"):
        light, whole = (np.asarray(Image.open(tmp_path / f / f"flower_{kind}.png"), int) for f in ("light", "whole"))
        assert (light != whole).mean() < 1e-3 if kind == "soft" else (light != whole).mean() < 1e-4
        assert np.abs(light - whole).max() <= 1 or kind == "mask"


def test_the_readme_names_what_predicting_needs():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"pip install {' '.join(sorted(LIGHT))}" in readme


def test_without_the_extra_it_is_named(small, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"needs the onnx extra: pip install 'latent-segmentation-toolkit\[onnx\]'"):
        OnnxSegmenter.load(small)
    assert "needs the onnx extra" in refused("export", "flowers64", "--layout", "onnx", "--out", tmp_path / "x.onnx")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--layout", "onnx", "--out", "s.pt"), "cannot tell the format of s.pt: its name should end in .onnx"),
        (("--layout", "onnx", "--int8", "--out", "s.onnx"), "--int8 and --calibrate, a folder of photos, go together"),
        (("--layout", "onnx", "--half", "--int8", "--out", "s.onnx"), "--half and --int8 are two precisions"),
        (("--layout", "onnx", "--photos", "photos", "--out", "s.onnx"), "--photos and --masks go together"),
        (("--layout", "torchscript", "--half", "--out", "s.pt"), "--half goes with --layout onnx, not torchscript"),
        (("--layout", "onnx", "--alpha", "2", "--out", "s.onnx"), "--direction, --alpha and --gan-type go with dir"),
        (("--layout", "onnx", "--int8", "--calibrate", "nowhere", "--out", "s.onnx"), "no folder at nowhere"),
    ],
)
def test_flags_of_segmenters_that_do_not_go_together(tmp_path, monkeypatch, flags, message):
    monkeypatch.chdir(tmp_path)
    assert message in refused("export", "flowers64", *flags)
    assert not [path for path in tmp_path.iterdir() if path.is_file()]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--runtime", "onnx"), "--runtime onnx is for .onnx files, and the segmenter is flowers64; make one with"),
        (("--runtime", "tensorrt"), "--runtime is 'tensorrt'; choose one of auto, torch, onnx"),
        (("--segmenter", "small.onnx", "--runtime", "torch"), "--runtime torch does not read small.onnx; omit it"),
        (("--segmenter", "small.onnx", "--device", "cuda"), "--runtime onnx computes on the cpu"),
        (("--segmenter", "small.onnx", "--precision", "bf16"), "--precision is that of the .onnx file"),
        (("--segmenter", "small.onnx", "--processes", "2"), "--processes goes with --runtime torch"),
    ],
)
def test_flags_of_runtimes_that_do_not_go_together(small, monkeypatch, flags, message):
    monkeypatch.chdir(small.parent)
    assert message in refused("predict", PHOTO, *flags, "--out", "masks")
    assert not Path("masks").exists()


def test_torch_s_segmenter_says_who_reads_the_file(small):
    with pytest.raises(UserError, match="exported for another runtime than torch: use runtime=onnx"):
        Segmenter.load(small)


def rewritten(path: Path, change) -> Path:
    """Write a model anew after `change`, as somebody would who knows how its digest is made."""
    model = onnx.load(path)
    change(model)
    digest = hashlib.sha256(model.graph.SerializeToString(deterministic=True)).hexdigest()
    for entry in model.metadata_props:
        entry.value = digest if entry.key == DIGEST else entry.value
    path.write_bytes(model.SerializeToString(deterministic=True))
    return path


def outside(model):
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="../secret.bin")


def loop(model):
    body = onnx.helper.make_graph([], "body", [], [])
    model.graph.node.append(onnx.helper.make_node("Loop", ["", ""], [], body=body))


def enlarged(model):
    for weight in model.graph.initializer:
        if weight.name.endswith(".scales"):
            weight.CopyFrom(onnx.numpy_helper.from_array(np.array([1, 1, 99, 99], np.float32), weight.name))


def padded(model):
    for weight in model.graph.initializer:
        if weight.name.endswith(".before"):
            weight.CopyFrom(onnx.numpy_helper.from_array(np.full(6, 10**6, np.int64), weight.name))


def twice(model):
    model.graph.initializer.append(model.graph.initializer[0])


HOSTILE = {
    "another file": (outside, "it keeps weights in another file"),
    "a loop": (loop, "it has a field"),
    "an operator": (lambda m: m.graph.node.append(onnx.helper.make_node("NonZero", ["a"], ["b"])), "'NonZero', which"),
    "a domain": (lambda m: setattr(m.graph.node[0], "domain", "com.evil"), "operators beyond those of ONNX"),
    "a function": (lambda m: m.functions.add(name="f"), "it has a field 25 that no segmenter's has"),
    "growth": (enlarged, "it enlarges by something else than two"),
    "padding": (padded, "it computes with other sizes than a segmenter's"),
    "an attribute": (lambda m: m.graph.node[0].attribute[0].ints.append(10**9), "a number that no segmenter's has"),
    "two weights": (twice, "it has two weights"),
    "many nodes": (lambda m: m.graph.node.extend([m.graph.node[0]] * 1000), "more operators than a segmenter"),
    "a wide weight": (lambda m: m.graph.initializer[0].dims.append(10**6), "1000000 channels, too many"),
    "no image size": (
        lambda m: [setattr(e, "value", "9999") for e in m.metadata_props if e.key == "image_size"],
        "does not say the image size of a segmenter",
    ),
    "a card that is no table": (
        lambda m: [setattr(e, "value", "[1]") for e in m.metadata_props if e.key == "card"],
        "holds no table of how it was made",
    ),
    "another input": (lambda m: m.graph.input[0].type.tensor_type.shape.dim.pop(), "cannot be computed by onnxruntime"),
    "no metadata": (lambda m: m.ClearField("metadata_props"), "this toolkit has not written it"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_in_one_line(small, tmp_path, name):
    change, message = HOSTILE[name]
    rewritten(small, change)
    line = refused("predict", PHOTO, "--segmenter", small, "--out", tmp_path / "masks")
    assert message in line
    assert not (tmp_path / "masks").exists()


@pytest.mark.parametrize("place", [0.3, 0.6, 0.99])
def test_a_single_changed_bit_is_seen(small, place):
    content = bytearray(small.read_bytes())
    start = content.index(b"inc.0.weight")
    content[start + int((len(content) // 2 - start) * place)] ^= 1
    small.write_bytes(content)
    with pytest.raises(UserError, match="is not an ONNX model of a segmenter"):
        OnnxSegmenter.load(small)


@pytest.mark.parametrize("content", [b"", b"<html></html>", b"PK\x03\x04 other", b"\x08\x08\x3a\xff", bytes(100)])
def test_what_is_no_model_is_named(tmp_path, content):
    path = tmp_path / "x.onnx"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"x\.onnx is "):
        read_model(path)
    with pytest.raises(UserError, match="no ONNX model at"):
        read_model(tmp_path / "gone.onnx")


def test_a_file_beyond_all_bounds_is_not_read(small, monkeypatch):
    monkeypatch.setattr("toolkit.untrusted.onnx_models.LARGEST", 1000)
    with pytest.raises(UserError, match=r"has more than 0\.001 MB, too many for"):
        read_model(small)
