"""Latent sources, and batches of images with masks that do not depend on the batch size."""

import dataclasses

import numpy as np
import pytest
import torch
from seg_toy import DiscGenerator, contrast_shift

from generators.protocol import load_latents
from segmentation.synthesis.synthesizer import (
    EmbeddingSource,
    MaskSynthesizer,
    PriorSource,
    SyntheticBatch,
    latent_source,
)
from segmentation.unet.settings import SegmentationSettings
from toolkit.errors import UserError
from toolkit.streams import Stream

SETTINGS = SegmentationSettings(batch=8, max_area=0.15, seed=3)


def synthesizer(settings=SETTINGS, generator=None, **changes):
    generator = generator or DiscGenerator()
    settings = dataclasses.replace(settings, **changes)
    return MaskSynthesizer(generator, contrast_shift(), settings, PriorSource(generator, settings.truncation))


def expected_samples(count):
    """Return the first accepted samples found by looking at latents one by one."""
    generator, stream = DiscGenerator(), Stream(SETTINGS.seed, "synthesis")
    images, masks = [], []
    while len(masks) < count:
        latents = generator.sample(1, stream)
        disc = generator.disc(latents)
        if disc.float().mean() < SETTINGS.max_area:
            images.append(generator(latents))
            masks.append(disc)
    return SyntheticBatch(torch.cat(images), torch.cat(masks))


def test_masks_are_the_discs_and_samples_come_in_the_order_of_their_latents():
    expected = expected_samples(40)
    for sizes in ([40], [7, 7, 7, 7, 7, 5], [1] * 40, [30, 2, 8]):
        source = synthesizer()
        made = SyntheticBatch.cat([source.batch(size) for size in sizes])
        assert torch.equal(made.masks, expected.masks)
        torch.testing.assert_close(made.images, expected.images)
        assert 0.1 < source.acceptance.share < 0.9


def test_before_and_after_are_rendered_in_one_call_and_surplus_is_not_thrown_away():
    generator = DiscGenerator()
    source = synthesizer(generator=generator)
    source.batch(8)
    source.batch(8)
    assert set(generator.batches) == {16}
    assert source.acceptance.drawn == 8 * len(generator.batches)
    assert source.acceptance.accepted - 16 < 8
    drawn, accepted = source.acceptance.drawn, source.acceptance.accepted
    assert source.acceptance.rejected == {"max_area": drawn - accepted, "histogram_filter": 0}


def test_a_saved_state_goes_on_bit_for_bit():
    first = synthesizer()
    first.batch(8)
    state = first.state_dict()
    second = synthesizer()
    second.load_state_dict(state)
    for _ in range(3):
        one, other = first.batch(8), second.batch(8)
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.masks, other.masks)
    assert first.acceptance == second.acceptance


def test_the_saved_surplus_holds_no_more_than_itself():
    source = synthesizer()
    source.batch(3)
    while (surplus := source.state_dict()["surplus"]) is None:
        source.batch(3)
    assert surplus["images"].untyped_storage().nbytes() == surplus["images"].numel() * 4


def test_exactly_max_attempts_are_made():
    generator = DiscGenerator()
    source = synthesizer(generator=generator, max_attempts=100, max_area=0.15)
    source.batch(8)
    needed = len(generator.batches)
    assert needed > 1
    assert len(synthesizer(max_attempts=needed).batch(8)) == 8
    with pytest.raises(UserError, match=f"after {needed - 1} attempts"):
        synthesizer(max_attempts=needed - 1).batch(8)


def test_switched_off_filters_reject_nothing():
    source = synthesizer(area_filter=False, histogram_filter=False, connected_components=False)
    source.batch(8)
    assert source.acceptance.share == 1
    assert source.acceptance.rejected == {}
    assert "no filter is on" in source.acceptance.describe()


def test_an_unimodal_shifted_image_is_rejected():
    class Hill(DiscGenerator):
        """Images whose histogram is one hill over the whole range."""

        def __call__(self, latents):
            x = torch.linspace(-1, 1, 3 * self.image_size**2).pow(3)
            peak = 1 / 12  # the middle of a bin: two equal bins at the top would count as two peaks
            values = peak + torch.where(x > 0, 1 - peak, 1 + peak) * x
            return values.reshape(1, 3, self.image_size, -1).repeat(len(latents), 1, 1, 1)

    with pytest.raises(UserError, match="too large 0, of one shade 16"):
        synthesizer(generator=Hill(), max_attempts=2).batch(8)


def test_a_shift_of_another_space_is_refused():
    with pytest.raises(UserError, match=r"shape \[7\], but latents of disc have 5"):
        MaskSynthesizer(DiscGenerator(), torch.ones(7), SETTINGS, PriorSource(DiscGenerator()))


def test_embeddings_are_drawn_with_replacement_whatever_the_batch_size():
    table = torch.arange(20.0).reshape(4, 5)
    source = EmbeddingSource(table, noise=0.5)
    together = source.draw(50, stream := Stream(1, "x")).z
    parted = Stream(1, "x")
    assert torch.equal(together, torch.cat([source.draw(n, parted).z for n in (1, 20, 29)]))
    assert stream.position == parted.position == 50
    plain = EmbeddingSource(table).draw(50, Stream(1, "x")).z
    rows = (plain[:, 0] / 5).long()
    assert torch.equal(plain, table[rows])
    assert rows.unique().tolist() == [0, 1, 2, 3]
    noise = (together - plain) / 0.5
    assert abs(noise.mean()) < 0.15
    assert abs(noise.std() - 1) < 0.15


def test_noise_that_preserves_the_variance_keeps_the_prior_and_shrinks_the_row():
    table = Stream(0, "table").normal(2000, 5)
    draws = {
        preserving: EmbeddingSource(table, 0.6, preserving).draw(4000, Stream(1, "x")).z for preserving in (False, True)
    }
    rows = EmbeddingSource(table).draw(4000, Stream(1, "x")).z
    torch.testing.assert_close(draws[True] - 0.8 * rows, draws[False] - rows)  # the same noise
    assert draws[True].var() == pytest.approx(1, abs=0.05)
    assert draws[False].var() == pytest.approx(1.36, abs=0.07)


@pytest.mark.parametrize(
    "array",
    [
        np.ones((3, 4), np.float32),
        np.ones((0, 5), np.float32),
        np.ones(5, np.float32),
        np.full((2, 5), np.nan, np.float32),
        np.array([[None] * 5]),
    ],
)
def test_unfit_embeddings_are_refused_and_never_replaced_by_noise(tmp_path, array):
    path = tmp_path / "z.npy"
    with pytest.raises(UserError, match=r"no .* at .*z\.npy"):
        load_latents(path, 5)
    np.save(path, array, allow_pickle=True)
    with pytest.raises(UserError, match=r"z\.npy"):
        load_latents(path, 5)


def test_settings_a_source_has_no_use_for_are_refused():
    generator, table = DiscGenerator(), torch.ones(2, 5)
    assert isinstance(latent_source(generator, SegmentationSettings(truncation=1.0)), PriorSource)
    assert isinstance(latent_source(generator, SegmentationSettings(z_noise=0.2), table), EmbeddingSource)
    with pytest.raises(UserError, match="z_noise is added to embeddings"):
        latent_source(generator, SegmentationSettings(z_noise=0.2))
    with pytest.raises(UserError, match="noise_kind is that of the noise on embeddings, but none are given"):
        latent_source(generator, SegmentationSettings(noise_kind="preserving"))
    assert latent_source(generator, SegmentationSettings(z_noise=0.2, noise_kind="preserving"), table).preserving
    with pytest.raises(UserError, match=r"z_noise is 1\.5, but noise that preserves the variance is at most 1"):
        SegmentationSettings(z_noise=1.5, noise_kind="preserving")
    with pytest.raises(UserError, match="truncation bounds random latents"):
        latent_source(generator, SegmentationSettings(truncation=1.0), table)


@pytest.mark.parametrize("dark", [None, 0.5])
def test_light_dark_compares_the_two_shifted_images_and_not_the_unshifted_one(dark):
    generator, light = DiscGenerator(), contrast_shift()
    shift = light if dark is None else torch.stack([light, -dark * light])
    settings = dataclasses.replace(SETTINGS, mask_rule="light-dark", area_filter=False, histogram_filter=False)
    batch = MaskSynthesizer(generator, shift, settings, PriorSource(generator)).batch(6)
    latents = generator.sample(6, Stream(SETTINGS.seed, "synthesis"))
    assert torch.equal(batch.masks, generator.disc(latents))
    assert generator.batches == [18]  # unshifted, light and dark in one call
    torch.testing.assert_close(batch.images, generator(latents))


def test_images_that_leave_the_range_of_photos_are_brought_back():
    class Glaring(DiscGenerator):
        def __call__(self, latents):
            return 3 * super().__call__(latents)

    generator = Glaring()
    settings = dataclasses.replace(SETTINGS, area_filter=False, histogram_filter=False)
    batch = MaskSynthesizer(generator, contrast_shift(), settings, PriorSource(generator)).batch(4)
    assert generator(generator.sample(4, Stream(SETTINGS.seed, "synthesis"))).abs().max() > 1
    assert batch.images.abs().max() == 1
