"""How good a generator's samples are, measured without another network: likeness to photos, and memorising.

Likeness is the sliced Wasserstein distance between patches of Laplacian pyramids (Karras et al. 2018, section 5):
each level shows whether the patches of that scale look alike. Memorising shows as samples that lie nearer to a
training photo than the photos lie to each other.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from generators.encoder.reconstruction import pairs_picture
from generators.protocol import Generator
from toolkit.compute.engine import Engine
from toolkit.pictures.pixels import resize, stack_rows
from toolkit.streams import Stream

MIN_PHOTOS = 4
_PATCH = 7
_SMALLEST_LEVEL = 16
# The paper compares 16,384 pictures by 128 patches each along 512 directions; what matters for the noise of the
# figure is the number of pictures, the rest is cut for speed.
_PATCHES = 32
_DIRECTIONS = 128
_SCALE = 1000.0  # distances are reported in thousandths, as in the paper
_NEAREST_SIDE = 16  # pixels: a copy stays a copy when it is blurred, and small shifts are forgiven
_CHUNK = 256


def laplacian_pyramid(images: torch.Tensor) -> list[torch.Tensor]:
    """Return what images (B, C, S, S) hold at sides S, S/2, ... 16; the last level is the blurred image itself."""
    levels = []
    while images.shape[-1] > _SMALLEST_LEVEL:
        coarse = _blurred(images)[..., ::2, ::2]
        levels.append(images - _doubled(coarse))
        images = coarse
    return [*levels, images]


def _binomial(images: torch.Tensor) -> torch.Tensor:
    row = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]).to(images) / 16
    return torch.outer(row, row)[None, None].expand(images.shape[1], 1, 5, 5)


def _blurred(images: torch.Tensor) -> torch.Tensor:
    return F.conv2d(F.pad(images, (2, 2, 2, 2), mode="reflect"), _binomial(images), groups=images.shape[1])


def _doubled(images: torch.Tensor) -> torch.Tensor:
    spread = images.new_zeros(*images.shape[:2], 2 * images.shape[2], 2 * images.shape[3])
    spread[..., ::2, ::2] = 4 * images  # three of four pixels are empty
    return _blurred(spread)


def patches(level: torch.Tensor, rng: Stream) -> torch.Tensor:
    """Return _PATCHES patches of 7 x 7 of each image of a level (B, C, S, S), as rows (B * _PATCHES, C * 49).

    Over all rows each channel has mean 0 and standard deviation 1.
    """
    count, channels, side, _ = level.shape
    corners = (rng.uniform(count, 2 * _PATCHES) * (side - _PATCH + 1)).long().clamp_max(side - _PATCH).to(level.device)
    rows, columns = (part[:, :, None] + torch.arange(_PATCH, device=level.device) for part in corners.chunk(2, dim=1))
    picture = torch.arange(count, device=level.device)[:, None, None, None]
    cut = level.movedim(1, -1)[picture, rows[:, :, :, None], columns[:, :, None, :]].flatten(0, 1)  # (rows, 7, 7, C)
    spread, mean = torch.std_mean(cut, dim=(0, 1, 2), correction=0)
    return ((cut - mean) / spread.clamp_min(1e-8)).flatten(1).view(-1, channels * _PATCH**2)


class PatchProfile:
    """How the patches of a set of pictures are spread along random directions, level by level."""

    def __init__(self, images: torch.Tensor, name: str) -> None:
        """Measure images (N, 3, S, S) in [-1, 1]; `name` names the places of the patches."""
        pyramids = zip(*(laplacian_pyramid(part) for part in images.split(_CHUNK)), strict=True)
        places = Stream(0, name)
        self.sorted: dict[int, torch.Tensor] = {}  # by side: (num_rows, _DIRECTIONS)
        for parts in pyramids:
            rows = patches(torch.cat(parts), places)
            directions = Stream(0, "patch-directions").normal(rows.shape[1], _DIRECTIONS).to(rows)
            along = rows @ (directions / directions.norm(dim=0))
            self.sorted[parts[0].shape[-1]] = along.T.contiguous().sort(dim=1).values

    def distances(self, other: "PatchProfile") -> dict[int, float]:
        """Return the sliced Wasserstein distance by level side, in thousandths; both sets are of equal size."""
        pairs = {side: (mine, other.sorted[side]) for side, mine in self.sorted.items()}
        return {side: _SCALE * float((mine - theirs).abs().mean()) for side, (mine, theirs) in pairs.items()}


def sliced_wasserstein(images: torch.Tensor, others: torch.Tensor) -> dict[int, float]:
    """Return the distance between two equally large sets of images (N, 3, S, S) by level side, in thousandths."""
    return PatchProfile(images, "patches").distances(PatchProfile(others, "other-patches"))


@dataclass(frozen=True)
class Nearest:
    """The nearest photo of each picture: its number (N,) and how far it is (N,), in brightness steps of [-1, 1]."""

    index: torch.Tensor
    distance: torch.Tensor


class PhotoIndex:
    """Photos to look for near ones in, mirrored ones included."""

    def __init__(self, photos: torch.Tensor, device: torch.device) -> None:
        """Take uint8 photos (N, 3, S, S)."""
        self.points = torch.cat([_layout(part.to(device) / 127.5 - 1) for part in photos.split(_CHUNK)])

    def nearest(self, images: torch.Tensor) -> Nearest:
        """Return the nearest photo of images (B, 3, S, S) in [-1, 1]; the distance is the root mean square difference.

        It is taken at a side of 16 pixels.
        """
        return self._search(_layout(part) for part in images.split(_CHUNK))

    def nearest_others(self, index: torch.Tensor) -> Nearest:
        """Return the nearest other photo of the photos numbered `index` (B,)."""
        return self._search((self.points[part] for part in index.split(_CHUNK)), index)

    def _search(self, parts: Iterable[torch.Tensor], excluded: torch.Tensor | None = None) -> Nearest:
        nearest, done = [], 0
        for part in parts:
            distances = torch.minimum(torch.cdist(part, self.points), torch.cdist(_mirrored(part), self.points))
            if excluded is not None:
                rows = torch.arange(len(part), device=part.device)
                distances[rows, excluded[done : done + len(part)].to(part.device)] = torch.inf
            nearest.append(distances.min(dim=1))
            done += len(part)
        root = self.points.shape[1] ** 0.5
        return Nearest(torch.cat([f.indices for f in nearest]), torch.cat([f.values for f in nearest]) / root)


def _layout(images: torch.Tensor) -> torch.Tensor:
    return F.adaptive_avg_pool2d(images, _NEAREST_SIDE).flatten(1)


def _spread(points: torch.Tensor) -> float:
    """Return the mean distance between two of points (N, F)."""
    return float(torch.pdist(points).mean()) if len(points) > 1 else 0.0


def _mirrored(points: torch.Tensor) -> torch.Tensor:
    return points.unflatten(1, (3, _NEAREST_SIDE, _NEAREST_SIDE)).flip(-1).flatten(1)


@dataclass(frozen=True)
class Quality:
    """Figures by name, the samples (N, 3, S, S) they were taken on, and each one's nearest photo."""

    figures: dict[str, float]
    samples: torch.Tensor
    nearest: Nearest


class QualityGauge:
    """Compares a generator's samples with photos, the same latents and photos each time."""

    def __init__(self, photos: torch.Tensor, side: int, device: torch.device, most: int = 1000) -> None:
        """Choose from uint8 photos (N, 3, S, S), N at least MIN_PHOTOS; samples have `side` pixels.

        As many samples are compared as half of the photos, but no more than `most`.
        """
        self.photos, self.side, self.device = photos, side, device
        self.count = min(most, len(photos) // 2)
        order = Stream(0, "quality-photos").uniform(len(photos), 1)[:, 0].argsort()
        chosen, others = order[: self.count], order[self.count : 2 * self.count]
        self.profile = PatchProfile(self.photo_images(chosen), "patches")
        self.floor = _mean(self.profile.distances(PatchProfile(self.photo_images(others), "other-patches")))
        self.index = PhotoIndex(photos, device)
        self.spacing = self.index.nearest_others(chosen).distance
        self.spread = _spread(self.index.points[chosen.to(device)])

    def photo_images(self, index: torch.Tensor) -> torch.Tensor:
        """Return the photos numbered `index` (B,) as images (B, 3, side, side) in [-1, 1]."""
        return resize(self.photos[index.cpu()].to(self.device) / 127.5 - 1, (self.side, self.side))

    @torch.no_grad()
    def measure(self, generator: Generator, engine: Engine) -> Quality:
        """Return the quality of a generator.

        `swd` is the distance's mean over levels, `swd_64` that of one, `swd_photos` what one half of the photos scores
        against the other. `nearest_ratio` is the median distance from a sample to its nearest photo over that from a
        photo to its nearest other one: towards 0 for copies, about 1 for pictures as new as photos are to each other
        (blurred ones lie nearer). `copies` is the share of samples that lie nearer to a photo than all but 1 % of the
        photos do to another. `diversity` is how far samples lie from each other on average, over the same of photos: a
        generator that has collapsed makes much the same of every latent.
        """
        latents = generator.sample(self.count, Stream(0, "quality-samples")).to(self.device)
        with engine.autocast():
            parts = [generator(latents[i : i + _CHUNK]).float() for i in range(0, self.count, _CHUNK)]
        samples = torch.cat(parts)
        distances = PatchProfile(samples, "other-patches").distances(self.profile)
        nearest = self.index.nearest(samples)
        figures = {
            "swd": _mean(distances),
            **{f"swd_{side}": distance for side, distance in distances.items()},
            "swd_photos": self.floor,
            "nearest_ratio": float(nearest.distance.median() / self.spacing.median().clamp_min(1e-8)),
            "diversity": _spread(_layout(samples)) / max(self.spread, 1e-8),
            "copies": float((nearest.distance < self.spacing.quantile(0.01)).float().mean()),
        }
        return Quality(figures, samples, nearest)

    def picture(self, quality: Quality, columns: int = 12) -> np.ndarray:
        """Return uint8 (H, W, 3): the samples that lie nearest to a photo, nearest first, each above its photo."""
        shown = quality.nearest.distance.argsort()[: 2 * columns].split(columns)
        return stack_rows(
            [pairs_picture(quality.samples[row], self.photo_images(quality.nearest.index[row])) for row in shown]
        )


def _mean(distances: dict[int, float]) -> float:
    return sum(distances.values()) / len(distances)
