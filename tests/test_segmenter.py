"""The segmenter: files that come back as they were, photos of any size, and edges that are followed."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from conftest import GOLDEN
from golden_fill import fill_state_dict
from rounding import close, room

from segmentation.predict.inference import prepared
from segmentation.predict.segmenter import PROTOCOLS, Segmenter, load_published
from segmentation.predict.windows import in_threads
from segmentation.unet.network import UNet
from toolkit.errors import UserError
from toolkit.files.artefacts import save_artefact
from toolkit.pictures.photos import read_photo


def photo(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture
def segmenter():
    network = fill_state_dict(UNet(width=4), 0)
    return Segmenter(network, 32, {"generator": "disc", "direction": "contrast", "figures": {"iou": 0.9}})


def test_a_saved_segmenter_comes_back_as_it_was(segmenter, tmp_path):
    segmenter.save(tmp_path / "segmenter.safetensors")
    for path in (tmp_path / "segmenter.safetensors", tmp_path):
        loaded = Segmenter.load(path)
        assert (loaded.image_size, loaded.network.width, loaded.card) == (32, 4, segmenter.card)
        assert np.array_equal(loaded.probability(photo(40, 50)), segmenter.probability(photo(40, 50)))


def test_half_precision_files_are_half_as_large_and_nearly_equal(segmenter, tmp_path):
    segmenter.save(tmp_path / "whole.safetensors")
    segmenter.save(tmp_path / "half.safetensors", half=True)
    loaded = Segmenter.load(tmp_path / "half.safetensors")
    assert {p.dtype for p in loaded.network.parameters()} == {torch.float32}
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("half", "whole")]
    assert sizes[0] < 0.65 * sizes[1]
    difference = loaded.probability(photo(40, 50)) - segmenter.probability(photo(40, 50))
    assert 0 < np.abs(difference).max() < 0.02


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
@pytest.mark.parametrize(("width", "bilinear"), [(4, True), (6, False)])
def test_published_weights_are_read_whatever_their_width(tmp_path, ending, width, bilinear):
    network = fill_state_dict(UNet(width=width, bilinear=bilinear), 0)
    path = tmp_path / f"u_net.{ending}"
    if ending == "pth":
        torch.save(network.state_dict(), path)
    else:
        from safetensors.torch import save_file

        save_file(network.state_dict(), path)
    loaded = Segmenter.load(path)
    assert (loaded.image_size, loaded.network.width) == (128, width)
    assert load_published(path, 64).image_size == 64
    for name, tensor in network.state_dict().items():
        assert torch.equal(loaded.network.state_dict()[name], tensor)


def test_files_that_are_no_segmenter_are_refused(tmp_path):
    with pytest.raises(UserError, match="no segmenter at"):
        Segmenter.load(tmp_path / "none.safetensors")
    save_artefact(tmp_path / "other.safetensors", "direction set", {"vectors": torch.ones(1)}, {})
    with pytest.raises(UserError, match="is a direction set artefact, but a segmenter is needed"):
        Segmenter.load(tmp_path / "other.safetensors")
    save_artefact(tmp_path / "bare.safetensors", "segmenter", UNet(width=2).state_dict(), {})
    with pytest.raises(UserError, match="does not say the image size"):
        Segmenter.load(tmp_path / "bare.safetensors")
    torch.save({"weight": torch.ones(3)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"outc\.conv\.weight is missing"):
        Segmenter.load(tmp_path / "other.pth")
    state = UNet(width=2).state_dict()
    del state["inc.double_conv.0.weight"]
    torch.save(state, tmp_path / "cut.pth")
    with pytest.raises(UserError, match=r"does not fit a U-Net of width 2: missing: inc\.double_conv\.0\.weight"):
        Segmenter.load(tmp_path / "cut.pth")
    (tmp_path / "broken.pth").write_bytes(b"PK nothing")
    with pytest.raises(UserError, match="cannot read"):
        Segmenter.load(tmp_path / "broken.pth")


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
@pytest.mark.parametrize("size", [(1, 1), (1, 400), (7, 5), (32, 32), (33, 90), (300, 17)])
def test_any_photo_gets_a_probability_of_its_own_size(segmenter, protocol, size):
    for refine in (False, True):
        found = segmenter.probability(photo(*size), protocol, refine)
        assert found.shape == size
        assert found.dtype == np.float32
        assert found.min() >= 0
        assert found.max() <= 1


def test_a_photo_of_the_networks_size_is_not_resized(segmenter):
    shown = photo(32, 48)
    images = torch.from_numpy(shown).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.no_grad():
        expected = segmenter.network(images).softmax(dim=1)[0, 1].numpy()
    close(segmenter.probability(shown), expected, depth=19)
    np.testing.assert_allclose(segmenter.probability(shown, "original"), expected, atol=0.1)
    assert np.array_equal(segmenter.mask(shown, 0.7), segmenter.probability(shown) >= 0.7)


def test_the_original_protocol_equals_the_original(golden):
    g = golden("evaluation")
    network = fill_state_dict(UNet(), 0)
    network.outc.conv.bias.data[1] += float(g["bias_shift"])
    segmenter = Segmenter(network, 128)
    for index in range(2):
        name = str(g[f"file_{index}"])
        shown = read_photo(GOLDEN / "eval_seed0" / "images" / name.rsplit("/", 1)[-1])
        found = segmenter.probability(shown, "original")
        codes = np.round(found * 255).astype(int)
        assert np.abs(codes - g[f"prob_u8_{index}"].astype(int)).max() <= 1


def test_what_is_no_photo_is_refused(segmenter):
    for wrong in (np.zeros((4, 4, 3)), np.zeros((9, 9, 2), np.uint8), np.zeros((0, 4, 3), np.uint8), None):
        with pytest.raises(UserError, match=r"a photo is .*uint8 \[height, width, 3\]"):
            segmenter.probability(wrong)
    with pytest.raises(UserError, match="protocol 'fast' is unknown; choose one of float, original"):
        segmenter.probability(photo(32, 32), "fast")
    with pytest.raises(UserError, match="image size is 8, but the U-Net needs at least 16;"):
        Segmenter(UNet(width=2), 8)


def test_read_only_photos_are_taken_and_left_as_they_are(segmenter):
    shown = photo(40, 50)
    before = shown.copy()
    shown.flags.writeable = False
    for protocol in PROTOCOLS:
        segmenter.probability(shown, protocol, refine=True)
    assert np.array_equal(shown, before)


def test_a_segmenter_made_during_training_leaves_the_training_alone():
    network = UNet(width=2).train()
    Segmenter(network, 32)
    assert network.training
    assert all(p.requires_grad for p in network.parameters())


def test_predicting_leaves_what_is_saved_as_it_was(segmenter):
    names, digest = list(segmenter.network.state_dict()), segmenter.digest()
    segmenter.probability(photo(40, 50))
    segmenter.probability(photo(40, 50), bf16=True)
    assert (list(segmenter.network.state_dict()), segmenter.digest()) == (names, digest)


@pytest.mark.parametrize("bilinear", [True, False])
@pytest.mark.parametrize(("bf16", "tolerance"), [(False, room(19)), (True, 0.03)])
def test_the_prepared_network_equals_the_trained_one(bilinear, bf16, tolerance):
    network = fill_state_dict(UNet(width=4, bilinear=bilinear), 0).eval()
    images = torch.rand(3, 3, 40, 56, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        expected = network(images).softmax(dim=1)
    found = prepared(network, bf16)(images)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.softmax(dim=1), expected, atol=tolerance, rtol=0)


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
def test_many_photos_come_in_order_and_as_each_alone(segmenter, protocol):
    photos = [photo(*size, seed) for seed, size in enumerate([(40, 50), (50, 40), (32, 32), (90, 30)] * 5)]
    found = list(segmenter.predictions(enumerate(photos), protocol, refine=True))
    assert [key for key, _, _ in found] == list(range(20))
    for (_, shown, probability), given in zip(found, photos, strict=True):
        assert shown is given
        # Through 8 bits, a float's last digit may decide for the level beside.
        atol = room(19) if protocol == "float" else 1.01 / 255
        np.testing.assert_allclose(probability, segmenter.probability(given, protocol, refine=True), atol=atol)


def test_photos_are_taken_a_few_at_a_time(segmenter):
    taken = []

    def photos(size):
        for index in range(100):
            taken.append(index)
            yield index, np.zeros((*size, 3), np.uint8)

    next(segmenter.predictions(photos((32, 32))))
    assert len(taken) == 16
    taken.clear()
    next(segmenter.predictions(photos((2048, 2048))))
    assert len(taken) == 1


def test_threads_keep_the_order_and_the_bound():
    begun = []
    with ThreadPoolExecutor(2) as pool:
        results = in_threads(pool, lambda item: item * item, (begun.append(i) or i for i in range(50)), most=6)
        assert next(results) == 0
        assert len(begun) == 7
        assert list(results) == [i * i for i in range(1, 50)]
        heavy = in_threads(pool, str, [5, 9, 1], most=6, weigh=lambda item: item)
        assert list(heavy) == ["5", "9", "1"]


@pytest.mark.parametrize("bf16", [False, True])
def test_a_network_that_diverged_is_refused(bf16):
    network = UNet(width=2)
    with torch.no_grad():
        network.inc.double_conv[0].weight[0] = torch.nan
    with pytest.raises(UserError, match="diverged"):
        Segmenter(network, 32).probability(np.zeros((40, 40, 3), np.uint8), bf16=bf16)


def test_a_segmenter_that_has_predicted_can_be_copied_and_stored():
    photo = np.arange(40 * 40 * 3, dtype=np.uint32).astype(np.uint8).reshape(40, 40, 3)
    segmenter = Segmenter(UNet(width=2), 32)
    before = segmenter.probability(photo)
    copy = pickle.loads(pickle.dumps(segmenter))
    assert np.array_equal(copy.probability(photo), before)
    with torch.no_grad():
        copy.network.outc.conv.bias[1] += 5
    assert (pickle.loads(pickle.dumps(copy)).probability(photo) > before).all()
