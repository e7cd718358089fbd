"""Quality figures: the distance between sets of pictures, and how copies of training photos are found."""

import pytest
import torch
import torch.nn.functional as F
from toy import ToyGenerator

from generators.compact.quality import (
    MIN_PHOTOS,
    PatchProfile,
    PhotoIndex,
    QualityGauge,
    laplacian_pyramid,
    patches,
    sliced_wasserstein,
)
from generators.protocol import Latents
from toolkit.compute.engine import choose_engine
from toolkit.streams import Stream

ENGINE = choose_engine("cpu", "fp32")
CPU = torch.device("cpu")


def textures(count: int, name: str, size: int = 32) -> torch.Tensor:
    """Images in [-1, 1] with energy at every scale."""
    images = torch.zeros(count, 3, size, size)
    for side in (4, 8, 16, 32):
        noise = Stream(0, f"{name}-{side}").uniform(count, 3 * side**2).float().view(count, 3, side, side) - 0.5
        images += 0.5 * F.interpolate(noise, size=size)
    return images


def as_photos(images: torch.Tensor) -> torch.Tensor:
    return ((images + 1) * 127.5).round().to(torch.uint8)


def blurred(images: torch.Tensor, side: int) -> torch.Tensor:
    return F.interpolate(F.avg_pool2d(images, side), size=images.shape[-1], mode="bilinear")


class Copier:
    """A generator that hands out given pictures."""

    def __init__(self, pictures: torch.Tensor) -> None:
        self.name, self.latent_dim, self.image_size = "copier", 1, pictures.shape[-1]
        self.pictures = pictures

    def sample(self, count: int, rng: Stream, truncation: float | None = None) -> Latents:
        return Latents(torch.arange(count)[:, None].float())

    def __call__(self, latents: Latents) -> torch.Tensor:
        return self.pictures[latents.z[:, 0].long()]

    def to(self, device: torch.device) -> "Copier":
        return self


def test_a_pyramid_has_levels_down_to_16():
    assert [level.shape[-1] for level in laplacian_pyramid(torch.zeros(1, 3, 128, 128))] == [128, 64, 32, 16]
    assert [level.shape[-1] for level in laplacian_pyramid(torch.zeros(1, 3, 16, 16))] == [16]


def test_a_flat_picture_has_nothing_at_the_fine_levels():
    *fine, coarse = laplacian_pyramid(torch.full((1, 3, 64, 64), 0.3))
    for level in fine:
        torch.testing.assert_close(level[..., 4:-4, 4:-4], torch.zeros_like(level[..., 4:-4, 4:-4]))
    torch.testing.assert_close(coarse, torch.full((1, 3, 16, 16), 0.3))


def test_a_checkerboard_lies_in_the_finest_level_alone():
    board = 1.0 - 2 * ((torch.arange(64)[:, None] + torch.arange(64)) % 2)
    fine, middle, coarse = laplacian_pyramid(board.expand(1, 3, 64, 64))
    torch.testing.assert_close(fine[0, 0], board, atol=1e-5, rtol=0)
    assert middle.abs().max() < 1e-5
    assert coarse.abs().max() < 1e-5


def test_patches_are_cut_whole_and_normalised_by_channel():
    ramp = torch.arange(16.0).expand(5, 2, 16, 16) * torch.tensor([1.0, 100.0])[:, None, None]
    rows = patches(ramp, Stream(0, "cut")).view(5 * 32, 7, 7, 2)
    assert rows.mean(dim=(0, 1, 2)).abs().max() < 1e-5
    torch.testing.assert_close(rows.std(dim=(0, 1, 2), correction=0), torch.ones(2))
    steps = rows[:, :, 1:] - rows[:, :, :-1]  # neighbours in a row of the ramp are equally far apart
    torch.testing.assert_close(steps, steps[:1, :1, :1].expand_as(steps), atol=1e-5, rtol=0)
    assert (rows[:, 1:] - rows[:, :-1]).abs().max() < 1e-5


def test_a_set_is_at_no_distance_from_itself():
    images = textures(40, "self")
    assert PatchProfile(images, "same").distances(PatchProfile(images, "same")) == {32: 0.0, 16: 0.0}


def test_sets_of_one_kind_are_near_and_blur_drives_them_apart():
    images, others = textures(150, "one"), textures(150, "other")
    near = sliced_wasserstein(others, images)
    little, much = (sliced_wasserstein(blurred(others, side), images) for side in (2, 4))
    assert 0 < near[32] < 0.6 * little[32]
    assert little[32] < 0.7 * much[32]
    assert little[16] < 1.1 * near[16]  # the coarse level holds what a little blur leaves


def test_colours_that_go_together_differently_are_told_apart():
    images, others = textures(60, "one"), textures(60, "other")
    grey = others.mean(dim=1, keepdim=True).expand_as(others)
    assert sliced_wasserstein(grey, images)[16] > 2 * sliced_wasserstein(others, images)[16]


def test_the_distance_is_the_same_both_ways():
    one, other = PatchProfile(textures(9, "one"), "a"), PatchProfile(textures(9, "other"), "b")
    assert one.distances(other) == other.distances(one)


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_copy_finds_its_photo(mirrored):
    photos = as_photos(textures(20, "photos"))
    copies = photos[[7, 3]] / 127.5 - 1
    nearest = PhotoIndex(photos, CPU).nearest(copies.flip(-1) if mirrored else copies)
    assert nearest.index.tolist() == [7, 3]
    assert nearest.distance.max() < 1e-3


def test_distances_are_root_mean_square_differences():
    photos = torch.full((1, 3, 32, 32), 255, dtype=torch.uint8)
    nearest = PhotoIndex(photos, CPU).nearest(torch.full((1, 3, 32, 32), 0.5))
    torch.testing.assert_close(nearest.distance, torch.tensor([0.5]))


def test_a_photo_is_not_its_own_neighbour():
    photos = as_photos(textures(20, "photos"))
    photos[11] = photos[4]
    nearest = PhotoIndex(photos, CPU).nearest_others(torch.tensor([4, 5, 11]))
    assert nearest.index[[0, 2]].tolist() == [11, 4]
    assert nearest.index[1] != 5
    assert nearest.distance[1] > 0.05


def test_a_generator_of_new_pictures_scores_like_photos():
    gauge = QualityGauge(as_photos(textures(120, "photos")), 32, CPU)
    figures = gauge.measure(Copier(textures(60, "new")), ENGINE).figures
    assert figures["swd"] == pytest.approx((figures["swd_32"] + figures["swd_16"]) / 2)
    assert figures["swd"] < 1.5 * figures["swd_photos"]
    assert 0.9 < figures["nearest_ratio"] < 1.1
    assert 0.95 < figures["diversity"] < 1.05
    assert figures["copies"] < 0.1


def test_a_generator_that_makes_much_the_same_of_every_latent_is_found():
    gauge = QualityGauge(as_photos(textures(120, "photos")), 32, CPU)
    one, others = textures(1, "one"), textures(60, "new")
    for share, least, most in ((0.0, 0.0, 1e-6), (0.2, 0.15, 0.25)):
        figures = gauge.measure(Copier((1 - share) * one + share * others), ENGINE).figures
        assert least <= figures["diversity"] <= most


def test_memorised_photos_are_found():
    photos = as_photos(textures(120, "photos"))
    gauge = QualityGauge(photos, 32, CPU)
    figures = gauge.measure(Copier(photos / 127.5 - 1), ENGINE).figures
    assert figures["nearest_ratio"] < 0.01
    assert figures["copies"] == 1
    partly = torch.cat([photos[:15] / 127.5 - 1, textures(45, "new")])
    assert gauge.measure(Copier(partly), ENGINE).figures["copies"] == pytest.approx(0.25, abs=0.05)


def test_the_picture_shows_the_nearest_samples_above_their_photos():
    photos = as_photos(textures(60, "photos"))
    gauge = QualityGauge(photos, 32, CPU)
    pictures = textures(30, "new")
    pictures[17] = photos[5] / 127.5 - 1
    picture = gauge.picture(gauge.measure(Copier(pictures), ENGINE))
    assert picture.shape == (2 * (2 * 32 + 2) + 6, 12 * 34 - 2, 3)
    copied = photos[5].permute(1, 2, 0).numpy()
    assert abs(picture[:32, :32].astype(int) - copied).max() <= 1
    assert abs(picture[34:66, :32].astype(int) - copied).max() <= 1


def test_the_gauge_gives_the_same_figures_again_and_follows_the_generator():
    gauge = QualityGauge(as_photos(textures(20, "photos")), 32, CPU)
    generator = ToyGenerator()
    first = gauge.measure(generator, ENGINE).figures
    assert gauge.measure(generator, ENGINE).figures == first
    generator.weight = 0.1 * generator.weight
    assert gauge.measure(generator, ENGINE).figures["swd"] != first["swd"]


def test_photos_larger_than_the_samples_are_shrunk():
    photos = as_photos(textures(20, "photos", size=64))
    figures = QualityGauge(photos, 32, CPU).measure(ToyGenerator(), ENGINE).figures
    assert "swd_32" in figures
    assert "swd_64" not in figures


def test_very_few_photos_suffice():
    gauge = QualityGauge(as_photos(textures(MIN_PHOTOS, "photos")), 32, CPU)
    quality = gauge.measure(ToyGenerator(), ENGINE)
    assert all(value >= 0 for value in quality.figures.values())
    assert gauge.picture(quality).ndim == 3
