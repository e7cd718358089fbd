"""How operator-like a direction is: can a few affine colour maps turn each image into its shifted twin?

The score of Voynov, Morozov & Babenko, "Object Segmentation Without Labels with Large-Scale Generative
Models" (ICML 2021): K affine maps of colour are fitted to (before, after) pixels, each pixel taking the map that
comes nearest; the score is the mean Euclidean colour distance left over on unseen images. Lower is better.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from generators.protocol import Generator, Latents, every_shift, image_shape, rendered
from toolkit.compute.engine import Engine
from toolkit.errors import UserError
from toolkit.moves import AnyShift
from toolkit.streams import Stream

_BETAS, _TINY = (0.9, 0.999), 1e-8  # of Adam
_FIT_FLOATS = 2**20  # numbers in one intermediate tensor of a fit: larger ones fall out of a processor's cache


@dataclass(frozen=True)
class ColourMaps:
    """K affine maps of RGB colour: weight (K, 3, 3), bias (K, 3); one more leading axis for M directions."""

    weight: torch.Tensor
    bias: torch.Tensor

    @classmethod
    def start(cls, num_maps: int = 2, seed: int = 0) -> "ColourMaps":
        """Return maps near the identity: weight I + 0.01 u, bias u, with u uniform in +-1/sqrt(3)."""
        drawn = Stream(seed, "colour-maps").uniform(num_maps, 12).float()
        drawn = (2 * drawn - 1) / math.sqrt(3)
        return cls(torch.eye(3) + 0.01 * drawn[:, :9].unflatten(1, (3, 3)), drawn[:, 9:])

    def nearest(self, before: torch.Tensor, after: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (images, choice): each pixel of `before` under the map whose colour is nearest to `after`.

        Images (B, 3, H, W) in and out, choice (B, H, W) int64 in 0 .. K - 1. The maps are of one direction.
        """
        mapped = torch.einsum("kdc,bchw->kbdhw", self.weight, before) + self.bias[:, None, :, None, None]
        mapped = mapped.clamp(-1, 1)
        choice = (mapped - after).square().sum(dim=2).argmin(dim=0)
        return mapped.gather(0, choice[None, :, None].expand(1, *after.shape))[0], choice


@dataclass(frozen=True)
class ScorePlan:
    """Which rows of the latents are seen: (steps, batch) to fit and (test steps, batch) to score."""

    train_rows: torch.Tensor
    test_rows: torch.Tensor

    @classmethod
    def drawn(
        cls, num_latents: int, steps: int = 200, batch: int = 4, test_steps: int = 5, seed: int = 0
    ) -> "ScorePlan":
        """Return a plan holding the last test_steps * batch latents back; UserError when too few."""
        held_back = test_steps * batch
        if num_latents <= held_back:
            raise UserError(
                f"{num_latents} latents came to score directions on, and {held_back} are held back for the "
                f"test; give at least {held_back + 1}"
            )
        train = Stream(seed, "score-rows").integers(steps * batch, num_latents - held_back)
        test = torch.arange(num_latents - held_back, num_latents)
        return cls(train.view(steps, batch), test.view(test_steps, batch))


@dataclass(frozen=True)
class OperatorFit:
    """Maps fitted for M directions: score (M,), losses (steps + test steps, M), maps after the fit."""

    score: torch.Tensor
    losses: torch.Tensor
    maps: ColourMaps


def operator_score(
    generator: Generator,
    latents: Latents,
    shift: AnyShift,
    plan: ScorePlan | None = None,
    maps: ColourMaps | None = None,
    rate: float = 0.005,
) -> OperatorFit:
    """Return the fit (M = 1) for one shift (D,) on all pixels of the planned latents, like the original.

    Without `plan` and `maps` they are drawn with the original's sizes. Each planned latent is rendered once.
    """
    plan = plan or ScorePlan.drawn(len(latents))
    used, rows = torch.cat([plan.train_rows, plan.test_rows]).unique(return_inverse=True)
    seen = latents[used.to(latents.z.device)]
    before, after = (
        torch.cat([images.flatten(2) for _, images in rendered(generator, each)])
        for each in (seen, seen.shifted(shift))
    )
    train_rows, test_rows = rows.split([len(plan.train_rows), len(plan.test_rows)])
    return fit_colour_maps(before, after[None], ScorePlan(train_rows, test_rows), maps or ColourMaps.start(), rate)


def score_directions(
    generator: Generator,
    shifts: torch.Tensor | Sequence[AnyShift],
    engine: Engine,
    *,
    num_latents: int = 40,
    truncation: float | None = None,
    num_pixels: int = 1024,
    num_maps: int = 2,
    steps: int = 200,
    seed: int = 0,
) -> torch.Tensor:
    """Return scores (M,) on the CPU for M shifts, lower being more operator-like, all fitted together.

    Every direction sees the same latents, named by `seed` (up to 20, at most half, are held back for the test),
    the same `num_pixels` random pixels of each, the same batches and starting maps, so that scores differ by
    direction alone. Each image is rendered once. UserError for fewer than two latents.
    """
    batch = max(1, min(4, num_latents // 2))
    test_steps = max(1, min(5, num_latents // (2 * batch)))
    plan = ScorePlan.drawn(num_latents, steps, batch, test_steps, seed)
    maps = ColourMaps.start(num_maps, seed)
    latents = generator.sample(num_latents, Stream(seed, "score-latents"), truncation).to(engine.device)
    with engine.autocast():
        moved = [shift.to(engine.device) for shift in shifts]
        colours = _sampled_colours(generator, latents, moved, num_pixels, seed)
    together = max(1, _FIT_FLOATS // (batch * num_pixels * num_maps * 3))
    fits = [fit_colour_maps(colours[0], part, plan, maps) for part in colours[1:].split(together)]
    return torch.cat([fit.score for fit in fits]).cpu()


def _sampled_colours(
    generator: Generator, latents: Latents, shifts: Sequence[AnyShift], num_pixels: int, seed: int
) -> torch.Tensor:
    """Return colours (1 + M, N, 3, P) at P random pixels of N images: unmoved, then moved by each shift."""
    places = Stream(seed, "score-pixels").uniform(len(latents), num_pixels) * math.prod(image_shape(generator))
    places = places.long().to(latents.z.device)
    everything = Latents.cat([latents, every_shift(latents, shifts)])
    colours = latents.z.new_empty(len(everything), 3, num_pixels)
    for rows, images in rendered(generator, everything):
        which = torch.arange(rows.start, rows.stop, device=places.device) % len(latents)
        colours[rows] = images.flatten(2).gather(2, places[which, None].expand(-1, 3, -1))
    return colours.unflatten(0, (1 + len(shifts), len(latents)))


def fit_colour_maps(
    before: torch.Tensor, after: torch.Tensor, plan: ScorePlan, maps: ColourMaps, rate: float = 0.005
) -> OperatorFit:
    """Return the fit of M directions at once, from colours before (N, 3, P) and after (M, N, 3, P).

    Adam at `rate` takes one step a training row, on the mean distance of its pixels; the score is the mean
    over the test rows. Directions do not influence one another.
    """
    weight, bias = fitted = [
        start.to(before.device).expand(len(after), *start.shape).clone().requires_grad_()
        for start in (maps.weight, maps.bias)
    ]
    optimiser = _Adam(fitted, rate)

    def distances(rows: torch.Tensor) -> torch.Tensor:
        return _distances(_pixels(before[rows]), _pixels(after[:, rows]), weight, bias)

    losses = []
    for rows in plan.train_rows.to(before.device):
        loss = distances(rows)
        optimiser.step(torch.autograd.grad(loss.sum(), fitted))
        losses.append(loss.detach())
    with torch.no_grad():
        losses += [distances(rows) for rows in plan.test_rows.to(before.device)]
    score = torch.stack(losses[len(plan.train_rows) :]).mean(dim=0)
    return OperatorFit(score, torch.stack(losses), ColourMaps(weight.detach(), bias.detach()))


class _Adam:
    """Adam as torch.optim has it by default, whose first use imports a compiler: 6 seconds, and 160 MB to hold."""

    def __init__(self, parameters: Sequence[torch.Tensor], rate: float) -> None:
        self._parameters, self._rate, self._count = parameters, rate, 0
        self._means = [torch.zeros_like(parameter) for parameter in parameters]
        self._squares = [torch.zeros_like(parameter) for parameter in parameters]

    @torch.no_grad()
    def step(self, gradients: Sequence[torch.Tensor]) -> None:
        """Move the parameters against their gradients."""
        self._count += 1
        first, second = (1 - beta**self._count for beta in _BETAS)
        for parameter, mean, square, gradient in zip(
            self._parameters, self._means, self._squares, gradients, strict=True
        ):
            mean.lerp_(gradient, 1 - _BETAS[0])
            square.mul_(_BETAS[1]).addcmul_(gradient, gradient, value=1 - _BETAS[1])
            parameter.addcdiv_(mean, square.sqrt().div_(math.sqrt(second)).add_(_TINY), value=-self._rate / first)


def _pixels(colours: torch.Tensor) -> torch.Tensor:
    """Return colours (..., N, 3, P) as (..., 3, N * P)."""
    return colours.transpose(-3, -2).flatten(-2)


def _distances(before: torch.Tensor, after: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Return mean distances (M,) of pixels (3, P), each under its nearest map, to pixels (M, 3, P)."""
    # `before` is shared, so the maps of all directions are one matrix product.
    mapped = (weight.flatten(0, 2) @ before).view(*weight.shape[:3], -1) + bias[..., None]
    squared = (mapped.clamp(-1, 1) - after[:, None]).square().sum(dim=2)
    # The root's gradient is infinite at 0, where clamped colours meet exactly; the floor makes it 0 there.
    return squared.min(dim=1).values.clamp_min(1e-20).sqrt().mean(dim=1)
