"""Mask rules and filters: the original's numbers, and cases one can solve in the head."""

from collections import Counter

import pytest
import torch
from golden_fill import decode
from torch.overrides import TorchFunctionMode

from segmentation.unet.settings import SegmentationSettings
from toolkit.errors import UserError
from toolkit.masks.comparisons import lighting, mean_thr
from toolkit.masks.connected import large_by_mask, large_by_runs
from toolkit.masks.filters import area_within, histogram_peaks, histograms_by_bin, large_components, multimodal
from toolkit.masks.rules import MASK_RULES


def images(codes):
    return torch.from_numpy(decode(codes)) + 0.25 / 64


def as_bool(array):
    return torch.from_numpy(array).bool()


def test_rules_and_filters_equal_the_original(golden):
    g = golden("masks")
    before, after = images(g["orig"]), images(g["shifted"])
    masks = lighting(before, after)
    assert torch.equal(masks, as_bool(g["pair_mask"]))
    assert torch.equal(mean_thr(before, after), as_bool(g["mean_thr_mask"]))
    assert torch.equal(large_components(masks), as_bool(g["cc_pair_mask"]))
    assert histogram_peaks(after).tolist() == g["n_maxima"].tolist()
    assert multimodal(after).tolist() == g["maxes_keep"].tolist()


def test_components_of_special_masks_equal_the_original(golden):
    g = golden("masks")
    special = as_bool(g["special"])
    untouched = special.clone()
    assert torch.equal(large_components(special), as_bool(g["cc_special"]))
    assert torch.equal(special, untouched)


def test_area_bounds_equal_the_original(golden):
    g = golden("masks")
    masks = as_bool(g["area_masks"])  # 0, 1, 127, 128, 129 and 256 of 256 pixels
    assert torch.nonzero(area_within(masks)).flatten().tolist() == g["area_kept_index"].tolist()
    assert area_within(masks, maximum=1.0).all()
    assert area_within(masks, minimum=1 / 256).tolist() == [False, True, True, False, False, False]


def test_masks_of_the_bigbigan_images_equal_the_original(golden):
    g = golden("biggan")
    before, after = torch.from_numpy(g["out"]), torch.from_numpy(g["out_shifted"])
    masks = lighting(before, after)
    assert torch.equal(masks, as_bool(g["mask_lighting"]))
    assert torch.equal(large_components(masks), as_bool(g["mask_lighting_cc"]))
    assert torch.equal(mean_thr(before, after), as_bool(g["mask_mean_thr"]))
    assert multimodal(after).tolist() == g["maxes_keep"].tolist()


def test_components_touch_at_corners_but_not_across_masks():
    masks = torch.zeros(2, 9, 9, dtype=torch.bool)
    masks[0, 0:3, 0:3] = True
    masks[0, 3, 3] = True  # joined by a corner, so it stays
    masks[0, 8, 8] = True  # one of ten pixels: dropped
    masks[1, 8, 8] = True  # alone in its mask, below a pixel of the other mask: stays
    kept = large_components(masks)
    assert kept[0].sum() == 10
    assert not kept[0, 8, 8]
    assert kept[1].sum() == 1
    assert torch.equal(large_components(masks, ratio=0.0), masks)


class CountedCalls(TorchFunctionMode):
    """Counts the torch functions called, those that make the host wait for the device among them."""

    def __init__(self):
        super().__init__()
        self.calls = Counter()

    def __torch_function__(self, function, types, args=(), kwargs=None):
        self.calls[function.__name__] += 1
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "work",
    [
        lambda images, masks: large_by_runs(masks, 0.2),
        lambda images, masks: histograms_by_bin(images.flatten(1)),
        lambda images, masks: area_within(masks),
        lambda images, masks: MASK_RULES["mean_thr"](images, images),
    ],
)
def test_a_device_is_called_no_more_often_for_more_samples(work):
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    calls = []
    for count in (1, 30):
        many = images.repeat(count, 1, 1, 1)
        with CountedCalls() as counted:
            work(many, many[:, 0] > 0.5)
        calls.append(counted.calls)
    assert calls[0] == calls[1]
    assert calls[0]["item"] == 0


def test_values_outside_the_range_are_left_out_of_the_histogram():
    inside = torch.linspace(-1, 1, 3 * 64).reshape(1, 3, 8, 8)
    flat = histogram_peaks(inside)
    assert torch.equal(histogram_peaks(torch.cat([inside, inside.clone().fill_(2.0)], dim=2)), flat)


def test_settings_name_the_rules_and_refuse_an_empty_range():
    assert list(MASK_RULES) == ["lighting", "mean_thr", "light-dark"]
    for rule in MASK_RULES:
        SegmentationSettings(mask_rule=rule)
    with pytest.raises(UserError, match=r"mask_rule is 'bright'; choose one of lighting, mean_thr"):
        SegmentationSettings(mask_rule="bright")
    with pytest.raises(UserError, match="no mask can pass"):
        SegmentationSettings(min_area=0.6)
    SegmentationSettings(min_area=0.6, area_filter=False)


@pytest.mark.parametrize("shape", [(2, 0, 4), (0, 4, 4), (2, 4, 0)])
def test_masks_without_pixels_come_back(shape):
    assert large_components(torch.zeros(shape, dtype=torch.bool)).shape == shape


def test_a_single_component_is_not_larger_than_itself():
    masks = torch.zeros(1, 4, 4, dtype=torch.bool)
    masks[0, 1:3, 1:3] = True
    for way in (large_by_mask, large_by_runs):
        assert way(masks, 0.99).any()
        assert not way(masks, 1.0).any()
