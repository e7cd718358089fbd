"""The whole, not its parts: what every training command writes is what its last checkpoint gives.

Each figure it reports is taken here a second way: from the files it left, sample by sample, in plain NumPy.
"""

import json

import numpy as np
import pytest
import scipy.linalg
import torch
from cli_runs import DISCOVER, SEGMENT, ran
from PIL import Image
from safetensors.torch import load_file

from discovery.methods.deformator.kinds import DEFORMATORS
from discovery.methods.deformator.reconstructors import make_reconstructor
from generators.catalogue import open_generator
from generators.encoder.network import load_encoder
from generators.protocol import Latents
from segmentation.predict.segmenter import Segmenter
from segmentation.synthesis.synthesizer import MaskSynthesizer, latent_source
from segmentation.unet.settings import SegmentationSettings
from toolkit.compute.engine import choose_engine
from toolkit.directions import DirectionSet
from toolkit.files.artefacts import load_pickled
from toolkit.pictures.pixels import from_bytes, grid, to_bytes
from toolkit.streams import Stream

ENGINE = choose_engine("cpu", "fp32")
SCENE = "scene@image_size=32"
FEW = ("--directions", "6", "--validation-batches", "3")


def result_of(run):
    return json.loads((run / "result.json").read_text())


def checkpoint_of(run):
    return load_pickled(run / "checkpoint.pt", "the checkpoint")


def assert_same_tensors(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name].to(tensor.dtype), tensor), name


# Directions


@pytest.fixture(scope="module", params=list(DEFORMATORS))
def discovered(request, tmp_path_factory):
    """Return the kind of a deformator and two runs of it, one charted and saved often, one never before its end."""
    folder = tmp_path_factory.mktemp(request.param)
    command = ("discover", "--generator", SCENE, "--deformator", request.param, *DISCOVER, *FEW)
    rates = ("--deformator-rate", "0.05", "--reconstructor-rate", "0.01")
    ran(*command, *rates, "--chart-every", "2", "--out", folder / "charted")
    ran(*command, *rates, "--chart-every", "1000", "--checkpoint-every", "1000", "--out", folder / "plain")
    return request.param, folder


def test_charts_and_checkpoints_on_the_way_change_no_byte_of_the_directions(discovered):
    _, folder = discovered
    charted, plain = ((folder / name / "directions.safetensors").read_bytes() for name in ("charted", "plain"))
    assert len(list((folder / "charted" / "charts").glob("step_*"))) == 3
    assert charted == plain
    results = [result_of(folder / name) for name in ("charted", "plain")]
    assert results[0] == results[1]


def test_more_steps_after_a_finished_run_are_an_unbroken_run(discovered, tmp_path):
    kind, folder = discovered
    command = ("discover", "--generator", SCENE, "--deformator", kind, *DISCOVER, *FEW, "--out", tmp_path / "run")
    rates = ("--deformator-rate", "0.05", "--reconstructor-rate", "0.01")
    ran(*command, *rates, "--steps", "3", "--chart-every", "1")
    ran(*command, *rates, "--steps", "8", "--chart-every", "5")  # how often it is watched may change
    again = (tmp_path / "run" / "directions.safetensors").read_bytes()
    assert again == (folder / "plain" / "directions.safetensors").read_bytes()


def deformed(kind, state, shifts):
    """Return latent shifts (N, 16) of shifts (N, 6), from the entries of a deformator's state, in NumPy."""
    weights = {name: tensor.double().numpy() for name, tensor in state.items()}
    if kind == "id":
        return np.pad(shifts, [(0, 0), (0, 10)])
    if kind == "random":
        return shifts @ weights["linear"].T
    if kind == "ortho":
        half = weights["log_mat_half"]
        return shifts @ scipy.linalg.expm(half - half.T)[:, :6].T
    if kind == "fc":
        features = shifts @ weights["fc1.weight"].T + weights["fc1.bias"]
        for number in (1, 2, 3):
            norm = f"bn{number}"
            spread = np.sqrt(weights[f"{norm}.running_var"] + 1e-5)
            values = (features - weights[f"{norm}.running_mean"]) / spread
            values = values * weights[f"{norm}.weight"] + weights[f"{norm}.bias"]
            values = np.where(values > 0, values, np.expm1(np.minimum(values, 0)))
            step = values @ weights[f"fc{number + 1}.weight"].T + weights[f"fc{number + 1}.bias"]
            features = step + (features if number < 3 else np.pad(shifts, [(0, 0), (0, 10)]))
        return features
    moved = shifts @ weights["linear.weight"].T + weights["linear.bias"]
    if kind == "proj":
        moved *= np.linalg.norm(shifts, axis=1, keepdims=True) / np.linalg.norm(moved, axis=1, keepdims=True)
    return moved


def test_directions_are_those_of_the_final_checkpoint(discovered):
    kind, folder = discovered
    state = checkpoint_of(folder / "charted")
    assert state["step"] == 8
    axes = 6.0 * np.eye(6)  # the scale of the shifts in training
    secants = (deformed(kind, state["deformator"], axes) - deformed(kind, state["deformator"], -axes)) / 12
    directions = DirectionSet.load(folder / "charted")
    lengths = np.linalg.norm(secants, axis=1)
    np.testing.assert_allclose(directions.vectors.numpy(), secants / lengths[:, None], atol=1e-5)
    np.testing.assert_allclose(directions.scores["length"], lengths, rtol=1e-4)


def test_the_reported_accuracy_is_that_of_the_checkpoint_pair_by_pair(discovered):
    kind, folder = discovered
    state = checkpoint_of(folder / "charted")
    reconstructor = make_reconstructor("lenet", 6, size=None, seed=5).eval()
    reconstructor.load_state_dict(state["reconstructor"])
    generator = open_generator(SCENE)
    latents, numbers, shifts = (Stream(0, f"validate-{name}") for name in ("latents", "directions", "shifts"))
    right = 0
    for _ in range(3 * 4):
        z = generator.sample(1, latents).z
        number = int(numbers.integers(1, 6))
        alpha = 6 * (2 * float(shifts.uniform(1, 1)) - 1)
        alpha = np.sign(alpha) * max(abs(alpha), 0.5)
        moved = deformed(kind, state["deformator"], alpha * np.eye(6)[[number]])
        with torch.no_grad():
            logits, _ = reconstructor(generator(Latents(z)), generator(Latents(z + torch.from_numpy(moved).float())))
        right += int(logits.argmax()) == number
    assert result_of(folder / "charted")["rca"] == pytest.approx(right / 12)
    assert DirectionSet.load(folder / "charted").card["rca"] == pytest.approx(right / 12)


def test_light_and_dark_are_the_checkpoint_s_vectors_and_the_last_line_their_loss(tmp_path):
    ran(
        "discover", "--method", "contrast", "--generator", SCENE, "--steps", "5", "--batch", "4", "--log-every", "1",
        "--rate", "0.1", "--precision", "fp32", "--out", tmp_path / "run",
    )  # fmt: skip
    vectors = checkpoint_of(tmp_path / "run")["vectors"]["vectors"].double()
    found = DirectionSet.load(tmp_path / "run").vectors
    torch.testing.assert_close(found.double(), vectors / vectors.norm(dim=1, keepdim=True), atol=1e-6, rtol=0)


def test_components_are_those_of_all_features_at_once(tmp_path):
    ran(
        "discover", "--method", "ganspace", "--generator", SCENE, "--directions", "3", "--samples", "60", "--batch",
        "16", "--precision", "fp32", "--out", tmp_path / "run",
    )  # fmt: skip
    found, generator = DirectionSet.load(tmp_path / "run"), open_generator(SCENE)
    assert found.card["layer"] == "images"
    features, z = [], []
    for name in ("ganspace", "ganspace-regression"):
        latents = generator.sample(60, Stream(0, name))
        features.append(features_of(generator, latents))
        z.append(latents.z.double().numpy())
    centred = features[0] - features[0].mean(axis=0)
    _, values, components = np.linalg.svd(centred, full_matrices=False)
    coordinates = (features[1] - features[0].mean(axis=0)) @ components[:3].T / (values[:3] / np.sqrt(59))
    design = np.column_stack([coordinates, np.ones(60)])
    slopes = np.linalg.lstsq(design, z[1], rcond=None)[0][:3]
    cosines = (found.vectors.numpy() * slopes).sum(axis=1) / np.linalg.norm(slopes, axis=1)
    np.testing.assert_allclose(np.abs(cosines), 1, atol=1e-3)
    shares = values[:3] ** 2 / (values**2).sum()
    np.testing.assert_allclose(found.scores["variance"], shares, rtol=0.02)


def features_of(generator, latents):
    with torch.no_grad():
        return generator(latents).double().flatten(1).numpy()  # 32 pixels, as GANSpace looks at images


def test_compare_reports_what_its_checkpoint_tells_apart(tmp_path):
    for name, seed in (("one", "0"), ("two", "1")):
        ran("discover", "--method", "random", "--generator", SCENE, "--seed", seed, "--out", tmp_path / name)
    ran(
        "compare", f"one={tmp_path / 'one'}", f"two={tmp_path / 'two'}", "--out", tmp_path / "both", "--steps", "4",
        "--batch", "4", "--directions", "6", "--validation-batches", "3", "--precision", "fp32",
    )  # fmt: skip
    reported = {one["set"]: one["recognition"] for one in result_of(tmp_path / "both")["sets"]}
    generator = open_generator(SCENE)
    for name in ("one", "two"):
        state = checkpoint_of(tmp_path / "both" / "rca" / name)
        vectors = DirectionSet.load(tmp_path / name).vectors[:6]
        assert torch.equal(state["deformator"]["vectors"], vectors)
        reconstructor = make_reconstructor("lenet", 6, size=None, seed=5).eval()
        reconstructor.load_state_dict(state["reconstructor"])
        latents, numbers, shifts = (Stream(0, f"validate-{kind}") for kind in ("latents", "directions", "shifts"))
        z, number = generator.sample(12, latents).z, numbers.integers(12, 6)
        alpha = 6 * (2 * shifts.uniform(12, 1) - 1)
        moved = z + (alpha.sign() * alpha.abs().clamp_min(0.5)).float() * vectors[number]
        with torch.no_grad():
            logits, _ = reconstructor(generator(Latents(z)), generator(Latents(moved)))
        right = np.equal(logits.argmax(dim=1).numpy(), number.numpy()).mean()
        assert reported[name]["rca"] == pytest.approx(right)


# Segmenters


@pytest.fixture(scope="module")
def segmented(tmp_path_factory):
    folder = tmp_path_factory.mktemp("segment")
    generator = open_generator(SCENE)
    DirectionSet(generator.contrast_direction()[None], "scene", "by hand", card={"source": {"generator": SCENE}}).save(
        folder / "directions.safetensors"
    )
    settings = ("--steps", "60", "--width", "8", "--batch", "8", "--rate", "0.01")
    command = ("segment", folder, "--direction", "0", "--alpha", "5", *SEGMENT, *settings)
    ran(*command, "--out", folder / "run", "--validate-every", "20")
    ran(*command, "--out", folder / "plain", "--validate-every", "1000", "--checkpoint-every", "7")
    return folder


def test_validations_and_checkpoints_on_the_way_change_no_byte_of_the_segmenter(segmented):
    runs = (segmented / "run", segmented / "plain")
    one, other = ((run / "segmenter.safetensors").read_bytes() for run in runs)
    assert one == other
    assert result_of(runs[0]) == result_of(runs[1])


def test_the_segmenter_is_that_of_the_final_checkpoint(segmented):
    state = checkpoint_of(segmented / "run")
    assert state["step"] == 60
    assert_same_tensors(load_file(segmented / "run" / "segmenter.safetensors"), state["network"])


def test_the_reported_overlap_is_that_of_the_checkpoint_sample_by_sample(segmented):
    settings, generator = SegmentationSettings(batch=8, validation_samples=16), open_generator(SCENE)
    source = latent_source(generator, settings, None)
    held_out = MaskSynthesizer(generator, 5 * generator.contrast_direction(), settings, source, "validation", ENGINE)
    segmenter = Segmenter.load(segmented / "run")
    ious, accuracies = [], []
    for _ in range(2):
        batch = held_out.batch(8)
        seen = from_bytes(to_bytes(batch.images))  # as bytes, like photos
        for image, truth in zip(seen, batch.masks.numpy(), strict=True):
            found = segmenter.probabilities(image[None])[0].numpy() >= 0.5
            ious.append((found & truth).sum() / (found | truth).sum())
            accuracies.append((found == truth).mean())
    result = result_of(segmented / "run")
    assert result["synthetic_iou"] == pytest.approx(np.mean(ious), abs=1e-4)
    assert result["synthetic_accuracy"] == pytest.approx(np.mean(accuracies), abs=1e-4)
    assert segmenter.card["figures"]["synthetic_iou"] == result["synthetic_iou"]


def test_the_student_is_that_of_the_last_round_s_checkpoint(segmented, tmp_path):
    generator = open_generator(SCENE)
    with torch.no_grad():
        pictures = to_bytes(generator(generator.sample(24, Stream(3, "photos"))))
    (tmp_path / "photos").mkdir()
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(tmp_path / "photos" / f"{number:02}.png")
    ran(
        "self-train", tmp_path / "photos",
        "--segmenter", segmented / "run", "--out", tmp_path / "student", "--rounds", "2", "--steps",
        "60", "--batch", "8", "--width", "8", "--rate", "0.01",
        "--min-area", "0", "--max-area", "1", "--agreement", "0", "--held-out-share", "0.2",
        "--precision", "fp32",
    )  # fmt: skip
    last = tmp_path / "student" / "round2"
    written = load_file(tmp_path / "student" / "segmenter.safetensors")
    average = checkpoint_of(last)["average"]
    learnt = {name.removeprefix("module."): tensor for name, tensor in average.items() if name != "n_averaged"}
    assert_same_tensors(written, learnt)
    assert_same_tensors(written, load_file(last / "segmenter.safetensors"))
    first = load_file(tmp_path / "student" / "round1" / "segmenter.safetensors")
    assert any(not torch.equal(first[name], written[name]) for name in written)
    results = [result_of(folder) for folder in (last, tmp_path / "student")]
    assert results[0]["held_out_iou"] == results[1]["held_out_iou"]


# Generators and encoders


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    generator = open_generator(SCENE)
    with torch.no_grad():
        pictures = to_bytes(generator(generator.sample(24, Stream(4, "photos"))))
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{number:02}.png")
    return folder


@pytest.mark.parametrize("objective", ["gan", "bigbigan"])
def test_the_generator_is_the_average_of_the_final_checkpoint(photos, objective, tmp_path):
    command = (
        "train-generator", photos, "--objective", objective, "--steps", "5", "--batch", "8", "--width", "8",
        "--critic-width", "8", "--image-size", "32", "--latent-dim", "8",
        "--precision", "fp32", *(("--encoder-width", "4", "--joint-width", "8") if objective == "bigbigan" else ()),
    )  # fmt: skip
    ran(*command, "--grid-every", "2", "--quality-every", "2", "--out", tmp_path / "watched")
    ran(*command, "--out", tmp_path / "plain")
    for name in ("generator", "encoder")[: 2 if objective == "bigbigan" else 1]:
        one, other = ((tmp_path / run / f"{name}.safetensors").read_bytes() for run in ("watched", "plain"))
        assert one == other
        state = checkpoint_of(tmp_path / "plain")
        part = "average" if name == "generator" else "encoder_average"
        assert_same_tensors(load_file(tmp_path / "plain" / f"{name}.safetensors"), state[part])
    generator = open_generator(str(tmp_path / "plain"))
    with torch.no_grad():
        images = generator(generator.sample(64, Stream(0, "sample-grid")))
    with Image.open(tmp_path / "watched" / "samples" / "0000005.png") as picture:
        shown = np.asarray(picture).astype(int)
    assert np.abs(shown - grid(to_bytes(images))).max() <= 1  # the last picture shows what is written
    assert result_of(tmp_path / "watched") == result_of(tmp_path / "plain")


def test_the_encoder_is_that_of_the_final_checkpoint_and_explains_what_it_reports(photos, tmp_path):
    command = (
        "train-encoder", "--generator", SCENE, "--photos", photos, "--steps", "12", "--batch", "8", "--photo-batch",
        "4", "--width", "8", "--rate", "5e-3", "--precision", "fp32",
    )  # fmt: skip
    ran(*command, "--validate-every", "5", "--out", tmp_path / "run")
    ran(*command, "--out", tmp_path / "plain")
    one, other = ((tmp_path / run / "encoder.safetensors").read_bytes() for run in ("run", "plain"))
    assert one == other
    assert_same_tensors(load_file(tmp_path / "run" / "encoder.safetensors"), checkpoint_of(tmp_path / "run")["network"])
    encoder, generator = load_encoder(tmp_path / "run" / "encoder.safetensors"), open_generator(SCENE)
    latents = generator.sample(512, Stream(0, "held-out-samples"))
    with torch.no_grad():
        means = encoder.network.eval()(generator(latents))[0].numpy()
    truth = latents.z.numpy()
    unexplained = ((truth - means) ** 2).sum() / ((truth - truth.mean(axis=0)) ** 2).sum()
    assert result_of(tmp_path / "run")["latent_r2"] == pytest.approx(1 - unexplained, abs=1e-4)
