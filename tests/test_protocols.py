import json

import numpy as np
import pytest
import torch
from golden_fill import fill_state_dict
from rounding import close

from segmentation.evaluate.evaluation import evaluate
from segmentation.evaluate.pairs import pair_folders
from segmentation.predict.protocols import (
    PROTOCOLS,
    centre_crop_pair,
    original_input,
    original_probability,
)
from segmentation.unet.network import UNet
from toolkit.pictures.photos import read_gray, read_photo
from toolkit.pictures.pixels import from_bytes

CPU = torch.device("cpu")


@pytest.fixture
def golden_pairs(request):
    root = request.path.parent / "golden" / "eval_seed0"
    return pair_folders(root / "images", root / "masks")


@pytest.fixture(scope="module")
def golden_network():
    return fill_state_dict(UNet(), 0).eval()


def brightness(images):
    """A stand-in network: the brighter a pixel, the more foreground."""
    gray = images.mean(dim=1, keepdim=True)
    return torch.cat([-4 * gray, 4 * gray], dim=1)


def test_the_original_s_network_inputs_and_masks_are_reproduced(golden, golden_pairs):
    arrays = golden("evaluation")
    images, masks = arrays["len"]
    assert len(golden_pairs) == images == masks
    for index, pair in enumerate(golden_pairs):
        assert pair.image.name == str(arrays[f"file_{index}"])
        network_input = original_input(read_photo(pair.image), 128, CPU)
        codes = ((network_input + 1) / 2 * 255).round().to(torch.uint8).numpy()
        np.testing.assert_array_equal(codes, arrays[f"resized_{index}"])
        np.testing.assert_array_equal(read_gray(pair.mask) >= 127.5, arrays[f"gt_{index}"].astype(bool))


def test_the_original_s_probabilities_and_scores_are_reproduced(golden, golden_pairs, golden_network):
    arrays = golden("evaluation")
    expected = json.loads(str(arrays["scores_json"]))
    with torch.no_grad():
        golden_network.outc.conv.bias[1] += float(arrays["bias_shift"])
    found = []

    def predict(photo):
        found.append(PROTOCOLS["original"].predict(golden_network, [photo], 128, CPU)[0])
        return found[-1]

    measured = evaluate(golden_pairs, predict, "eval_seed0", PROTOCOLS["original"].meaning).result()["measures"]
    for index, probability in enumerate(found):
        if f"prob_f32_{index}" in arrays:
            close(probability, arrays[f"prob_f32_{index}"][0], depth=19)
            continue
        codes = (probability * 255).round().astype(int)
        np.testing.assert_allclose(probability * 255, codes, atol=1e-4)
        assert np.abs(codes - arrays[f"prob_u8_{index}"][0].astype(int)).max() <= 1
    assert measured["max_f"] == pytest.approx(expected["id"]["F_max"], abs=1e-3)
    assert measured["iou"] == pytest.approx(expected["thr"]["IoU"], abs=1e-3)
    assert measured["accuracy"] == pytest.approx(expected["thr"]["accuracy"], abs=1e-3)


def test_the_original_s_scores_follow_from_its_probabilities(golden, golden_pairs):
    arrays = golden("evaluation")
    expected = json.loads(str(arrays["scores_json"]))
    maps = iter(
        arrays[f"prob_f32_{i}"][0]
        if f"prob_f32_{i}" in arrays
        else arrays[f"prob_u8_{i}"][0].astype(np.float32) / np.float32(255)
        for i in range(5)
    )
    measured = evaluate(golden_pairs, lambda _: next(maps), "eval_seed0", "golden").result()["measures"]
    assert measured["max_f"] == pytest.approx(expected["id"]["F_max"], abs=1e-6)
    assert measured["iou"] == pytest.approx(expected["thr"]["IoU"], abs=1e-6)
    assert measured["accuracy"] == pytest.approx(expected["thr"]["accuracy"], abs=1e-6)


def test_the_original_s_centre_crop_is_reproduced(golden, golden_pairs):
    arrays = golden("evaluation")
    first = golden_pairs[0]
    photo, mask = centre_crop_pair(read_photo(first.image), read_gray(first.mask), 64)
    np.testing.assert_array_equal(photo.transpose(2, 0, 1), arrays["crop64_img0"])
    np.testing.assert_array_equal(mask, arrays["crop64_mask0"].astype(bool))


def test_the_way_through_eight_bits_lowers_63_of_256_levels():
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    shown = original_input(np.repeat(levels[..., None], 3, axis=-1), 16, CPU)[0, 0]
    codes = ((shown + 1) / 2 * 255).round().numpy().astype(int)
    assert ((levels - codes) == 1).sum() == 63
    assert ((levels - codes) == 0).sum() == 193


def test_a_probability_of_the_right_size_stays_float_and_others_go_through_eight_bits():
    classes = torch.full((2, 8, 8), 0.5001)
    np.testing.assert_array_equal(original_probability(classes, (8, 8)), 1 - classes[0].numpy())
    resized = original_probability(classes, (16, 24))
    np.testing.assert_array_equal(resized, np.full((16, 24), np.float32(127) / np.float32(255)))


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
@pytest.mark.parametrize("shape", [(20, 33), (33, 20), (16, 16), (100, 40)])
def test_predictions_have_the_photo_s_size_and_follow_it(protocol, shape):
    photo = np.zeros((*shape, 3), np.uint8)
    photo[:, shape[1] // 2 :] = 255
    (probability,) = protocol.predict(brightness, [photo], 16, CPU)
    assert probability.shape == shape
    assert probability.dtype == np.float32
    assert 0 <= probability.min() <= probability[:, :4].max() < 0.1
    assert 0.9 < probability[:, -4:].min() <= probability.max() <= 1


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_the_network_sees_the_shorter_side_at_its_size(protocol):
    seen = []

    def network(images):
        seen.append(images)
        return brightness(images)

    photo = np.zeros((20, 50, 3), np.uint8)
    photo[:, 25:] = 255
    protocol.predict(network, [photo], 16, CPU)
    (images,) = seen
    assert images.shape == (1, 3, 16, 40)
    close([images.min(), images.max()], [-1, 1], depth=2)  # resized along both axes


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_photos_of_one_shape_share_batches_of_bounded_size(protocol):
    seen = []

    def network(images):
        seen.append(tuple(images.shape))
        return brightness(images)

    generator = np.random.default_rng(0)
    sizes = [(20, 30), (40, 60), (30, 20), (100, 150), *[(20, 30)] * 260]
    photos = [generator.integers(0, 256, (*size, 3), np.uint8) for size in sizes]
    found = protocol.predict(network, photos, 16, CPU)
    assert seen == [(260, 3, 16, 24), (3, 3, 16, 24), (1, 3, 24, 16)]
    for photo, probability in zip(photos[:5], found, strict=False):
        (alone,) = protocol.predict(brightness, [photo], 16, CPU)
        np.testing.assert_allclose(probability, alone, atol=1e-6)


def test_without_resizing_both_protocols_agree():
    photo = np.random.default_rng(0).integers(0, 256, (16, 20, 3), np.uint8)
    found, original = (protocol.predict(brightness, [photo], 16, CPU)[0] for protocol in PROTOCOLS.values())
    torch.testing.assert_close(torch.from_numpy(found), brightness(from_bytes(photo)[None]).softmax(dim=1)[0, 1])
    np.testing.assert_allclose(found, original, atol=0.02)
