"""What is seen of directions on the latents they are judged on, sample by sample."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from discovery.picking.bounds import Bounds
from discovery.picking.picker import FIGURES, Candidate, score_of
from discovery.settings import SHORTER, PickSettings
from generators.protocol import Generator, Latents, every_shift, rendered
from toolkit.compute.engine import Engine
from toolkit.directions import DirectionSet
from toolkit.masks.comparisons import lighting
from toolkit.masks.filters import areas_within, large_components, multimodal
from toolkit.pictures.pixels import gray, resized_to
from toolkit.streams import Stream

_SIDE = (
    128  # pixels at which images are judged; scene of 256 pixels gives the choice and the finalists of its full size
)
_FEWEST = 4  # samples that have to pass before the others are left out of the figures


@dataclass(frozen=True)
class Measured:
    """One direction with a sign and a length, and what every sample (B,) says of it, whatever the bounds."""

    index: int
    sign: int
    alpha: float
    areas: torch.Tensor
    two_shades: torch.Tensor
    changes: torch.Tensor
    figures: dict[str, torch.Tensor]

    def judged(self, bounds: Bounds) -> Candidate:
        """Return the means over samples whose masks pass the area and histogram filters and are not empty."""
        large = ~areas_within(self.areas, 1, 0.0, bounds.max_area)
        small = ~areas_within(self.areas, 1, bounds.min_area, 1.0)
        passed = self.two_shades & ~large & ~small
        seen = passed if int(passed.sum()) >= _FEWEST else torch.ones_like(passed)
        shares = {"pass_rate": passed, "too_large": large, "too_small": small}
        figures = {name: which.float().mean().item() for name, which in shares.items()}
        figures |= {name: values[seen].mean().item() for name, values in self.figures.items()}
        figures |= {"change": self.changes.mean().item(), "judged_on": float(len(self.areas))}
        figures = {name: figures[name] for name in FIGURES if name in figures}
        return Candidate(self.index, self.sign, self.alpha, score_of(figures, bounds), figures)

    def joined(self, further: "Measured") -> "Measured":
        """Return the same of these samples and of further ones."""
        areas, two_shades, changes = (
            torch.cat([getattr(self, name), getattr(further, name)]) for name in ("areas", "two_shades", "changes")
        )
        figures = {name: torch.cat([values, further.figures[name]]) for name, values in self.figures.items()}
        return Measured(self.index, self.sign, self.alpha, areas, two_shades, changes, figures)


def judged_latents(generator: Generator, settings: PickSettings) -> Latents:
    """Return the latents every direction is judged on."""
    return generator.sample(settings.samples, Stream(settings.seed, "pick"), settings.truncation)


@torch.inference_mode()
def seen(generator: Generator, latents: Latents, engine: Engine) -> torch.Tensor:
    """Return images (B, 3, h, w) float32 of latents on the engine's device, shrunk to 128 pixels as they are made.

    So neither memory nor the work of judging grows with the images' size; smaller ones are seen as they are.
    """
    with engine.autocast():
        return torch.cat([shrunk(images) for _, images in rendered(generator, latents, engine.device)])


def shrunk(images: torch.Tensor) -> torch.Tensor:
    """Return images (B, 3, H, W) at the size at which they are judged: the longer side is 128 pixels at most."""
    return resized_to(images, min(_SIDE, max(images.shape[-2:])))


class Judge:
    """Directions of a set on the latents that all of them are judged on, whose unshifted images are rendered once."""

    def __init__(self, generator: Generator, directions: DirectionSet, settings: PickSettings, engine: Engine) -> None:
        self._generator, self._directions, self._engine = generator, directions, engine
        self._latents = judged_latents(generator, settings)
        self._before = seen(generator, self._latents, engine)

    def along(self, index: int, sign: int, alphas: Sequence[float], rows: slice) -> list[Measured]:
        """Return what is seen on some of the latents of a direction and a sign at rising lengths."""
        # One step below the shortest serves as its neighbour in the stability figure.
        reaches = [alphas[0] * SHORTER, *alphas]
        latents, before = self._latents[rows], self._before[rows]
        moved = every_shift(latents, [sign * self._directions.shift(index, alpha) for alpha in reaches])
        after = seen(self._generator, moved, self._engine).unflatten(0, (len(reaches), -1))
        masks = torch.stack([large_components(lighting(before, twin)) for twin in after])
        return [
            _measured(index, sign, alpha, before, after[i + 1], masks[i + 1], masks[i])
            for i, alpha in enumerate(alphas)
        ]


def _measured(
    index: int,
    sign: int,
    alpha: float,
    before: torch.Tensor,
    after: torch.Tensor,
    masks: torch.Tensor,
    shorter: torch.Tensor,
) -> Measured:
    change = gray(after) - gray(before)
    size = tuple(before.shape[-2:])
    ring, core = _ring(size, before.device), _core(size, before.device)
    inside = (change * masks).sum(dim=(1, 2)) / masks.sum(dim=(1, 2)).clamp_min(1)
    union = (masks | shorter).sum(dim=(1, 2)).clamp_min(1)
    areas = masks.float().mean(dim=(1, 2))
    figures = {
        "border": change[:, ring].mean(dim=1),
        "centre": change[:, core].mean(dim=1),
        "inside": inside,
        "area": areas,
        "border_share": masks[:, ring].float().mean(dim=1),
        "stability": (masks & shorter).sum(dim=(1, 2)) / union,
        "separation": _separation(before, masks),
    }
    figures = {name: values.float().cpu() for name, values in figures.items()}
    changes = (after - before).norm(dim=1).mean(dim=(1, 2))
    return Measured(index, sign, alpha, areas.cpu(), multimodal(after).cpu(), changes.cpu(), figures)


def _ring(size: tuple[int, ...], device: torch.device) -> torch.Tensor:
    """Return the outer eighth of the picture, along its shorter side, as a mask (H, W)."""
    ring = torch.ones(size, dtype=torch.bool, device=device)
    edge = max(1, min(size) // 8)
    ring[edge:-edge, edge:-edge] = False
    return ring


def _core(size: tuple[int, ...], device: torch.device) -> torch.Tensor:
    """Return the middle third of the picture, down and across, as a mask (H, W)."""
    core = torch.zeros(size, dtype=torch.bool, device=device)
    rows, columns = (slice(side // 3, side - side // 3) for side in size)
    core[rows, columns] = True
    return core


def _separation(images: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Return (B,): between-class over total variance of the colours, classes being the mask and the rest."""
    pixels, inside = images.flatten(2), masks.flatten(1).float()[:, None]
    total = pixels.var(dim=2, unbiased=False).sum(dim=1).clamp_min(1e-6)
    weight = inside.mean(dim=2)
    overall = pixels.mean(dim=2)
    foreground = (pixels * inside).mean(dim=2) / weight.clamp_min(1e-6)
    background = (pixels * (1 - inside)).mean(dim=2) / (1 - weight).clamp_min(1e-6)
    between = weight * (foreground - overall) ** 2 + (1 - weight) * (background - overall) ** 2
    return between.sum(dim=1) / total
